"""The embedded PostgreSQL server of a home: made, started, found again and stopped.

Nothing here knows the tables or any other server.
"""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Literal

import psutil
import psycopg2

from clustersweep.errors import StorageError
from clustersweep.files import whole
from clustersweep.home import Home
from clustersweep.postgres.embedded_folder import (
    PORT,
    folder_owner,
    forget_host,
    host_is_recorded,
    locked,
    make_folder,
    record_host,
    refuse_other_host,
    socket_path,
)
from clustersweep.postgres.programs import OTHER_SERVER, Owner, find_programs, reachable_programs, run_program

_NAME = "clustersweep"  # of the database, and of the role that owns it
_PATIENCE_S = 60.0
_LOG_BYTES = 4 * 2**20  # years of starting and stopping


def ensure_running(home: Home) -> dict[str, str]:
    """Start a home's server unless it runs, and give libpq's parameters to connect to it.

    It outlives this process by design. It listens on a Unix socket only, in a folder that is closed to other
    users. Any number of processes may do this at the same time.

    Raises:
        StorageError: The home is unsuitable, another machine has it open, or the server does not start.
    """
    folder = home.database
    owner = make_folder(folder)
    with locked(folder, owner):
        refuse_other_host(folder)
        deadline = time.monotonic() + _PATIENCE_S
        while (state := _state(folder)) != "ready":
            if time.monotonic() > deadline:
                rule = f"the embedded PostgreSQL in {folder} has refused connections for {_PATIENCE_S:.0f} s"
                raise StorageError(f"{rule}. Run `clustersweep stop`, then try again{_log(folder)}")
            if state == "empty":
                _create_database(folder)
            elif state == "absent" and not _processes(folder):
                _start(folder, owner)
            else:  # it starts, it stops, or it was killed and its last processes are about to notice
                time.sleep(0.02)
    return _parameters(folder, _NAME)


def running(home: Home) -> dict[str, str] | None:
    """Return libpq's parameters of a home's server; None where it does not run. Starts and makes nothing."""
    return _parameters(home.database, _NAME) if _state(home.database) == "ready" else None


def exists(home: Home) -> bool:
    """Say whether a home ever had a server."""
    return _data(home.database).exists()


def should_run(home: Home) -> bool:
    """Say whether a home's server was started and not stopped since: if it does not run, it was killed."""
    return host_is_recorded(home.database)


def stop_embedded(home: Home, *, force: bool = False) -> bool:
    """Stop a home's server; tell whether one ran. With `force` also under a launch that lives.

    Raises:
        StorageError: A launch lives; or it runs on another machine or in another container, or belongs to
            another user.
    """
    folder = home.database
    if not folder.is_dir():
        return False
    with locked(folder, folder_owner(folder)):
        refuse_other_host(folder)
        running = bool(_processes(folder))
        if not running and _state(folder) != "absent":
            rule = "runs in another container of this machine"
            raise StorageError(f"the embedded PostgreSQL in {folder} {rule}. Stop it there")
        if not force and (launches := _launches(folder)):
            rule = f"is in use by {', '.join(launches)}"
            raise StorageError(f"the embedded PostgreSQL in {folder} {rule}. Interrupt that first, or give --force")
        _end(folder)
        if left := _processes(folder):
            pids = ", ".join(str(process.pid) for process in left)
            raise StorageError(f"the embedded PostgreSQL in {folder} does not stop. End its processes {pids}")
        forget_host(folder)
    return running


def _launches(folder: Path) -> list[str]:
    """Name the launches that live, as they name themselves; none where the server cannot be asked."""
    try:
        connection = psycopg2.connect(**_parameters(folder, _NAME), connect_timeout=5)
    except psycopg2.OperationalError:
        return []
    with contextlib.closing(connection), connection.cursor() as cursor:
        like = "clustersweep launch %"
        cursor.execute("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE %s", [like])
        return sorted(name for (name,) in cursor.fetchall())


def _parameters(folder: Path, database: str) -> dict[str, str]:
    return {"host": str(folder), "port": PORT, "user": _NAME, "dbname": database}


def _data(folder: Path) -> Path:
    return (folder / "data").resolve()  # as the kernel names it


