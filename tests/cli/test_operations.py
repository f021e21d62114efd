"""The verbs for those who look after a database: what they ask, and what they say."""

import io
import os
import pty
import subprocess
import sys

import pytest
from command_line import typed
from two_studies import two_studies

from clustersweep.home import Home
from clustersweep.postgres.location import open_database


def run(*words, **environ):
    return typed(*words, env={**os.environ, **{name: str(value) for name, value in environ.items()}})


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_the_help_says_what_is_not_in_a_backup_and_whom_to_trust(verb):
    said = " ".join(run(verb, "--help", COLUMNS=200).stdout.split())
    wanted = {"backup": "they are files in `runs/` below the home", "restore": "Restore only what you have backed up"}
    assert wanted[verb] in said


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def database(postgres_tcp, database_name):
    return open_database(postgres_tcp.url_with(database=database_name), {}, None)


@pytest.fixture
def storage(database, home, tmp_path):
    with two_studies(database, home, tmp_path) as stored:
        yield stored


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
