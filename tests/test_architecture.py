"""The import table of the package: who may know whom, and which door each heavy library has."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from places import ROOT

PACKAGE = ROOT / "clustersweep"
FILES = sorted(PACKAGE.rglob("*.py"))

# Each heavy library's doors: nobody else imports it.
DOORS = {
    "tensorflow": {"training/device.py"},
    "keras": {"training/device.py"},
    "ray": {"workers/connection.py", "workers/node.py"},
    "optuna": {"storage/"},
    "optuna_dashboard": {"storage/"},
    "sqlalchemy": {"storage/"},
    "psycopg2": {"postgres/", "sweep/backup.py"},
    "psutil": {"postgres/"},
    "plotly": {"report/"},
    "astropy": {"survey/", "api/"},
    "pyarrow": {"survey/"},
    "sklearn": {"survey/"},
    "scipy": {"survey/", "study/race.py"},
    "pydantic": {"settings/", "study/study.py", "training/files/"},
    "yaml": {"settings/", "training/files/configuration.py", "own/export.py"},
    "typer": {"cli/"},
    "rich": {"cli/", "display/", "api/"},
}

# What each folder, or file of the root, may import of the others, beside itself and `errors`.
MAY_IMPORT = {
    "__main__": {"cli"},
    "errors": set(),
    "cpus": set(),
    "files": set(),
    "home": {"files"},
    "provenance": set(),
    "words": set(),
    "settings": set(),
    "study": {"files", "settings", "words"},
    "postgres": {"files", "home"},
    "storage": {"postgres", "study"},
    "workers": {"cpus", "postgres", "study", "words"},
    "sweep": {"cpus", "files", "home", "postgres", "storage", "study", "words", "workers"},
    "survey": {"files", "words"},
    "training": {"cpus", "files", "settings", "study", "survey", "words"},
    "report": {"files", "provenance", "study", "survey", "training", "words"},
    "masses": {"cpus", "files", "home", "provenance", "report", "settings", "study", "survey", "sweep", "training",
               "words"},
    "own": {"files", "provenance", "settings", "study", "sweep", "words"},
    "tasks": {"masses", "own", "study"},
    "display": {"masses", "own", "report", "storage", "study", "sweep", "training", "words"},
    "api": {"cpus", "display", "home", "masses", "own", "postgres", "report", "storage", "study", "survey", "sweep",
            "tasks", "training", "words"},
    "cli": {"*"},
}  # fmt: skip


# Those whose `__init__` names what is public in them.
FOLDERS_OF_NAMES = ("survey", "postgres", "settings", "study", "storage", "report", "masses", "own", "training")


def name_of(path):
    return str(path.relative_to(PACKAGE))


def part_of(path):
    inside = path.relative_to(PACKAGE)
    return inside.parts[0].removesuffix(".py")


@functools.cache
def nodes(path):
    """Return every node of a file's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text())))


def imports(path):
    """Yield every imported module of a file, wherever in the file it is imported."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "clustersweep")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_libraries_are_imported_through_their_doors_only(path):
    for module in imports(path):
        doors = DOORS.get(module.split(".")[0])
        assert doors is None or any(name_of(path).startswith(door) for door in doors), f"{module} has other doors"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_folders_of_the_package_know_only_those_in_the_table(path):
    part = part_of(path)
    if part == "__init__":
        own = {module.split(".")[1] for module in imports(path) if module.startswith("clustersweep.")}
        assert own == {"api", "errors", "sweep"}  # for editors alone: nothing is imported before it is asked for
        return
    allowed = MAY_IMPORT[part] | {part, "errors"}
    for module in imports(path):
        if module.startswith("clustersweep.") and "*" not in allowed:
            other = module.split(".")[1]
            assert other in allowed or other in {"__version__", "public_names"}, (
                f"{name_of(path)} must not import {module}"
            )


def test_the_table_has_no_part_that_is_gone():
    assert set(MAY_IMPORT) == {part_of(path) for path in FILES} - {"__init__"}


def test_the_engine_knows_neither_networks_nor_galaxy_clusters():
    for folder in ("settings", "study", "storage", "postgres", "workers", "sweep"):
        assert not MAY_IMPORT[folder] & {"training", "survey", "report", "masses", "cli"}, folder


def test_no_folders_know_one_another_in_a_circle():
    left = {name: known - {"*"} for name, known in MAY_IMPORT.items()}
    while free := [name for name, known in left.items() if not known & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}


def public_of(folder):
    """Return a folder's public names by the module that has them, as its `__init__` gives them."""
    (call,) = (node for node in nodes(PACKAGE / folder / "__init__.py") if isinstance(node, ast.Call))
    return ast.literal_eval(call.args[1])


@pytest.mark.parametrize("folder", FOLDERS_OF_NAMES)
def test_a_folder_names_what_others_take_of_it(folder):
    """A function that has its module's name is public with the module, which a folder cannot name beside it."""
    public = public_of(folder)
    for path in FILES:
        for node in nodes(path) if part_of(path) != folder else ():
            if isinstance(node, ast.ImportFrom) and node.module.startswith(f"clustersweep.{folder}."):
                module = node.module.removeprefix(f"clustersweep.{folder}.")
                missing = {alias.name for alias in node.names} - set(public.get(module, ())) - {module.split(".")[-1]}
                assert not missing, f"{folder}/__init__.py does not name {missing} of {module}, for {name_of(path)}"


