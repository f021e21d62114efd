"""Commands in processes of their own that need not import everything anew: a server imports once, and forks for each.

`run(["-c", CODE, WORD...], ...)` runs Python as `python -c` does, where all that it imports is there already.

A test that types a dozen commands would wait most of its time for imports, of TensorFlow above all. What a command
does in its own process it does here too: environment, folder, standard streams, signals and exit code are its own.
Run as a program this is the server: `python forking.py SOCKET MODULE...`.
"""

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

IMPORTED = ["arithmetic_task"] + [
    f"clustersweep.{name}"
    for name in (
        "masses.export",
        "masses.train",
        "report.model.page",
        "sweep.launch",
        "training.train",
        "display.progress",
    )
]
_servers: dict[int, Path] = {}


def run(
    words: Sequence[object], env: Mapping[str, str], timeout_s: float, *, arithmetic: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Run `clustersweep` with words, or Python's code after `-c`, in a process of its own, to its end.

    Args:
        words: What is typed after the program's name.
        env: Its environment.
        timeout_s: So long it may take.
        arithmetic: What is trained is `arithmetic_task`, whatever a study says.

    Raises:
        subprocess.TimeoutExpired: It does not end in time.
    """
    given = list(map(str, words))
    asked = {"words": given, "env": dict(env), "cwd": os.getcwd(), "timeout_s": timeout_s, "arithmetic": arithmetic}
    request = json.dumps(asked).encode()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(_server()))
            socket.send_fds(connection, [len(request).to_bytes(8, "big")], [out.fileno(), err.fileno()])
            connection.sendall(request)
            code = int(connection.makefile().read())
        out.seek(0)
        err.seek(0)
        if code == _LATE:
            raise subprocess.TimeoutExpired(given, timeout_s, out.read(), err.read())
        return subprocess.CompletedProcess(given, code, out.read(), err.read())


_LATE = 1000


def _server() -> Path:
    """Return this process's server, started where there is none."""
    if os.getpid() not in _servers:
        path = Path(tempfile.mkdtemp(prefix="forking-")) / "socket"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            os.set_inheritable(listening.fileno(), True)
            command = [sys.executable, __file__, str(listening.fileno()), *IMPORTED]
            server = subprocess.Popen(
                command, pass_fds=[listening.fileno()], stdin=subprocess.PIPE, start_new_session=True
            )
        _servers[os.getpid()] = path
        atexit.register(_stop, server, path)
    return _servers[os.getpid()]


def _stop(server: "subprocess.Popen[bytes]", path: Path) -> None:
    server.terminate()
    server.wait()
    path.unlink(missing_ok=True)
    path.parent.rmdir()


def _serve(listening: socket.socket, modules: Sequence[str]) -> None:
    before = dict(os.environ)
    # What commands import, but no operation of TensorFlow: that would start threads, which no fork takes along.
    for module in modules:
        importlib.import_module(module)
    from clustersweep.cli import main

    by_imports = {name: value for name, value in os.environ.items() if name not in before}
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        if sys.stdin in ready:  # its other end is closed: who started this is gone
            return
        connection, _ = listening.accept()
        with connection, contextlib.suppress(ConnectionError):
            size, streams, _, _ = socket.recv_fds(connection, 8, 2)
            request = json.loads(connection.makefile("rb").read(int.from_bytes(size, "big")))
            request["env"] = by_imports | request["env"]
            child = os.fork()
            if child == 0:
                listening.close()
                _become(request, streams, main.main)
            for stream in streams:
                os.close(stream)
            connection.sendall(str(_ended(child, request["timeout_s"])).encode())


def _become(request: dict, streams: Sequence[int], main: Callable[[], None]) -> None:
    """Be the command; never returns."""
    code = 70
    try:
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        sys.argv = ["clustersweep", *request["words"]]
        sys.path[0] = request["cwd"]
        if request["arithmetic"]:
            sys.modules["arithmetic_task"].take_over()
        code = 0
        if request["words"][:1] == ["-c"]:
            sys.argv = ["-c", *request["words"][2:]]
            exec(compile(request["words"][1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(Exception):
            import logging

            atexit._run_exitfuncs()
            logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ended(child: int, timeout_s: float) -> int:
    """Wait for a process; gives its exit code as `subprocess` does."""
    late = []

    def kill(*_: object) -> None:
        late.append(child)
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    _, status = os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return _LATE if late else os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
