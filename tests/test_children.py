"""What tests start: with a shell's signals, however the tests were started, and gone with the test."""

import signal
import subprocess
import sys

import psutil
from children import Children
from places import SUPPORT

# Runs as in the background of a script: tells what a child of its own begins with, and outlives what it ignores.
IGNORING = """
import signal, subprocess, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if sys.argv[1] == "mended":
    from children import give_children_default_signals
    give_children_default_signals()
child = "import signal; print(*(int(signal.getsignal(n) == signal.SIG_IGN) for n in (1, 2, 15)), flush=True)"
subprocess.run([sys.executable, "-c", child], check=True)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.raise_signal(number)
print("lives on")
"""


def said(how):
    command = [sys.executable, "-c", IGNORING, how]
    return subprocess.run(command, cwd=SUPPORT, capture_output=True, text=True, check=True, timeout=60).stdout


def test_children_get_the_default_signals_where_the_tests_themselves_ignore_them():
    assert said("as it was") == "1 1 1\nlives on\n"
    assert said("mended") == "0 0 0\nlives on\n"


def test_what_a_test_starts_ends_with_all_below_it_also_when_the_test_fails():
    script = "import subprocess; p = subprocess.Popen(['sleep', '600'], start_new_session=True); print(p.pid); p.wait()"
    try:
        with Children() as children:
            process = children([sys.executable, "-u", "-c", script], stdout=subprocess.PIPE, text=True)
            below = psutil.Process(int(process.stdout.readline()))
            raise RuntimeError("the test fails")
    except RuntimeError:
        pass
    assert process.returncode == -signal.SIGKILL
    assert not below.is_running() or below.status() == psutil.STATUS_ZOMBIE
    assert process.stdout.closed
