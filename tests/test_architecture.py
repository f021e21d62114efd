"""The import table of the package: who may know whom, and which door each heavy library has."""

import ast
import re
import subprocess
import sys

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
    "astropy": {"survey/"},
    "pyarrow": {"survey/"},
    "sklearn": {"survey/"},
    "scipy": {"survey/"},
    "pydantic": {"settings/", "study/study.py", "training/files/"},
    "yaml": {"settings/", "training/files/configuration.py"},
    "typer": {"cli/"},
    "rich": {"cli/"},
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
    "report": {"files", "study", "survey", "training", "words"},
    "masses": {"cpus", "files", "home", "provenance", "report", "settings", "study", "survey", "sweep", "training",
               "words"},
    "cli": {"*"},
}  # fmt: skip


def name_of(path):
    return str(path.relative_to(PACKAGE))


def part_of(path):
    inside = path.relative_to(PACKAGE)
    return inside.parts[0].removesuffix(".py")


def imports(path):
    """Yield every imported module of a file, wherever in the file it is imported."""
    for node in ast.walk(ast.parse(path.read_text())):
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
        assert not [module for module in imports(path) if module.startswith("clustersweep")]
        return
    allowed = MAY_IMPORT[part] | {part, "errors"}
    for module in imports(path):
        if module.startswith("clustersweep.") and "*" not in allowed:
            other = module.split(".")[1]
            assert other in allowed or other == "__version__", f"{name_of(path)} must not import {module}"


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


def test_the_root_has_at_most_eight_files():
    assert len([path for path in FILES if path.parent == PACKAGE]) <= 8


def test_the_wings_know_nothing_of_the_sweep():
    for wing in ("training", "survey"):
        assert not MAY_IMPORT[wing] & {"sweep", "storage", "workers", "report"}


def test_only_the_command_line_and_the_progress_display_write_to_the_terminal():
    for path in FILES:
        names = {node.func.id for node in ast.walk(ast.parse(path.read_text()))
                 if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
        assert "print" not in names or name_of(path).startswith("cli/"), name_of(path)


def test_user_input_is_never_checked_by_assert():
    found = [name_of(path) for path in FILES if re.search(r"^\s+assert ", path.read_text(), re.MULTILINE)]
    assert found == []


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom clustersweep.cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'tensorflow', 'ray', 'plotly', 'optuna', 'numpy', 'pydantic', 'astropy', 'yaml'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