@pytest.mark.parametrize("folder", FOLDERS_OF_NAMES)
def test_a_public_name_is_one_modules_and_hides_none(folder):
    modules = {path.stem for path in (PACKAGE / folder).iterdir()}
    names = [name for names in public_of(folder).values() for name in names]
    assert len(names) == len(set(names))
    assert not modules & set(names), "a module of that name hides it"


def test_public_names_are_there_and_their_modules_wait_until_they_are_asked_for():
    script = (
        "import sys, importlib\n"
        f"folders = [importlib.import_module('clustersweep.' + name) for name in {FOLDERS_OF_NAMES}]\n"
        "assert not {'numpy', 'pydantic', 'yaml', 'psycopg2', 'optuna', 'plotly', 'tensorflow'} & set(sys.modules)\n"
        "for folder in folders[:-1]:\n"
        "    for name in folder.__all__: getattr(folder, name)\n"
        "assert folders[0].Dataset is sys.modules['clustersweep.survey.dataset'].Dataset\n"
        "try: folders[0].nothing\n"
        "except AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "module 'clustersweep.survey' has no attribute 'nothing'\n"), (
        done.stderr
    )


@pytest.mark.integration
def test_the_public_names_of_the_training_are_there():
    import clustersweep.training

    for name in clustersweep.training.__all__:  # TensorFlow
        getattr(clustersweep.training, name)


def test_the_root_has_at_most_eight_files():
    assert len([path for path in FILES if path.parent == PACKAGE]) <= 8


def test_lint_limits_every_function_of_the_package():
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    limits = {"C901", "PLR0912", "PLR0917"}
    assert limits <= set(lint["select"])
    assert lint["pylint"] == {"max-positional-args": 5, "max-branches": 10}
    assert lint["mccabe"] == {"max-complexity": 10}
    assert not [files for files, rules in lint["per-file-ignores"].items()
                if files.startswith("clustersweep") and limits & set(rules)]  # fmt: skip
    noqa = re.compile(r"noqa: [^#]*(C901|PLR0912|PLR0917)(?!.*#)")  # a reason beside it is another comment
    assert [name_of(path) for path in FILES if noqa.search(path.read_text())] == []


def test_the_wings_know_nothing_of_the_sweep():
    for wing in ("training", "survey"):
        assert not MAY_IMPORT[wing] & {"sweep", "storage", "workers", "report"}


def test_only_the_command_line_and_the_progress_display_write_to_the_terminal():
    for path in FILES:
        names = {node.func.id for node in nodes(path)
                 if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
        assert "print" not in names or name_of(path).startswith("cli/"), name_of(path)


def test_user_input_is_never_checked_by_assert():
    found = [name_of(path) for path in FILES if re.search(r"^\s+assert ", path.read_text(), re.MULTILINE)]
    assert found == []


def test_what_a_study_is_imports_nothing_that_trains_keeps_or_draws():
    script = (
        "import sys, clustersweep.study as study\n"
        "with_numpy = {'PARTS', 'Speed', 'SpeedMeter', 'Sums', 'fitted', 'in_parts'}\n"
        "for name in set(study.__all__) - with_numpy: getattr(study, name)\n"
        "heavy = {'tensorflow', 'keras', 'ray', 'plotly', 'optuna', 'sqlalchemy', 'astropy', 'scipy', 'numpy'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


WORKERS_MODULES = ("workers.protocol", "masses.task", "own.task", "training.files.checkpoint")


@pytest.mark.parametrize(
    "modules",
    [
        pytest.param(WORKERS_MODULES, id="before-training"),
        pytest.param(
            ("workers.ray_pool", *WORKERS_MODULES, "training.engine"), id="all", marks=pytest.mark.integration
        ),
    ],
)
def test_what_a_worker_imports_reads_no_study_file(modules):
    """pydantic takes a quarter of a second of every worker's start."""
    script = (
        "import sys, importlib\n"
        f"for name in {modules}: importlib.import_module('clustersweep.' + name)\n"
        "sys.exit(str({'pydantic', 'optuna', 'plotly'} & set(sys.modules) or '') or None)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom clustersweep.cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'tensorflow', 'ray', 'plotly', 'optuna', 'numpy', 'pydantic', 'astropy', 'yaml'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Modules without a test file of their own, and why.
WITHOUT_TESTS = {
    "__main__.py": "calls the command line",
    "api/places.py": "calls what is tested in test_home.py and postgres/test_location.py",
    "study/watcher.py": "a protocol",
    "survey/data/make_mass_function.py": "made the table once; survey/simulator/test_tables.py reads it",
    "survey/names.py": "names",
    "survey/standard.py": "what `convert` writes: survey/formats/test_all.py",
    "sweep/events.py": "plain values",
    "sweep/timings.py": "plain values",
    "training/files/configuration_keys.py": "words",
    "training/keys.py": "words",
    "training/metric.py": "a value",
    "training/spec.py": "plain values",
    "workers/timings.py": "plain values",
}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_module_has_a_test_file_of_its_own_or_it_is_said_why_not(path):
    name = name_of(path)
    if path.name == "__init__.py":
        return
    where = ROOT / "tests" / Path(name).with_name(f"test_{path.name}")
    assert where.exists() != (name in WITHOUT_TESTS), where
