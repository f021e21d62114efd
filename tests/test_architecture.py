"""The import table of the package: who may know whom, and which door each heavy library has."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "clustersweep"
FILES = sorted(PACKAGE.rglob("*.py"))

PRINTERS = {"cli.py", "cli_operations.py", "cli_survey.py", "cli_training.py"}

# Each heavy library's doors: nobody else imports it.
DOORS = {
    "tensorflow": {"training/device.py"},
    "keras": {"training/device.py"},
    "ray": {"ray_cluster.py", "ray_node.py"},
    "optuna": {"storage.py", "storage_errors.py", "storage_records.py", "storage_tables.py"},
    "optuna_dashboard": {"storage.py"},
    "sqlalchemy": {"storage.py", "storage_errors.py", "storage_tables.py"},
    "psycopg2": {"postgres.py", "postgres_url.py", "embedded.py", "backup.py"},
    "psutil": {"embedded.py"},
    "plotly": {"report/"},
    "astropy": {"survey/"},
    "pyarrow": {"survey/"},
    "sklearn": {"survey/"},
    "scipy": {"survey/"},
    "pydantic": {"settings.py", "study.py", "training/configuration.py", "training/model_folder.py"},
    "yaml": {"yaml_reader.py", "yaml_lines.py", "training/configuration.py"},
    "typer": {"cli.py", "cli_options.py", "cli_operations.py", "cli_survey.py", "cli_training.py"},
    "rich": {"cli.py", "cli_survey.py", "cli_training.py", "progress.py", "tables.py", "training_progress.py"},
}

# What each part of the package may import of the others, beside itself and `errors`.
SETTINGS = {"settings", "settings_keys", "settings_problems", "settings_rules", "yaml_reader", "yaml_lines"}
STUDY = {"study", "study_keys", "study_rules"}
MAY_IMPORT = {
    "errors": set(),
    "commands": set(),
    "home": set(),
    "effective": {"network", "training"},
    "cpus": set(),
    "durations": set(),
    "turns": {"cpus", "durations"},
    "network": set(),
    "training": {"cpus", "home", "network", "survey", *SETTINGS},
    "survey": {"home"},
    "trial": {"network", "training"},
    "ranking": {"trial"},
    "yaml_lines": set(),
    "yaml_reader": {"yaml_lines"},
    "settings_keys": set(),
    "settings_problems": {"settings_keys", "yaml_lines"},
    "settings_rules": {"network", "survey", "yaml_lines"},
    "settings": {"survey", *SETTINGS},
    "study_keys": {"network", "settings_keys", "training", "trial"},
    "study_rules": {"settings_rules", "study_keys", "yaml_lines"},
    "study": {"network", "survey", "training", "trial", *SETTINGS, *STUDY},
    "backlog": set(),
    "cost": {"backlog", "training", "trial"},
    "speeds": {"cost", "home", "training"},
    "plan": {"cost", "effective", "network", "study", "survey", "trial"},
    "postgres_programs": {"home"},
    "postgres_url": set(),
    "embedded_folder": {"home", "postgres_programs"},
    "embedded": {"embedded_folder", "home", "postgres_programs", "postgres_url"},
    "postgres": {"embedded", "home", "postgres_url"},
    "postgres_dump": {"postgres_programs", "postgres_url"},
    "run_folder": {"home"},
    "storage_errors": set(),
    "storage_records": {"effective", "network", "study", "training", "trial"},
    "storage_tables": set(),
    "storage": {"plan", "postgres_url", "storage_errors", "storage_records", "storage_tables", "study", "trial"},
    "workers": {"training", "trial"},
    "ray_cluster": {"cpus", "postgres_url", "ray_node"},
    "ray_node": set(),
    "ray_gpus": {"ray_cluster"},
    "ray_workers": {"durations", "ray_cluster", "ray_gpus", "training", "trial", "workers"},
    "notices": {"training", "trial"},
    "outage": {"notices"},
    "running": {"cost", "storage", "study", "training", "trial"},
    "sweep": {"backlog", "cost", "notices", "outage", "plan", "run_folder", "running", "storage", "training", "trial",
              "workers"},
    "backup": {"home", "postgres", "postgres_dump", "postgres_url", "storage"},
    "removal": {"home", "postgres", "run_folder", "storage", "study"},
    "report": {"home", "network", "ranking", "survey", "training", "trial"},
    "export": {"home", "plan", "ranking", "run_folder", "study", "training", "trial"},
    "tables": {"cost", "durations", "network", "plan", "ranking", "training", "trial"},
    "remaining": {"notices", "trial"},
    "progress": {"cost", "durations", "notices", "plan", "remaining", "storage", "tables", "trial"},
    "launch": {"commands", "cost", "cpus", "export", "home", "notices", "plan", "postgres", "postgres_url",
               "ray_workers", "report", "run_folder", "running", "signals", "speeds", "storage", "study", "survey",
               "sweep", "training", "trial", "turns", "workers"},
    "cli_survey": {"cpus", "report", "survey"},
    "signals": set(),
    "training_run": {"commands", "cpus", "export", "home", "report", "signals", "survey", "training"},
    "training_progress": {"durations", "progress", "ranking", "tables", "training"},
    "cli_training": {"commands", "cli_survey", "cpus", "home", "survey", "training", "training_progress",
                     "training_run"},
    "cli_options": {"durations", "home", "postgres"},
    "cli_operations": {"backup", "cli_options", "removal"},
    "cli": {"*"},
    "__main__": {"cli"},
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
def test_parts_of_the_package_know_only_those_in_the_table(path):
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


def test_the_wings_know_nothing_of_the_sweep():
    for wing in ("training", "survey"):
        assert not MAY_IMPORT[wing] & {"sweep", "storage", "workers", "plan", "study", "trial", "report"}


def test_only_the_command_line_and_the_progress_display_write_to_the_terminal():
    for path in FILES:
        names = {node.func.id for node in ast.walk(ast.parse(path.read_text()))
                 if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
        assert "print" not in names or name_of(path) in PRINTERS, name_of(path)


def test_user_input_is_never_checked_by_assert():
    found = [name_of(path) for path in FILES if re.search(r"^\s+assert ", path.read_text(), re.MULTILINE)]
    assert found == []


def test_no_file_is_longer_than_a_newcomer_reads_in_one_go():
    longest = {name_of(path): len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in longest.items() if lines > 420} == {}


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom clustersweep.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'tensorflow', 'ray', 'plotly', 'optuna', 'numpy', 'pydantic', 'astropy', 'yaml'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
