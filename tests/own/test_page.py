"""What docs/own-trainer.md says, typed in an empty folder; and the studies that people would copy."""

import contextlib
import csv
import getpass
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import forking
import numpy as np
import pytest
import yaml
from places import ROOT

from clustersweep.study.events import EpochEnd, Finished, Stopped
from clustersweep.survey.source import open_dataset
from clustersweep.survey.spec import DataSpec, SimulateSpec, SplitSpec
from clustersweep.survey.split import make_split
from clustersweep.tasks import load_study
from clustersweep.training.data import parts_of

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "own-trainer.md").read_text()
AS_TYPED = "own-trainer.md"  # the page whose lines are run here


@pytest.fixture
def typed(embedded_home, tmp_path):
    """Run a line of the page in an empty folder."""
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(embedded_home.path)}

    def run(line, code=0):
        words = shlex.split(line)
        assert words[0] == "clustersweep"
        with contextlib.chdir(tmp_path):
            done = forking.run(words[1:], env, 300.0)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def block(kind, number=0):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[number]


def test_the_lines_of_the_page_run_as_they_stand_killed_in_the_middle(typed, tmp_path, embedded_home, children):
    assert len([line for line in block("python").splitlines() if line]) <= 10  # "Ten lines"
    (tmp_path / "sine.py").write_text(block("python"))
    (tmp_path / "sine.yaml").write_text(block("yaml"))
    lines = re.findall(r"^    (clustersweep .*)$", PAGE, re.MULTILINE)
    plan, launch, status, report, export, same_code = lines
    assert "6 feasible, 0 impossible; 3 seeds make 18 replicates" in typed(plan).stdout
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(embedded_home.path)}
    first = children(
        [sys.executable, "-m", *shlex.split(launch)], cwd=tmp_path, env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    for line in first.stderr:
        if line.startswith("trial "):
            break
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    time.sleep(1)
    said = typed(launch)
    left = int(re.search(r"(\d+) of 18 replicates to train", said.stderr)[1])
    assert 0 < left < 18
    assert "6 combinations: 6 complete" in said.stdout
    assert "6 combinations: 6 complete" in typed(status).stdout
    page, table = map(str.strip, typed(report).stdout.splitlines())
    with open(table) as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    assert all(row["epochs_trained"] == "300" and 0.05 < float(row["rmse"]) < 1 for row in rows)
    with open(page) as file:
        assert "rmse against cost" in file.read()
    typed(export)
    best = yaml.safe_load((tmp_path / "best" / "best.yaml").read_text())
    assert best["params"]["degree"] in (3, 5)
    assert sorted(best["seeds"]) == [0, 1, 2]
    (tmp_path / "sine.py").write_text(block("python") + "# a comment\n")
    typed(launch, code=2)
    assert "0 of 18 replicates to train" in typed(same_code).stderr


def trained(study, params, seed=0, checkpoint=None, until=None):
    """Train one replicate in this process, as a worker does; gives its events."""
    trainers = study.task.trainers(study.task.load(study.axes, None), cpus=1, gpus=0, deterministic=True)
    return list(
        trainers.trainer(params).replicate(
            seed, key="k", checkpoint=checkpoint, checkpoint_every_s=0.0, until=until, stop=lambda: False
        )
    )


@pytest.fixture
def shipped(tmp_path):
    """Copy a study that is shipped with its code, with some of its text replaced."""
    finders, modules = list(sys.meta_path), set(sys.modules)

    def copy(name, **changes):
        shutil.copy(ROOT / "sweeps" / f"{name}.py", tmp_path)
        content = yaml.safe_load((ROOT / "sweeps" / f"{name}.yaml").read_text())
        content["settings"] |= changes
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return load_study(path)

    yield copy
    sys.meta_path[:] = finders
    for name in set(sys.modules) - modules:
        if name in ("trees", "keras_fit", "saved"):
            del sys.modules[name]


def test_a_training_that_saves_as_the_page_shows_goes_on_where_it_was(tmp_path, shipped):
    (tmp_path / "saved.py").write_text(block("python", 1))
    (tmp_path / "saved.yaml").write_text(
        "study: saved\ntask: saved:train\nsearch_space: {a: [1]}\nobjective: {metric: rmse}\n"
    )
    study = load_study(tmp_path / "saved.yaml")
    whole = trained(study, {"a": 1})[-1]
    stopped = trained(study, {"a": 1}, until=50)
    gone_on = trained(study, {"a": 1}, checkpoint=stopped[-2].state)
    assert gone_on[0].epoch == 51
    assert gone_on[-1].curve[-1] == pytest.approx(whole.curve[-1], nan_ok=True)


def test_trees_learn_more_from_rings_and_redshifts_than_from_the_whole_image(shipped):
    study = shipped("trees", data={"simulate": {"clusters": 300, "seed": 1, "pixels": 20}}, trees=30)
    ends = {
        counts: trained(study, {"counts": counts, "redshift": known, "max_leaf_nodes": 7, "learning_rate": 0.1})[-1]
        for counts, known in (("whole", False), ("rings", True))
    }
    assert all(isinstance(end, Finished) and end.epochs == 30 for end in ends.values())
    assert ends["rings"].val_loss < ends["whole"].val_loss < 0.3
    assert ends["rings"].curve[-1][0] < ends["rings"].curve[0][0]  # the training part


def test_trees_are_validated_on_the_clusters_that_validate_the_networks(shipped):
    study = shipped("trees", data={"simulate": {"clusters": 300, "seed": 1, "pixels": 20}}, trees=1)
    trained(study, {"counts": "whole", "redshift": False, "max_leaf_nodes": 7, "learning_rate": 0.1})
    survey = sys.modules["trees"].survey
    _, log_mass, _, _, validation = survey(json.dumps(study.task.settings, sort_keys=True))
    spec = DataSpec(simulate=SimulateSpec(clusters=300, seed=1, pixels=20))
    dataset = open_dataset(spec, Path(tempfile.gettempdir()) / f"surveys-of-{getpass.getuser()}")
    networks = parts_of(dataset, make_split(len(dataset), SplitSpec(), dataset.identifiers), "sqrt")
    assert np.array_equal(np.sort(log_mass[validation]), np.sort(networks.validation_log_mass))


def test_a_keras_model_with_fit_goes_on_where_it_was_and_comes_to_the_same(shipped):
    from clustersweep.training.device import configure_device

    configure_device(1)  # as all tests that train in this process have it: TensorFlow takes its threads once
    study = shipped("keras_fit", epochs=3)
    params = {"filters": 4, "learning_rate": 0.01}
    whole = trained(study, params)[-1]
    assert isinstance(whole, Finished)
    assert whole.val_loss > 0.5  # of ten digits
    assert set(whole.metrics) == {"accuracy", "loss", "val_loss"}
    stopped = trained(study, params, until=1)
    assert isinstance(stopped[-1], Stopped)
    gone_on = trained(study, params, checkpoint=stopped[-2].state)
    assert [event.epoch for event in gone_on if isinstance(event, EpochEnd)] == [2, 3]
    assert gone_on[-1].curve == whole.curve
