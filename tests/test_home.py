import os
import subprocess
from pathlib import Path

import pytest

from clustersweep.errors import StorageError
from clustersweep.home import Home, find_home

ROOT, USER = 0, 1000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tiny disk")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_everything_lives_under_the_home() -> None:
    home = Home(Path("/h"))
    assert home.database == Path("/h/database")
    assert home.surveys == Path("/h/surveys")
    assert home.run("efeds-grid") == Path("/h/runs/efeds-grid")
    assert home.speeds == Path("/h/speeds.json")


def test_the_option_wins_over_the_environment(tmp_path: Path) -> None:
    environ = {"CLUSTERSWEEP_HOME": str(tmp_path / "variable"), "HOME": str(tmp_path)}
    assert find_home(tmp_path / "option", environ, USER).path == tmp_path / "option"
    assert entries(tmp_path) == ["option"]


def test_the_environment_wins_over_the_default(tmp_path: Path) -> None:
    environ = {"CLUSTERSWEEP_HOME": str(tmp_path / "variable"), "HOME": str(tmp_path)}
    assert find_home(None, environ, USER).path == tmp_path / "variable"


@pytest.mark.parametrize("environ", [{}, {"CLUSTERSWEEP_HOME": ""}])
def test_the_default_is_in_the_users_folder(tmp_path: Path, environ: dict[str, str]) -> None:
    assert find_home(None, environ | {"HOME": str(tmp_path)}, USER).path == tmp_path / ".clustersweep"


def test_roots_default_is_not_in_roots_private_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_home.__globals__["_HOME_OF_ROOT"] == Path("/var/lib/clustersweep")
    monkeypatch.setitem(find_home.__globals__, "_HOME_OF_ROOT", tmp_path / "lib")
    assert find_home(None, {"HOME": "/root"}, ROOT).path == tmp_path / "lib"


def test_a_tilde_is_the_users_folder(tmp_path: Path) -> None:
    environ = {"CLUSTERSWEEP_HOME": "~/sweeps", "HOME": str(tmp_path)}
    assert find_home(None, environ, USER).path == tmp_path / "sweeps"


def test_a_relative_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_home(Path("a/../b"), {}, USER).path == tmp_path / "b"


def test_a_new_home_is_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o277)
    try:
        find_home(tmp_path / "users", {}, USER)
        find_home(tmp_path / "roots", {}, ROOT)
    finally:
        os.umask(before)
    assert mode(tmp_path / "users") == 0o700
    assert mode(tmp_path / "roots") == 0o711  # its server's user passes through, nobody lists


def test_the_mode_of_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o775)
    find_home(tmp_path / "shared", {}, USER)
    assert mode(tmp_path / "shared") == 0o775


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match=r"--home: .*file cannot be made: file exists\. Choose a folder"):
        find_home(tmp_path / "file", {}, USER)
    with pytest.raises(StorageError, match=r"CLUSTERSWEEP_HOME: .* cannot be made: not a directory\. "):
        find_home(None, {"CLUSTERSWEEP_HOME": str(tmp_path / "file" / "home")}, USER)


def test_a_home_that_cannot_be_written_to_is_refused(closed: Path) -> None:
    with pytest.raises(StorageError, match=r"--home: .*closed cannot be written to\. Choose a folder"):
        find_home(closed, {}, USER)


@as_root
def test_a_home_on_a_read_only_disk_is_refused(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with pytest.raises(StorageError, match=r"--home: .*disk cannot be written to\. Choose a folder"):
        find_home(tiny_disk, {}, ROOT)
    with pytest.raises(StorageError, match=r"--home: .*disk/home cannot be made: read-only"):
        find_home(tiny_disk / "home", {}, ROOT)
