import errno
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clustersweep.errors import StorageError
from clustersweep.files import beside, is_part, json_digest, remove_parts, whole, write_atomically

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tiny disk")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


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


# What a writer that was killed leaves


PART = ".0123456789abcdef.part"


def test_a_writer_that_is_killed_leaves_a_part_that_is_known_by_its_name(tmp_path: Path) -> None:
    writer = (
        "import os, sys, signal; from pathlib import Path; from clustersweep.files import beside\n"
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


# Folders, and what is known by a digest


def test_a_folder_takes_its_name_when_all_of_it_is_there_and_what_a_killed_writer_left_goes(tmp_path: Path) -> None:
    left = tmp_path / "part"
    left.mkdir()
    (left / "of another writer").write_bytes(b"half")
    with whole(tmp_path / "survey", left) as part:
        part.mkdir()
        (part / "images").write_bytes(b"all")
        assert not (tmp_path / "survey").exists()
    assert entries(tmp_path) == ["survey"]
    assert entries(tmp_path / "survey") == ["images"]


def test_a_folder_whose_writer_fails_is_removed_and_the_error_is_its_own(tmp_path: Path) -> None:
    def write() -> None:
        with whole(tmp_path / "survey") as part:
            part.mkdir()
            raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        write()
    assert entries(tmp_path) == []


def test_every_file_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def record(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    monkeypatch.setattr(os, "fsync", record)
    with whole(tmp_path / "survey", tmp_path / "part") as part:
        (part / "data").mkdir(parents=True)
        (part / "images").write_bytes(b"all")
    with beside(tmp_path / "a", "file") as part:
        part.write_bytes(b"all")
    assert synced[0] == "images"
    assert is_part(Path(synced[2]))
    assert [synced[1], synced[3]] == [tmp_path.name] * 2  # the folder, whose entry the name is


def test_a_digest_depends_on_the_value_and_not_on_how_it_is_laid_out() -> None:
    assert json_digest({"b": 1, "a": [1, 2.5, None, "é"]}) == json_digest({"a": [1, 2.5, None, "é"], "b": 1})
    assert json_digest({"a": 1}) != json_digest({"a": 2})
    assert json_digest({}) == "44136fa355b3678a"  # stored studies and models are known by it
    with pytest.raises(ValueError, match="Out of range"):
        json_digest(float("nan"))
