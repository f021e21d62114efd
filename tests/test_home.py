import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustersweep.errors import StorageError
from clustersweep.home import Home, find_home, is_part, remove_parts, write_atomically

ROOT, USER, NOBODY = 0, 1000, 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tiny disk")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# Where the home is


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


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that may not be written to; root, who may do anything, becomes somebody else meanwhile."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    (folder / "closed").mkdir(mode=0o500)
    yield folder / "closed"
    if root:
        os.seteuid(0)
    shutil.rmtree(folder)


def test_a_home_that_cannot_be_written_to_is_refused(closed: Path) -> None:
    with pytest.raises(StorageError, match=r"--home: .*closed cannot be written to\. Choose a folder"):
        find_home(closed, {}, USER)


# How files get there


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    write_atomically(tmp_path / "runs" / "grid" / "a.npz", b"new")
    assert (tmp_path / "runs" / "grid" / "a.npz").read_bytes() == b"new"
    assert entries(tmp_path / "runs" / "grid") == ["a.npz"]


def test_a_file_is_replaced(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"old")
    write_atomically(tmp_path / "a", b"")
    assert (tmp_path / "a").read_bytes() == b""
    assert entries(tmp_path) == ["a"]


def test_the_longest_possible_name_can_be_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("n" * 255), b"new")
    assert entries(tmp_path) == ["n" * 255]


def test_a_file_obeys_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"new")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == 0o640


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError) as caught:
            write_atomically(tmp_path / "a", bytes(100_000), what="checkpoint")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    rule = "the checkpoint of 100,000 bytes cannot be written: file too large. Make the folder"
    assert str(caught.value).startswith(f"{tmp_path / 'a'}: {rule}")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert entries(tmp_path) == ["a"]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", b"new")
    assert entries(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "your disk quota is used up")]
)
def test_no_space_says_so_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=rf"report\.html: the report of 3 bytes cannot be written: {reason}\. Free"):
        write_atomically(tmp_path / "report.html", b"new", what="report")
    assert entries(tmp_path) == []


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match="cannot be written: is a directory"):
        write_atomically(tmp_path / "a", b"new")
    assert entries(tmp_path) == ["a"]


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(StorageError, match=r"cannot be written: (file exists|not a directory)"):
        write_atomically(tmp_path / "a" / "b", b"new")


def test_a_read_only_folder_says_so_and_what_to_do(closed: Path) -> None:
    with pytest.raises(StorageError, match=r"a: the file of 3 bytes .*: permission denied\. Make the"):
        write_atomically(closed / "a", b"new")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode != 0:
        pytest.skip(f"cannot mount a tiny disk here: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@as_root
def test_a_full_disk_leaves_the_old_file_and_no_other(tiny_disk: Path) -> None:
    write_atomically(tiny_disk / "a", b"old")
    with pytest.raises(StorageError, match=r"disk/a: the checkpoint .*: the disk is full\. Free"):
        write_atomically(tiny_disk / "a", bytes(200_000), what="checkpoint")
    assert (tiny_disk / "a").read_bytes() == b"old"
    assert entries(tiny_disk) == ["a"]
    write_atomically(tiny_disk / "a", bytes(20_000))  # and there is room again


@as_root
def test_a_read_only_disk_says_so(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with pytest.raises(StorageError, match=r"cannot be written: read-only file system\. Make"):
        write_atomically(tiny_disk / "a", b"new")
    with pytest.raises(StorageError, match=r"--home: .*disk cannot be written to\. Choose a folder"):
        find_home(tiny_disk, {}, ROOT)
    with pytest.raises(StorageError, match=r"--home: .*disk/home cannot be made: read-only"):
        find_home(tiny_disk / "home", {}, ROOT)


# What a writer that was killed leaves


PART = ".0123456789abcdef.part"


def test_a_writer_that_is_killed_leaves_a_part_that_is_known_by_its_name(tmp_path: Path) -> None:
    writer = (
        "import os, sys, signal; from pathlib import Path; from clustersweep.home import beside\n"
        "with beside(Path(sys.argv[1]), 'file') as part:\n"
        "    part.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", writer, str(tmp_path / "a")], check=False, timeout=60)
    (left,) = tmp_path.iterdir()
    assert is_part(left)
    assert not is_part(tmp_path / "a.part")
    assert not is_part(tmp_path / ".mine.part")


def test_only_parts_are_removed_in_all_folders_below_and_only_old_ones_where_a_writer_may_live(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    kept = [tmp_path / ".mine.part", tmp_path / "weights" / "a.npz", tmp_path / ("1" * 16)]
    old, young = tmp_path / "weights" / PART, tmp_path / ".fedcba9876543210.part"
    for path in (*kept, old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    remove_parts(tmp_path, older_than_s=3600)
    assert not old.exists()
    assert young.exists()
    remove_parts(tmp_path)
    assert not young.exists()
    assert all(path.exists() for path in kept)
    remove_parts(tmp_path / "nowhere")  # is no error
