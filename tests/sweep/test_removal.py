"""Removing a study: what goes, what stays, and when it is refused."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest
from command_line import typed
from small_study import small_plan

from clustersweep.errors import StorageError, StudyLockedError
from clustersweep.home import Home
from clustersweep.postgres.location import StudyLock, open_database
from clustersweep.storage.store import Storage
from clustersweep.sweep.removal import Belongings, remove_study
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.tasks import tasks


def yes(found):
    return True


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def database(postgres_tcp, database_name):
    return open_database(postgres_tcp.url_with(database=database_name), {}, None)


@pytest.fixture
def storage(database, home, tmp_path):
    """A database with two studies, each with a checkpoint."""
    storage = Storage.connect(database.url, tasks)
    for name in ("small", "other"):
        storage.begin(small_plan(tmp_path, study=name))
        RunFolder(home.run(name)).save_checkpoint("key", b"12345")
    yield storage
    storage.close()


@pytest.mark.integration
def test_a_study_is_removed_with_its_files_and_nothing_else_is(database, home, storage):
    asked = []
    removed = remove_study("small", database, home, keep_files=False, agreed=lambda found: not asked.append(found))
    assert asked == [removed] == [Belongings(4, home.run("small"), 5)]
    assert storage.studies() == ("other",)
    assert not home.run("small").exists()
    assert RunFolder(home.run("other")).checkpoint("key") == b"12345"


@pytest.mark.integration
def test_files_can_be_kept(database, home, storage):
    removed = remove_study("small", database, home, keep_files=True, agreed=yes)
    assert removed == Belongings(4, None, 0)
    assert storage.studies() == ("other",)
    assert RunFolder(home.run("small")).checkpoint("key") == b"12345"


@pytest.mark.integration
def test_nothing_is_removed_without_consent(database, home, storage):
    assert remove_study("small", database, home, keep_files=False, agreed=lambda found: False) is None
    assert storage.studies() == ("other", "small")
    assert RunFolder(home.run("small")).checkpoint("key") == b"12345"
    StudyLock.acquire(database.url, "small").release()


@pytest.mark.integration
def test_nothing_is_removed_under_a_launch(database, home, storage):
    with StudyLock.acquire(database.url, "small"), pytest.raises(StudyLockedError, match="study small is being launch"):
        remove_study("small", database, home, keep_files=False, agreed=yes)
    assert storage.studies() == ("other", "small")
    assert RunFolder(home.run("small")).checkpoint("key") == b"12345"


@pytest.mark.integration
def test_a_removal_that_was_cut_short_is_finished_by_the_next(database, home, storage, monkeypatch):
    def interrupt(self, study):
        raise KeyboardInterrupt

    monkeypatch.setattr(Storage, "remove", interrupt)
    with pytest.raises(KeyboardInterrupt):
        remove_study("small", database, home, keep_files=False, agreed=yes)
    monkeypatch.undo()
    assert remove_study("small", database, home, keep_files=False, agreed=yes) == Belongings(4, None, 0)
    assert storage.studies() == ("other",)


@pytest.mark.integration
def test_an_unknown_study_is_refused_with_those_that_there_are(database, home, storage):
    message = (
        rf"there is no study 'smal' in {re.escape(database.safe_url)} \(stored: other, small\)\. Give the name of "
    )
    with pytest.raises(StorageError, match=message):
        remove_study("smal", database, home, keep_files=False, agreed=yes)


@pytest.mark.integration
@pytest.mark.parametrize("name", ["..", "../home", "/", ".", "small\n"])
def test_a_study_whose_name_leads_elsewhere_takes_no_folder_along(database, home, storage, name):
    storage.backend.create_new_study([1], name)
    with pytest.raises(StorageError, match=r"was not made by clustersweep\. Remove it with what made it"):
        remove_study(name, database, home, keep_files=False, agreed=yes)
    assert RunFolder(home.run("small")).checkpoint("key") == b"12345"


@pytest.mark.integration
def test_a_folder_that_cannot_be_removed_keeps_the_study(database, home, storage):
    moved = home.path / "moved"
    home.run("small").rename(moved)
    home.run("small").symlink_to(moved)
    message = f"{home.run('small')} cannot be removed: .*symbolic link.* Remove {home.run('small')} by hand"
    with pytest.raises(StorageError, match=message):
        remove_study("small", database, home, keep_files=False, agreed=yes)
    assert storage.studies() == ("other", "small")


# The command line


@pytest.fixture
def environment(database, home):
    return {**os.environ, "CLUSTERSWEEP_STORAGE": database.url, "CLUSTERSWEEP_HOME": str(home.path)}


@pytest.mark.integration
def test_a_script_has_to_say_yes(environment, home, storage, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    done = typed("remove", "small", env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no terminal to ask on. Give --yes to remove the study unasked\n"
    done = typed("remove", "small", "--yes", env=environment)
    said = f"removed small: 4 trials, 5 bytes in {home.run('small')}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert typed("remove", "small", "--yes", env=environment).returncode == 3
    done = typed("remove", "other", "--yes", "--keep-files", env=environment)
    assert done.stdout == "removed other: 4 trials, no files\n"


@pytest.mark.integration
@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("\n", 1), ("y\n", 0)])
def test_a_person_is_asked(environment, database, home, storage, answer, code, monkeypatch):
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    done = typed("remove", "small", env=environment)
    assert done.stderr.startswith(question(database, home))
    assert_answered(code, done.returncode, done.stdout + done.stderr, storage)


@pytest.mark.integration
@pytest.mark.parametrize("key", [b"\x03", b"\x04"])
def test_ctrl_c_and_ctrl_d_are_a_no(environment, database, home, storage, key, children):
    terminal, inside = pty.openpty()
    command = [sys.executable, "-m", "clustersweep", "remove", "small"]
    pipes = {"stdin": inside, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # In a session of its own (`children`) the terminal is the command's, and Ctrl-C reaches it.
    script = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    asked = children([sys.executable, "-c", script, *command], env=environment, **pipes)
    said = b""
    while b"]:" not in said:
        said += os.read(asked.stderr.fileno(), 1000) or b"]: (it ended)"
    os.write(terminal, key)
    out, rest = asked.communicate(timeout=60)
    os.close(inside)
    os.close(terminal)
    assert said.decode() == question(database, home)
    assert_answered(1, asked.returncode, (out + rest).decode(), storage)


def question(database, home):
    return f"Remove small from {database.safe_url}: 4 trials, 5 bytes in {home.run('small')}? [y/N]:"


def assert_answered(code, returned, said, storage):
    """A study is gone, or is not, and the command says so."""
    assert returned == code
    assert storage.studies() == (("other",) if code == 0 else ("other", "small"))
    assert {0: "removed small: 4 trials", 1: "nothing was removed"}[code] in said