def _state(folder: Path) -> Literal["ready", "empty", "busy", "absent"]:
    """Ask the server itself: files that say it runs prove nothing."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(socket_path(folder)))
        except (FileNotFoundError, ConnectionRefusedError):
            return "absent"
        except OSError:
            return "busy"
    try:
        psycopg2.connect(**_parameters(folder, _NAME), connect_timeout=5).close()
    except psycopg2.OperationalError as error:
        return "empty" if f'database "{_NAME}" does not exist' in str(error) else "busy"
    return "ready"


def _processes(folder: Path) -> list[psutil.Process]:
    """List the processes of the server, whoever started it: those that work in the data folder."""
    data = str(_data(folder))
    every = psutil.process_iter(["name", "cwd"])
    return [process for process in every if process.info["name"] == "postgres" and process.info["cwd"] == data]


def _create_database(folder: Path) -> None:
    connection = psycopg2.connect(**_parameters(folder, "postgres"), connect_timeout=5)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {_NAME}")
    finally:
        connection.close()


def _start(folder: Path, owner: Owner | None) -> None:
    data = _data(folder)
    programs = find_programs(data)
    # pg_ctl gives its command to a shell, with the paths in double quotes that do not hide a $: so they are short
    # and relative. PostgreSQL reads a list of quoted folders.
    directory = '"' + str(folder).replace('"', '""') + '"'
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": directory,
        "unix_socket_permissions": "0700",
        "log_checkpoints": "off",  # people read the log
    }
    options = " ".join(shlex.quote(f"--{name}={value}") for name, value in settings.items())
    command = ["start", "-s", "-w", "-t", f"{_PATIENCE_S:.0f}", "-D", "data", "-l", "log"]
    try:
        if owner is not None:
            programs = reachable_programs(programs, folder, owner)
        if not data.exists():
            _initialise(programs, folder, owner)
        # No process of this server is left, only these may be. The pid in them may be a zombie's, or another
        # program's by now, and for either PostgreSQL would refuse to start.
        for left in (data / "postmaster.pid", socket_path(folder).with_suffix(f".{PORT}.lock")):
            left.unlink(missing_ok=True)
        record_host(folder)
        _turn_log(folder)
        run_program(programs / "pg_ctl", *command, "-o", f"-p {PORT} {options}", folder=folder, owner=owner)
    except (OSError, StorageError) as error:
        raise StorageError(
            f"the embedded PostgreSQL in {folder} does not start: {error}. Mend what it complains about, "
            f"choose another home with --home, {OTHER_SERVER}{_log(folder)}"
        ) from error


def _initialise(programs: Path, folder: Path, owner: Owner | None) -> None:
    """Make the data folder: beside, then renamed, so that one cut short is never taken for whole."""
    # Each under a name of its own: what a killed launch was making may still be written to, until that notices.
    for left in folder.glob("data-part*"):
        shutil.rmtree(left, ignore_errors=True)
    # The same order of text on every machine, and messages in English, which `_state` reads.
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    access = [f"--username={_NAME}", "--auth-local=trust", "--auth-host=reject", "--no-instructions"]
    with whole(_data(folder), folder / f"data-part-{os.getpid()}") as beside:
        run_program(programs / "initdb", "-D", beside.name, *locale, *access, folder=folder, owner=owner)


def _end(folder: Path) -> None:
    """Stop the server: in order if it will, at once if it must. Where only orphans are left, end those."""
    for number, seconds in ((signal.SIGINT, _PATIENCE_S / 2), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        processes = _processes(folder)
        pids = {process.pid for process in processes}
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                # To its own processes the first one passes on what it gets, if it still can.
                if number == signal.SIGKILL or process.ppid() not in pids:
                    process.send_signal(number)
        deadline = time.monotonic() + seconds
        while _processes(folder) and time.monotonic() < deadline:
            time.sleep(0.02)


def _turn_log(folder: Path) -> None:
    """Begin a new log where the old one is large; one older is kept. PostgreSQL itself only ever adds to it."""
    log = folder / "log"
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(folder / "log.1")


def _log(folder: Path) -> str:
    """Return the last lines of the server's log, for a message."""
    path = folder / "log"
    with contextlib.suppress(OSError):
        lines = path.read_text(errors="replace").splitlines()[-10:]
        return "\n".join(["", f"{path} ends:", *lines])
    return ""
