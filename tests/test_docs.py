"""README and docs cannot rot: every verb, module and shipped study is in them, and their numbers are the program's."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from places import ROOT
from small_study import write_study
from typer.main import get_command

from clustersweep.cli.main import app
from clustersweep.masses.task import load_study
from clustersweep.study.plan import make_plan
from clustersweep.survey.source import read_header

MOST_LINES = 200  # of the README: the rest is in docs/
MOST_COLUMNS = 120  # of a line that a snippet prints
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHIPPED = sorted((ROOT / "sweeps").glob("*.yaml"))
STUDIES = [path for path in SHIPPED if "\nstudy: " in path.read_text()]


@pytest.mark.parametrize("verb", sorted(get_command(app).commands))
def test_every_verb_is_in_the_readme_and_explains_itself_and_its_options(verb):
    assert f"`clustersweep {verb}" in README
    command = get_command(app).commands[verb]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None) or parameter.name == "help", f"{verb} --{parameter.name}"


def test_the_readme_says_where_home_goes_and_which_verbs_have_none():
    said = re.search(r"goes after the verb \(.*?\); ([^;]*?) have\s+none", README, re.DOTALL).group(1)
    commands = get_command(app).commands
    without = {verb for verb, command in commands.items() if not any("--home" in p.opts for p in command.params)}
    assert set(re.findall(r"`(\w+)`", said)) == without


def test_the_page_on_training_announces_the_stage_that_an_export_adds():
    described = (ROOT / "docs" / "training.md").read_text().partition("`train` shows every stage")[0]
    assert re.search(r"`export` writes asks `train` for one\s+stage more.*`probabilistic`", described, re.DOTALL)


def test_every_folder_of_the_package_and_every_file_of_its_root_is_in_the_table_for_those_who_work_on_it():
    page = (ROOT / "docs" / "development.md").read_text()
    for path in (ROOT / "clustersweep").iterdir():
        if path.name not in {"__init__.py", "__main__.py", "__pycache__"}:
            assert f"`{path.name}/`" in page if path.is_dir() else f"`{path.name}`" in page, path.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_modules_that_a_page_names_exist(page):
    folders = ("clustersweep", "tests", "benchmarks")
    there = [f"/{path.relative_to(ROOT)}" for folder in folders for path in (ROOT / folder).rglob("*.py")]
    for name in re.findall(r"`([\w/]+\.py)`", page.read_text()):
        assert any(path.endswith(f"/{name}") for path in there), name


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_every_shipped_study_loads_and_plans(path):
    study = load_study(path)
    assert make_plan(study, read_header(study.task.data)).trials


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_is_in_the_readme_and_says_how_to_run_it(path):
    assert f"`sweeps/{path.name}`" in README
    header = path.read_text().partition("\n\n")[0]
    assert re.search(rf"clustersweep (plan|launch|train) sweeps/{path.name}", header)


def test_the_readmes_study_is_the_quick_start(tmp_path):
    shown = re.search(r"```yaml\n(.*?)```", README, re.DOTALL).group(1)
    (tmp_path / "shown.yaml").write_text(shown)
    assert load_study(tmp_path / "shown.yaml") == load_study(ROOT / "sweeps" / "quickstart.yaml")


def anchors(page):
    """Return the names that GitHub gives a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere_also_inside_the_other_page(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


def test_the_readme_is_short_and_leads_to_every_page():
    assert len(README.splitlines()) <= MOST_LINES
    index = README.partition("## Where to read on")[2]
    assert set(re.findall(r"\]\(docs/([\w-]+\.md)\)", index)) == {page.name for page in PAGES[1:]}


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_a_page_begins_with_its_question_and_ends_with_where_to_read_on(page):
    text = page.read_text()
    assert re.match(r"# .+\?\n", text)
    last = text.rstrip().rpartition("\n\n")[2]
    assert last.startswith("Read on: ")
    assert "](" in last


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_explains_study_trial_and_replicate_before_it_uses_them(page):
    """Where a word first comes it is in italics, bold, or the first column of a table: there is its meaning."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for word in ("trial", "replicate"):
        first = re.search(rf"(?<![\w`-]){word}s?\b", text)
        assert first is None or re.search(r"(\*|\n\| )$", text[: first.start()]), text[first.start() - 60 : first.end()]


def test_no_file_names_a_host_of_packages():
    assert "http" not in (ROOT / "requirements.lock").read_text()


SNIPPETS = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), start=1)
]


# What Keras alone makes of an export is what the sweep's own network does.
SAME_MASSES = """
from clustersweep.training.engine import ScaledImages
from clustersweep.training.files.configuration import load_configuration
from clustersweep.training.model import build_model, load_weights
from pathlib import Path

read, folder = load_configuration(Path("best/config.yaml")), Path("best/model.keras")
own = build_model(read.network, read.image_shape, read.training.outputs)
for variable, value in zip(own.trainable_variables, load_weights(read.network, read.image_shape, folder), strict=True):
    variable.assign(value)
expected = own(ScaledImages(read.scaling)(counts)).numpy()[:, 0] * read.scaling.log_mass_sd + read.scaling.log_mass_mean
assert counts.shape[1:] == tuple(read.image_shape) and read.data.rebin == 2
assert np.allclose(log_mass, expected, atol=1e-5), (log_mass, expected)
"""


@pytest.fixture(scope="module")
def small_data(embedded_home, tmp_path_factory):
    """What the pages speak of, only smaller: a `survey/`, and `report/` and `best/` of a study that rebins."""
    folder = tmp_path_factory.mktemp("docs")
    study = write_study(folder, study="docs", data={"rebin": 2}, search_space={"kernel_size": [3], "conv_blocks": [1]})
    survey = ["simulate", folder / "survey", "--clusters", "60", "--pixels", "12", "--jobs", "1"]
    launch, report = ["launch", "--in-process", study], ["report", study, "--to", folder / "report"]
    for words in (survey, launch, report, ["export", study, "--to", folder / "best"]):
        command = [sys.executable, "-m", "clustersweep", *map(str, words)]
        env = {**os.environ, "CLUSTERSWEEP_HOME": str(embedded_home.path)}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
    config = folder / "best" / "config.yaml"
    config.write_text(re.sub(r"epochs: \d+", "epochs: 2", config.read_text()))
    return folder


@pytest.mark.integration
@pytest.mark.timeout(300)
@pytest.mark.parametrize("code", SNIPPETS)
def test_the_python_of_every_page_runs_as_it_stands_on_an_export_of_a_study_that_rebins(code, small_data, tmp_path):
    shutil.copytree(small_data, tmp_path / "here")
    command = [sys.executable, "-c", code + (SAME_MASSES if "load_model(" in code else "")]
    done = subprocess.run(command, cwd=tmp_path / "here", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    longest = max(done.stdout.splitlines(), key=len, default="")
    assert len(longest) <= MOST_COLUMNS, longest
