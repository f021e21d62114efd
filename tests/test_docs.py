"""README and docs cannot rot: every verb, module and shipped study is in them, and their numbers are the program's."""

import ast
import contextlib
import os
import re
import shlex
import shutil
import subprocess
from typing import NamedTuple

import forking
import pytest
from command_line import typed
from places import ROOT, TESTS
from small_study import write_study
from typer.main import get_command

from clustersweep.cli.main import app
from clustersweep.study.plan import make_plan
from clustersweep.tasks import load_study

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
    folders = ("clustersweep", "tests", "benchmarks", "sweeps")
    there = [f"/{path.relative_to(ROOT)}" for folder in folders for path in (ROOT / folder).rglob("*.py")]
    for name in re.findall(r"`([\w/]+\.py)`", page.read_text()):
        assert any(path.endswith(f"/{name}") for path in there), name


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_every_shipped_study_loads_and_plans(path):
    study = load_study(path)
    assert make_plan(study, study.task.header(study.axes)).trials


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_is_in_the_readme_and_says_how_to_run_it(path):
    assert f"`sweeps/{path.name}`" in README
    header = path.read_text().partition("\n\n")[0]
    assert re.search(rf"clustersweep (plan|launch|train) sweeps/{path.name}", header)


def test_the_readmes_study_is_the_quick_start(tmp_path):
    shown = re.search(r"```yaml\n(.*?)```", README, re.DOTALL).group(1)
    (tmp_path / "shown.yaml").write_text(shown)
    assert load_study(tmp_path / "shown.yaml") == load_study(ROOT / "sweeps" / "quickstart.yaml")


def prose(page):
    """Return a page without its fenced blocks: Python, YAML and what programs print."""
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page):
    """Return the names that GitHub gives a page's headings."""
    text = prose(page)
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
    text = prose(page).partition("\n")[2]  # a question in the title may have the word
    for word in ("study", "trial", "replicate"):
        first = re.search(rf"(?<![\w`-]){word}s?\b", text)
        assert first is None or re.search(r"(\*|\n\| )$", text[: first.start()]), text[first.start() - 60 : first.end()]


def test_no_file_names_a_host_of_packages():
    assert "http" not in (ROOT / "requirements.lock").read_text()


SNIPPETS = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    if page.name != "python.md"  # whose snippets go on where the one before ended: tests/api/test_studies.py
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), start=1)
]


def run_all(commands, home, folder):
    """Run commands of `clustersweep`, one after the other."""
    # Without a browser, which would draw the figures of reports for ten seconds.
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(home.path), "PATH": "/"}
    with contextlib.chdir(folder):
        for words in commands:
            done = typed(*words, env=env)
            assert done.returncode == 0, (words, done.stderr)


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
    axes = {"kernel_size": [3, 5], "conv_blocks": [1]}
    study = write_study(folder, study="docs", data={"rebin": 2}, search_space=axes)
    survey = ["simulate", folder / "survey", "--clusters", "60", "--pixels", "12", "--jobs", "1"]
    launch, report = ["launch", "--in-process", study], ["report", study, "--to", folder / "report"]
    run_all([survey, launch, report, ["export", study, "--to", folder / "best"]], embedded_home, folder)
    config = folder / "best" / "config.yaml"
    config.write_text(re.sub(r"epochs: \d+", "epochs: 2", config.read_text()))
    return folder


@pytest.mark.integration
@pytest.mark.timeout(300)
@pytest.mark.parametrize("code", SNIPPETS)
def test_the_python_of_every_page_runs_as_it_stands_on_an_export_of_a_study_that_rebins(code, small_data, tmp_path):
    shutil.copytree(small_data, tmp_path / "here")
    with contextlib.chdir(tmp_path / "here"):
        done = forking.run(["-c", code + (SAME_MASSES if "load_model(" in code else "")], os.environ, 200.0)
    assert done.returncode == 0, done.stderr
    longest = max(done.stdout.splitlines(), key=len, default="")
    assert len(longest) <= MOST_COLUMNS, longest


# Commands: every one is of the program as it is, and is run by a test with the same verb and options, or stands below.


class Command(NamedTuple):
    """A command of a page: `clustersweep` or `make`, its verb or target, and the words after it."""

    program: str
    verb: str
    words: tuple[str, ...]

    @property
    def options(self):
        return frozenset(word.split("=")[0] for word in self.words if word.startswith("--"))

    def __str__(self):
        """Return the command without its values: what decides whether a test runs the same."""
        return " ".join([self.program, self.verb, *sorted(self.options or ("GPU=1" in self.words and ["GPU=1"]) or [])])


