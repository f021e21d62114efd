"""A command as a person types it, where a program that starts anew would take most of the time."""

import contextlib
import io
import logging
import os
import subprocess
import sys
from typing import NamedTuple
from unittest import mock

import forking

from clustersweep.cli import main as cli

VERBS = (
    "plan", "launch", "status", "dashboard", "report", "export", "simulate", "show", "convert", "schema", "stop",
    "backup", "restore", "remove", "clean", "studies", "replay", "train", "predict",
)  # fmt: skip


class Done(NamedTuple):
    """What a command left behind: its exit code, and what it said on stdout and on stderr."""

    code: int
    out: str
    err: str


def type_here(*words: object) -> Done:
    """Run `clustersweep` with words in this process, to its end."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    handler = cli._Stderr()
    handler.addFilter(logging.Filter("clustersweep"))  # TensorFlow warns of what only many commands in a row do
    with (
        mock.patch.object(sys, "argv", ["clustersweep", *map(str, words)]),
        contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
    ):  # fmt: skip
        logging.getLogger().addHandler(handler)  # pytest has its own there, so the program adds none
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            logging.getLogger().removeHandler(handler)
    return Done(code, out.getvalue(), err.getvalue())


# What these do in this process leaves nothing behind in it; others start Ray, TensorFlow or a server.
LIGHT = ("--help", "--version", "plan", "status", "report", "schema", "backup", "restore", "remove")


def typed(*words: object, env: dict[str, str], timeout_s: float = 100.0) -> "subprocess.CompletedProcess[str]":
    """Run `clustersweep` with an environment: in this process where that is no matter, else in one of its own."""
    given = list(map(str, words))
    if given[0] not in LIGHT:
        return forking.run(given, env, timeout_s)
    with mock.patch.dict(os.environ, env, clear=True):
        done = type_here(*given)
    return subprocess.CompletedProcess(given, done.code, done.out, done.err)
