"""Studies from Python: the page as it stands, and values that show themselves."""

import dataclasses
import os
import re

import forking
import nbformat
import numpy as np
import pytest
from astropy.table import Table
from command_line import typed
from nbclient import NotebookClient
from places import ROOT
from small_study import write_study

import clustersweep as cs
from clustersweep.cli.main import app
from clustersweep.errors import StudyChangedError, StudyError

PAGE = (ROOT / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def home(embedded_home, monkeypatch):
    monkeypatch.setenv("CLUSTERSWEEP_HOME", str(embedded_home.path))
    return embedded_home


def test_every_public_name_is_there_and_on_the_page():
    for name in cs.__all__:
        assert getattr(cs, name).__doc__, name
        assert f"cs.{name}" in PAGE
    assert set(cs.__all__) < set(dir(cs))


def test_every_verb_is_a_function():
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert {{"status": "results", "report": "write_report"}.get(verb, verb) for verb in verbs} < set(cs.__all__)


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'clustersweep' has no attribute 'lunch'"):
        cs.lunch  # noqa: B018


def test_a_study_is_planned_from_its_file_or_from_what_was_read_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSTERSWEEP_HOME", str(tmp_path / "home"))
    path = write_study(tmp_path)
    planned = cs.plan(cs.load_study(path), workers=3)
    assert len(planned.feasible) == 3
    [(params, why)] = planned.infeasible
    assert (params, why.rule) == ({"kernel_size": 7, "conv_blocks": 2}, "kernel_exceeds_input")
    assert (planned.workers, planned.left, planned.refused) == (3, None, None)
    assert planned.seconds > 0
    assert str(planned) == str(cs.plan(path, workers=3)) == str(cs.plan(str(path), workers=3))
    assert not (tmp_path / "home").exists()


def test_a_plan_prints_what_the_verb_prints_and_is_in_colour_in_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSTERSWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "120")
    path = write_study(tmp_path)
    planned = cs.plan(path)
    done = typed("plan", path, env={"CLUSTERSWEEP_HOME": str(tmp_path / "home"), "COLUMNS": "120"})
    assert done.stdout.rstrip() == repr(planned)
    html = planned._repr_html_()
    assert html.startswith("<pre style=")
    assert "kernel_size" in html
    assert '<span style="color: #800000' in html  # what kills a combination


def test_errors_are_those_of_the_command_line(tmp_path):
    (tmp_path / "bad.yaml").write_text("study: bad\nsearch_space: {filters: [0]}\n")
    with pytest.raises(cs.ClusterSweepError, match="must be at least 1") as found:
        cs.plan(tmp_path / "bad.yaml")
    assert isinstance(found.value, StudyError)
    assert found.value.exit_code == 2


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_page_runs_as_it_stands_from_a_study_to_masses(home, tmp_path, monkeypatch):
    """In a process of its own, as Ray and TensorFlow are started there."""
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path, study="page", network={"redshift": "head"})
    before, model, events = BLOCKS[:3]
    between = """
import re
from pathlib import Path
from clustersweep.home import Home
from clustersweep.survey.source import open_dataset

config = Path("best/config.yaml")
config.write_text(re.sub(r"epochs: \\d+", "epochs: 2", config.read_text()))
dataset = open_dataset(study.task.data, Home(Path(HOME)).surveys)
images, redshift = dataset.images, dataset.redshift
assert len(table) == 7  # six replicates, and the impossible combination
assert table["val_loss_dex2"].mask.sum() == 1
cs.simulate("survey", clusters=60, seed=1, pixels=12)
""".replace("HOME", repr(str(home.path)))
    after = """
import numpy as np

names = masses.table().colnames
np.savez("masses", log_mass=masses.log_mass, log_mass_sd=masses.log_mass_sd, flag=masses.flag, part=masses.part,
         names=names)
"""
    script = "\n".join((before, between, model, after, events))
    # Without a browser, which would draw the figures of a training for ten seconds.
    env = {**os.environ, "PATH": "/"}
    done = forking.run(["-c", script], env, 600.0)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("0 of 6 replicates to train") == 1
    assert (tmp_path / "report" / "report.html").exists()
    assert re.search(r"\n0\.\d+ \(0\.\d+ to 0\.\d+\)\n", done.stdout)  # the RMSE where masses are known
    masses = np.load("masses.npz")
    assert np.isfinite(masses["log_mass"]).all()
    assert set(masses["part"]) == {"train", "validation", "test"}

    # The same numbers as in the table, of the same images.
    written = Table.read("masses.fits")
    for name in ("log_mass", "log_mass_sd", "flag"):
        assert np.array_equal(written[name], masses[name]), name
    assert [str(part) for part in written["part"]] == masses["part"].tolist()
    assert masses["names"].tolist() == ["log_mass", "log_mass_sd", "M500c", "flag", "part"]


@pytest.mark.integration
def test_results_tell_how_far_a_study_is_and_each_event_is_told_once(home, tmp_path):
    path, events = write_study(tmp_path, study="told"), []
    launched = cs.launch(path, in_process=True, on_event=events.append)
    assert sum(isinstance(event, cs.TrialDone) for event in events) == 3
    assert sum(isinstance(event, cs.ReplicateDone) for event in events) == 6
    found = cs.results(path)
    assert found.best == launched.results.best == found.ranked[0]
    assert (found.left.replicates, found.replicates, found.launch, found.notes) == (0, 6, None, ())
    assert "4 combinations: 3 complete, 1 infeasible" in repr(found)
    assert str(launched.report) in repr(launched)
    assert cs.plan(path).left.replicates == 0
    changed = write_study(tmp_path, study="told", training={"epochs": 9})
    with pytest.raises(StudyChangedError, match="training.epochs: 3 -> 9"):
        cs.results(changed)
    refused = cs.plan(changed)
    assert isinstance(refused.refused, StudyChangedError)
    assert dataclasses.replace(refused, refused=None).left is None


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_notebook_runs_from_its_first_cell_to_its_last_and_shows_tables_and_progress(home, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/")  # no browser, which would draw figures for ten seconds
    notebook = nbformat.read(ROOT / "docs" / "python.ipynb", as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")]  # what a machine printed is not committed
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell.id: [output.get("data", {}) for output in cell.get("outputs", [])] for cell in notebook.cells}
    every = [data for datas in shown.values() for data in datas]
    html = "\n".join(data.get("text/html", "") for data in every)
    for text in ("what kills it", "Best combinations", "On the test part", "RMSE"):
        assert text in html, text
    assert any("val_loss_dex2" in data.get("text/html", "") and "<table" in data["text/html"] for data in every)
    assert not [cell for cell in notebook.cells if any(o.output_type == "error" for o in cell.get("outputs", []))]
    said = [
        output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "stream"
    ]
    assert "".join(said).split() == ["Writing", "small.yaml"], said  # no library's warnings


def test_a_schema_is_that_of_what_is_asked_for():
    assert {of: "network" in cs.schema(of)["properties"] for of in ("study", "own", "training")} == {
        "study": True, "own": False, "training": True,
    }  # fmt: skip
    with pytest.raises(ValueError, match="there are schemas of 'study', 'own' and 'training', not of 'lunch'"):
        cs.schema("lunch")
