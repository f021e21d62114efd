"""Processes that tests start: with the signals a shell gives them, and ended with the test whatever happens."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import psutil

# What a process that was started in the background of a script, or by nohup, inherits as ignored.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def give_children_default_signals() -> None:
    """Have every process that this one starts get signals as a shell's foreground gives them.

    What is ignored here stays without effect here, but by a handler, and no handler outlives the start of another
    program: so whoever starts it, `subprocess`, Ray or a test, it begins with the default.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)


class Children:
    """Starts processes, each in a session of its own, and ends them with all that they have started."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[Any]] = []

    def __call__(self, command: Sequence[Any], **options: Any) -> "subprocess.Popen[Any]":
        """Start a process as `subprocess.Popen` does."""
        process = subprocess.Popen([*map(str, command)], start_new_session=True, **options)
        self._started.append(process)
        return process

    def __enter__(self) -> "Children":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            end(process)


def end(process: "subprocess.Popen[Any]") -> None:
    """End a process, all below it and its session's first group, and close its pipes; nothing where it has ended."""
    lives = [psutil.Process(process.pid)] if process.poll() is None else []
    with contextlib.suppress(psutil.NoSuchProcess):
        lives += [below for one in lives for below in one.children(recursive=True)]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in lives:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    psutil.wait_procs([one for one in lives if one.pid != process.pid], timeout=30)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was still to be written
                pipe.close()
