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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_no_file_names_a_host_of_packages():
    assert "http" not in (ROOT / "requirements.lock").read_text()


SNIPPETS = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), start=1)
]


@pytest.fixture(scope="module")
def small_data(embedded_home, tmp_path_factory):
    """A folder with what the pages speak of, only smaller: `survey/`, and `best/` of a study that rebins."""
    folder = tmp_path_factory.mktemp("docs")
    study = write_study(folder, study="docs", data={"rebin": 2}, search_space={"kernel_size": [3], "conv_blocks": [1]})
    survey = ["simulate", folder / "survey", "--clusters", "60", "--pixels", "12", "--jobs", "1"]
    for words in (survey, ["launch", "--in-process", study], ["export", study, "--to", folder / "best"]):
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
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path / "here", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    longest = max(done.stdout.splitlines(), key=len, default="")
    assert len(longest) <= MOST_COLUMNS, longest
