"""The embedded server's folder: where it may lie, and that one process and one machine have it at a time."""

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from clustersweep.errors import StorageError
from clustersweep.home import Home
from clustersweep.postgres import embedded_folder
from clustersweep.postgres.embedded import ensure_running
from clustersweep.postgres.programs import Owner

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whose server runs as another user")
THERE = {"hostname": "node17", "boot": "another-boot"}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def refusal(home: Home) -> str:
    with pytest.raises(StorageError) as caught:
        ensure_running(home)
    return str(caught.value)


# Where it may lie


@as_root
def test_a_home_in_a_private_folder_is_refused_and_the_folder_stays_private(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    closed = next(p for p in reversed((private / "x").parents) if not p.stat().st_mode & 0o001)
    text = refusal(Home(private / "home"))
    assert f"home: {private / 'home'} is no place for the embedded PostgreSQL: it cannot run as root" in text
    assert f"clustersweep-db, may not pass through {closed}. Choose another home with --home" in text
    assert "(root's default is /var/lib/clustersweep), or use a PostgreSQL server of your own" in text
    assert mode(private) == 0o700
    link = folder / "link"
    link.symlink_to(private)
    assert f"may not pass through {link}" in refusal(Home(link / "home"))


def long_home(folder: Path, socket_bytes: int) -> Home:
    return Home(folder / ("n" * (socket_bytes - len(f"{folder}//database/.s.PGSQL.5432"))))


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    home = long_home(tmp_path, 110)
    text = refusal(home)
    assert f"home: {home.path} is {110 - embedded_folder._SOCKET_PATH_BYTES} bytes too long for the embedded" in text
    assert f"a Unix socket has at most {embedded_folder._SOCKET_PATH_BYTES} bytes, and this would be" in text
    assert "Choose a shorter home with --home, or use a PostgreSQL server of your own with --storage" in text
    assert not home.path.exists()


def test_a_path_with_a_comma_is_refused(tmp_path: Path) -> None:
    message = r"x,y has a comma, which PostgreSQL's clients take for the end of a path\. Choose another home"
    with pytest.raises(StorageError, match=message):
        ensure_running(Home(Path("/tmp/x,y")))


def test_a_file_in_the_folders_place_is_refused(folder: Path) -> None:
    (folder / "database").write_text("")
    with pytest.raises(StorageError, match="cannot be made or belongs to another user: File exists"):
        ensure_running(Home(folder))


def test_a_database_folder_that_is_a_symbolic_link_is_refused(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "home").mkdir()
    (folder / "home" / "database").symlink_to(folder / "real")
    with pytest.raises(StorageError, match="database is a symbolic link. Name the real folder with --home"):
        embedded_folder.make_folder(folder / "home" / "database")


# One process, one machine


def test_a_process_that_starts_the_server_for_ever_is_reported(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded_folder.make_folder(home.database)
    monkeypatch.setattr(embedded_folder, "_LOCK_PATIENCE_S", 0.1)
    with embedded_folder.locked(home.database, None):
        text = refusal(home)
    path = home.database / "lock"
    assert text.startswith(f"{path}: another process has been starting or stopping the embedded PostgreSQL for")
    assert f"`fuser {path}`" in text
    shutil.rmtree(home.database)


@pytest.mark.parametrize(
    "record",
    [
        json.dumps(THERE | {"hostname": socket.gethostname()}),  # this machine, before it was restarted
        json.dumps(THERE | {"boot": embedded_folder._this_host()["boot"]}),  # another container of this machine
        "",
        "[]",
        "{}",
        "damaged",
    ],
)
def test_this_machine_is_recognised(tmp_path: Path, record: str) -> None:
    (tmp_path / "host").write_text(record)
    embedded_folder.refuse_other_host(tmp_path)


def test_machines_that_tell_no_boot_are_told_apart_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_folder, "_this_host", lambda: {"hostname": "here", "boot": ""})
    (tmp_path / "host").write_text(json.dumps({"hostname": "there", "boot": ""}))
    with pytest.raises(StorageError, match="was started on there, this is here"):
        embedded_folder.refuse_other_host(tmp_path)


def test_a_lock_file_that_is_a_symbolic_link_is_never_followed(folder: Path) -> None:
    target = folder / "precious"
    target.write_text("mine")
    (folder / "lock").symlink_to(target)
    opening = embedded_folder.locked(folder, Owner(1234, 1234))
    with pytest.raises(StorageError, match="lock: Too many levels of symbolic links"), opening:
        pass
    assert target.stat().st_uid == os.geteuid()