def typed_lines(page):
    """Return the lines that a reader types, which are indented by four after an empty line."""
    blocks = re.findall(r"(?<=\n\n)(?:    \S.*\n)+", prose(page))
    return [line.strip() for block in blocks for line in block.splitlines()]


def command_of(text):
    """Return the command of a line or of words in a sentence; None where it is another program's."""
    found = re.search(r"(?:^|^nohup |--rm |&& )(clustersweep|make) ([a-z][a-z-]+)(.*)", text)
    if found is None:
        return None
    words = re.split(r" #| && |[<>|]|(?<!\w)2>", found[3])[0]
    unpaired = words.count("'") % 2  # of `sh -c '...'` around it
    return Command(found[1], found[2], tuple(shlex.split(words.replace("'", "") if unpaired else words)))


def commands_of(page):
    """Return every command of a page: of its lines, and of words in a sentence that are more than a verb's name."""
    inline = [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", prose(page))]
    found = [command_of(text) for text in (*typed_lines(page), *(w for w in inline if w.startswith(("cl", "make"))))]
    verbs = get_command(app).commands
    return [one for one in found if one and (one.program == "make" or one.words or not required(verbs.get(one.verb)))]


def required(verb):
    return verb is not None and any(parameter.required for parameter in verb.params)


EVERY = sorted({str(one): one for page in PAGES for one in commands_of(page)}.items())

# Pages whose lines a test runs as they stand, each with all lines up to the first that is no `clustersweep`.
AS_THEY_STAND = {
    "own-trainer.md": "own/test_page.py::test_the_lines_of_the_page_run_as_they_stand_killed_in_the_middle",
    "own-data.md": "test_own_data.py::test_everything_on_the_page_runs_as_it_stands_from_own_files_to_masses",
    "training.md": "test_quickstart.py::test_from_the_sweep_to_masses_as_the_page_says",
}
# Pages whose lines with these verbs are run as they stand below, on a small study in the place of the shipped ones.
ON_A_SMALL_STUDY = {"which-network.md", "figures.md", "overnight.md", "speed.md", "operations.md"}
LEAVE_AND_READ = {"plan", "launch", "status", "report", "replay", "export", "show"}

# Of all others, a test that types the same verb with the same options.
TYPED = {
    "clustersweep backup": "sweep/test_backup.py::test_the_verbs_say_what_they_have_done_and_never_the_password",
    "clustersweep restore": "sweep/test_backup.py::test_the_verbs_say_what_they_have_done_and_never_the_password",
    "clustersweep clean": "sweep/test_stop_early.py::test_stopped_trials_without_checkpoints_begin_again",
    "clustersweep convert --to": "cli/test_survey.py::test_the_labs_files_become_fits_and_npz_of_the_same_digest",
    "clustersweep dashboard": "cli/test_dashboard.py::dashboard",
    "clustersweep plan --home": "cli/test_survey.py::test_a_survey_with_other_habits_goes_from_its_files_to_a_plan",
    "clustersweep predict --to": "test_golden.py::test_a_model_of_an_earlier_version_predicts_the_same_masses",
    "clustersweep remove": "cli/test_operations.py::test_a_person_is_asked",
    "clustersweep schema": "cli/test_main.py::test_the_schema_is_the_shipped_one",
    "clustersweep schema --own": "cli/test_main.py::test_the_schema_is_the_shipped_one",
    "clustersweep schema --training": "cli/test_main.py::test_the_schema_is_the_shipped_one",
    "clustersweep show --catalogue": "cli/test_survey.py::test_show_and_convert_take_the_names_of_the_columns",
    "clustersweep simulate": "cli/test_survey.py::test_a_survey_is_simulated_and_shown",
    "clustersweep studies": "cli/test_studies.py::shown",
    "clustersweep stop": "cli/test_main.py::test_stopping_what_does_not_run_says_so_and_starts_nothing",
}
# What a test adds to be small and to have a place of its own.
ONLY_THE_TESTS = {"--home", "--jobs", "--pixels", "--clusters", "--port", "--threads", "--in-process"}
# What no test types, and why.
UNTYPED = {
    "clustersweep launch --address": "a cluster: the tests of hosts and images name theirs by RAY_ADDRESS",
    "make sweep": "the sweep that tests/test_quickstart.py runs, by the same verb",
    "make setup": "makes .venv/, in which the tests run; CI begins with it",
    "make setup GPU=1": "8 GB of CUDA; that it takes the other lock file is in tests/deployment/test_deployments.py",
    "make check": "CI runs it before the tests",
    "make test": "these tests, without deployments",
    "make test-all": "these tests; what CI runs",
    "make test-fast": "these tests, those that are fast",
    "make images-test": "tests/deployment/test_images.py, which make test-all runs too",
    "make chaos": "an hour; tests/deployment/test_chaos.py runs some rounds of it",
    "make bench": "over an hour; tests/test_benchmarks.py runs what can be small",
    "make bench-quick": "minutes; tests/test_benchmarks.py runs what can be small",
    "make fix": "changes the files that are tested",
    "make clean": "removes .venv/, in which the tests run",
    "make lock": "a network, and uv",
}
# Programs of others in a page's lines, and what runs or reads them; the rest is the reader's shell.
OTHERS = {
    "docker": "tests/deployment/test_images.py, in Docker's engine; what was not run is in docs/cluster.md",
    "docker/make-secrets": "tests/deployment/test_deployments.py",
    "ray": "tests/support/lab.py, on hosts made of network namespaces",
    "sbatch": "tests/deployment/test_slurm.py, with stand-ins for SLURM's commands",
}
SHELL = {"git", "cd", "source", "export", "ssh", "tmux", "tar", "head"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_the_program_takes(page):
    for one in commands_of(page):
        if one.program == "make":
            given = [word for word in one.words if "=" in word]
            command = ["make", "--dry-run", "--directory", str(ROOT), one.verb, *given]
            outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "GPU")}
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=outside)
            assert done.returncode == 0, done.stderr
            continue
        words = ["1" if word == "N" else word for word in one.words]
        get_command(app).commands[one.verb].make_context(one.verb, words)  # raises, where a reader would see exit 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_other_program_that_a_page_has_typed_is_known(page):
    for line in typed_lines(page):
        if command_of(line) is None:
            first = next(word for word in line.strip("(").split() if "=" not in word and word not in {"umask", "077;"})
            assert first in OTHERS or first in SHELL, line


