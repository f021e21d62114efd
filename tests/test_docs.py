"""The README cannot rot: every verb, module and shipped study is in it, and its numbers are the program's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from clustersweep.cli import app
from clustersweep.plan import make_plan
from clustersweep.study import load_study
from clustersweep.survey.source import read_header

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SHIPPED = sorted((ROOT / "sweeps").glob("*.yaml"))
STUDIES = [path for path in SHIPPED if "\nstudy: " in path.read_text()]


@pytest.mark.parametrize("verb", sorted(get_command(app).commands))
def test_every_verb_is_in_the_readme_and_explains_itself_and_its_options(verb):
    assert f"`clustersweep {verb}" in README
    command = get_command(app).commands[verb]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None) or parameter.name == "help", f"{verb} --{parameter.name}"


def test_every_module_is_in_the_readmes_table():
    for path in (ROOT / "clustersweep").iterdir():
        if path.name in {"__init__.py", "__main__.py", "__pycache__"}:
            continue
        assert f"`{path.name}`" in README or f"`{path.name}/`" in README, path.name


def test_the_readmes_modules_exist():
    folders = ("clustersweep", "tests", "benchmarks")
    there = {path.name for folder in folders for path in (ROOT / folder).rglob("*.py")}
    assert set(re.findall(r"`(\w+\.py)`", README)) <= there


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_every_shipped_study_loads_and_plans(path):
    study = load_study(path)
    assert make_plan(study, read_header(study.data)).trials


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_is_in_the_readme_and_says_how_to_run_it(path):
    assert f"`sweeps/{path.name}`" in README
    header = path.read_text().partition("\n\n")[0]
    assert re.search(rf"clustersweep (plan|launch|train) sweeps/{path.name}", header)


def test_the_readmes_study_is_the_quick_start(tmp_path):
    shown = re.search(r"```yaml\n(.*?)```", README, re.DOTALL).group(1)
    (tmp_path / "shown.yaml").write_text(shown)
    assert load_study(tmp_path / "shown.yaml") == load_study(ROOT / "sweeps" / "quickstart.yaml")


def test_every_link_of_the_readme_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_no_file_names_a_host_of_packages():
    assert "http" not in (ROOT / "requirements.lock").read_text()


@pytest.mark.integration
@pytest.mark.timeout(120)
def test_the_readmes_python_runs_as_it_stands(tmp_path):
    from clustersweep.survey.simulate import write_survey
    from clustersweep.survey.spec import SimulateSpec

    write_survey(SimulateSpec(clusters=60, pixels=8), tmp_path / "survey", jobs=1)
    network = "{filters: 2, dense_layers: 1, dense_units: [4]}"
    (tmp_path / "config.yaml").write_text(
        f"format: clustersweep-training\nversion: 1\nnetwork: {network}\ntraining: {{epochs: 2}}\nseeds: [0]\n"
        "data: {images: survey/images.fits, catalogue: survey/catalogue.fits}\n"
    )
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Estimate(value=" in done.stdout
