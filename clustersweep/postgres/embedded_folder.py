"""The embedded server's folder: fit for it, closed to other users, one process's and one machine's at a time.

Nothing here knows whether the server runs.
"""

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from clustersweep.errors import StorageError
from clustersweep.files import write_atomically
from clustersweep.postgres.programs import OTHER_SERVER, Owner, private_parent, server_user

PORT = "5432"  # names the socket; there is no TCP listener
_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
_LOCK_PATIENCE_S = 120.0


def socket_path(folder: Path) -> Path:
    """Return the server's socket."""
    return folder / f".s.PGSQL.{PORT}"


def make_folder(folder: Path) -> Owner | None:
    """Make the folder where it is missing, and close it to other users; give its owner where we are root.

    Raises:
        StorageError: It cannot hold a socket, is another user's, or the server's user cannot get there.
    """
    _check_path(folder)
    if folder.is_symlink():  # as root we would hand over whatever it points to
        raise StorageError(f"{folder} is a symbolic link. Name the real folder with --home, {OTHER_SERVER}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0 and folder.stat().st_uid == 0:
            user = server_user()
            os.chown(folder, user.uid, user.gid)
        folder.chmod(0o700)  # there is no password: this mode is what keeps other users out
    except OSError as error:
        raise StorageError(
            f"{folder}, for the embedded PostgreSQL, cannot be made or belongs to another user: {error.strerror}. "
            f"Choose another home with --home, {OTHER_SERVER}"
        ) from error
    owner = folder_owner(folder)
    if owner is not None:
        _refuse_private_parent(folder, owner)
    return owner


def folder_owner(folder: Path) -> Owner | None:
    """Return whom the server runs as, where we are root: root may look after another user's server."""
    status = folder.stat()
    return Owner(status.st_uid, status.st_gid) if os.geteuid() == 0 else None


@contextlib.contextmanager
def locked(folder: Path, owner: Owner | None) -> Iterator[None]:
    """Be the only process that starts or stops the server; wait while another one is.

    Raises:
        StorageError: The file system has no locks, or the other process takes minutes.
    """
    path = folder / "lock"
    try:
        # Never through a symbolic link: as root we give the file to the folder's owner.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}. Choose another home, {OTHER_SERVER}") from error
    try:
        if owner is not None:
            os.fchown(descriptor, owner.uid, owner.gid)
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while not _try_lock(descriptor, path):
            if time.monotonic() > deadline:
                rule = "another process has been starting or stopping the embedded PostgreSQL for"
                raise StorageError(f"{path}: {rule} {_LOCK_PATIENCE_S:.0f} s. End it; `fuser {path}` tells which")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)  # and the lock goes with it


def record_host(folder: Path) -> None:
    """Write down that the server runs on this machine."""
    write_atomically(folder / "host", json.dumps(_this_host()).encode())


def host_is_recorded(folder: Path) -> bool:
    """Say whether a server was started in the folder and not stopped since."""
    return (folder / "host").exists()


def forget_host(folder: Path) -> None:
    """Write down that the server runs nowhere."""
    (folder / "host").unlink(missing_ok=True)


def refuse_other_host(folder: Path) -> None:
    """Refuse a folder on a network disk while another machine may have its server running.

    Containers of one machine share its boot id and reach each other's sockets; a restarted machine keeps its
    name. So either one being equal is enough.

    Raises:
        StorageError: The server was started on another machine and never stopped.
    """
    record, here = folder / "host", _this_host()
    try:
        there = json.loads(record.read_bytes())
        name, boot = str(there["hostname"]), str(there["boot"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return
    if name != here["hostname"] and boot != (here["boot"] or None):
        raise StorageError(
            f"the embedded PostgreSQL in {folder} was started on {name}, this is {here['hostname']}, and two "
            f"machines must not open one data folder. Work on {name}, run `clustersweep stop` there first, "
            f"choose another home with --home, {OTHER_SERVER}. If {name} is gone for good, delete {record}"
        )


def _check_path(folder: Path) -> None:
    excess = len(os.fsencode(socket_path(folder))) - _SOCKET_PATH_BYTES
    if excess > 0:
        raise StorageError(
            f"home: {folder.parent} is {excess} bytes too long for the embedded PostgreSQL: the path of a "
            f"Unix socket has at most {_SOCKET_PATH_BYTES} bytes, and this would be {socket_path(folder)}. "
            f"Choose a shorter home with --home, {OTHER_SERVER}"
        )
    if "," in str(folder):
        raise StorageError(
            f"home: {folder.parent} has a comma, which PostgreSQL's clients take for the end of a path. "
            f"Choose another home with --home, {OTHER_SERVER}"
        )


def _refuse_private_parent(folder: Path, owner: Owner) -> None:
    closed = private_parent(folder, owner) or private_parent(folder.resolve(), owner)
    if closed is not None:
        raise StorageError(
            f"home: {folder.parent} is no place for the embedded PostgreSQL: it cannot run as root, and the "
            f"user that it runs as, {owner}, may not pass through {closed}. Choose another home with --home "
            f"(root's default is /var/lib/clustersweep), {OTHER_SERVER}"
        )


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        rule = f"this file system cannot lock files ({error.strerror})"
        raise StorageError(f"{path}: {rule}. Choose another home, {OTHER_SERVER}") from error
    return True


def _this_host() -> dict[str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {"hostname": socket.gethostname(), "boot": boot.read_text().strip() if boot.exists() else ""}
