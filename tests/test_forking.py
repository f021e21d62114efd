"""Commands in forked processes are as those in processes of their own."""

import os
import subprocess
import sys
import time

import forking
import psutil
import pytest
from places import SUPPORT

pytestmark = pytest.mark.integration

ENV = {"PATH": "/", "HOME": "/"}


def test_a_command_has_its_own_environment_folder_output_and_exit_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = forking.run(["--version"], ENV, 60.0)
    assert (done.returncode, done.stdout, done.stderr) == (0, "clustersweep 0.1.0\n", "")
    done = forking.run(["plan", "absent.yaml"], ENV, 60.0)
    assert done.returncode == 2
    assert "absent.yaml" in done.stderr
    done = forking.run(["simulate", "here", "--clusters", "10", "--pixels", "4", "--jobs", "1"], ENV, 60.0)
    assert (done.returncode, sorted(os.listdir(tmp_path))) == (0, ["here"]), done.stderr


def test_code_runs_as_that_of_a_program_does_beside_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text("VALUE = 3\n")
    code = "import beside, os\nprint(__name__, beside.VALUE, os.environ['HOME'])\nraise SystemExit(7)"
    done = forking.run(["-c", code], ENV, 60.0)
    assert (done.returncode, done.stdout, done.stderr) == (7, "__main__ 3 /\n", "")
    failed = forking.run(["-c", "1 / 0"], ENV, 60.0)
    assert failed.returncode == 1
    assert "ZeroDivisionError" in failed.stderr


def test_a_command_that_does_not_end_in_time_is_killed(tmp_path):
    begun = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        forking.run(["simulate", tmp_path / "s", "--clusters", "1000000", "--jobs", "1"], ENV, 1.0)
    assert time.monotonic() - begun < 30
    assert forking.run(["--version"], ENV, 60.0).returncode == 0


def test_the_server_ends_with_the_process_that_started_it():
    script = (
        "import forking, os\nforking.IMPORTED.clear()\n"  # of no matter here, and most of the server's start
        "forking.run(['--version'], {'PATH': '/'}, 60.0)\nos.kill(os.getpid(), 9)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=SUPPORT)
    children = []
    while process.poll() is None:
        children = psutil.Process(process.pid).children() or children
        time.sleep(0.1)
    _, left = psutil.wait_procs(children, timeout=30)
    assert (len(children), left) == (1, [])