def run_as_they_stand(page):
    """Return the commands of a page that a test takes from it; none where it takes none."""
    found = [command_of(line) for line in typed_lines(page)]
    if page.name in ON_A_SMALL_STUDY:
        return [one for one in found if one and one.program == "clustersweep" and one.verb in LEAVE_AND_READ]
    if page.name == "training.md":
        return found[: next(number for number, one in enumerate(found) if one.verb == "predict") + 1]
    return found if page.name in AS_THEY_STAND else []


@pytest.mark.parametrize(("name", "command"), EVERY, ids=[name for name, _ in EVERY])
def test_every_command_is_run_by_a_test_with_the_same_verb_and_options_or_it_is_said_why_not(name, command):
    if any(name == str(one) for page in PAGES for one in run_as_they_stand(page)):
        return
    if name in UNTYPED:
        assert name not in TYPED
        return
    assert name in TYPED, f"{name}: name the test that types it in TYPED, or the reason why none does in UNTYPED"
    assert types(TYPED[name], command), f"{TYPED[name]} does not type {name}"


def test_what_is_said_of_commands_is_said_of_commands_that_pages_have():
    names = {name for name, _ in EVERY}
    assert set(TYPED) | set(UNTYPED) <= names
    for page, test in AS_THEY_STAND.items():
        path, _, function = test.partition("::")
        assert f"def {function}(" in (TESTS / path).read_text()
        assert f'"{page}"' in (TESTS / path).read_text()


def types(test, command):
    """Return whether a test or a fixture has a list or a call of words with that verb and those options, no others."""
    path, _, name = test.partition("::")
    [function] = [
        node
        for node in ast.parse((TESTS / path).read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    for node in ast.walk(function):
        parts = {ast.Call: "args", ast.List: "elts", ast.Tuple: "elts"}.get(type(node))
        words = [part.value for part in getattr(node, parts or "", []) if isinstance(part, ast.Constant)]
        options = {word.split("=")[0] for word in words if isinstance(word, str) and word.startswith("--")}
        if command.verb in words and command.options <= options <= command.options | ONLY_THE_TESTS:
            return True
    return False


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_the_lines_of_pages_run_as_they_stand_on_a_finished_study(small_data, embedded_home, tmp_path):
    """A launch of a finished study has nothing to train, but takes its options."""
    here = tmp_path / "here"
    shutil.copytree(small_data, here)
    shutil.copytree(here / "survey", here / "fresh")
    shutil.rmtree(here / "best")
    (here / "sweeps").mkdir()
    for path in STUDIES:
        shutil.copy(here / "small.yaml", here / "sweeps" / path.name)
    pages = [page for page in PAGES if page.name in ON_A_SMALL_STUDY]
    commands = [one for page in pages for one in run_as_they_stand(page)]
    assert {one.verb for one in commands} == LEAVE_AND_READ
    run_all([[one.verb, *one.words] for one in commands], embedded_home, here)
    for written in ("best", "second", "chosen"):
        assert (here / written / "model.keras").exists()
    assert (here / "report" / "report.html").exists()
    assert (here / "fresh.html").exists()
