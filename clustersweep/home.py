"""Where everything lives on disk, and how a file gets there whole.

Nothing here knows what is in a file.
"""

import contextlib
import errno
import math
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clustersweep.errors import StorageError

# Not /root: the embedded PostgreSQL refuses to run as root, and its own user could not get into there.
_HOME_OF_ROOT = Path("/var/lib/clustersweep")

_PART = re.compile(r"\.[0-9a-f]{16}\.part")
NOBODY_WRITES_AFTER_S = 3600.0
"""A part that has not been written to for so long has no writer any more."""


@dataclass(frozen=True)
class Home:
    """The folder that holds the embedded database, the simulated surveys and what runs leave behind."""

    path: Path

    @property
    def database(self) -> Path:
        """The embedded server's folder."""
        return self.path / "database"

    @property
    def surveys(self) -> Path:
        """Simulated surveys, one folder each."""
        return self.path / "surveys"

    @property
    def speeds(self) -> Path:
        """How fast each device trained before: the basis of the next estimate."""
        return self.path / "speeds.json"

    def run(self, study_name: str) -> Path:
        """Return the folder of one study's checkpoints, weights and report."""
        return self.path / "runs" / study_name


def find_home(option: Path | None, environ: Mapping[str, str], uid: int, *, make: bool = True) -> Home:
    """Choose the home (`--home`, else `CLUSTERSWEEP_HOME`, else the user's default); make it where missing.

    A new home is closed to other users; root's may be passed through, not listed, since the embedded
    server runs as a user of its own. The mode of a folder that exists already is left alone.

    Args:
        option: The value of `--home`.
        environ: The environment variables.
        uid: The effective user id: root has another default.
        make: Whether to make it: whoever only reads leaves no folder behind.

    Raises:
        StorageError: The folder cannot be made, is none, or cannot be written to.
    """
    where, path = _choose(option, environ, uid)
    remedy = "Choose a folder that you can write to with --home or CLUSTERSWEEP_HOME"
    if not make:
        return Home(path)
    try:
        path.mkdir(mode=0o700, parents=True)
        path.chmod(0o711 if uid == 0 else 0o700)  # mkdir's mode is cut by the umask
    except OSError as error:
        if not path.is_dir():
            raise StorageError(f"{where}: {path} cannot be made: {_why(error)}. {remedy}") from error
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise StorageError(f"{where}: {path} cannot be written to. {remedy}")
    return Home(path)


def write_atomically(path: Path, data: bytes, *, what: str = "file") -> None:
    """Write a file so that its name always has the old content or the new one, whole, whatever happens.

    Missing parent folders are made. The data are on the disk when this returns.

    Args:
        path: The file.
        data: Its content.
        what: What it is, for the message of a failure (`checkpoint`, `report`).

    Raises:
        StorageError: The disk is full, the folder read-only, ...; nothing is left behind, the old file stays.
    """
    with beside(path, f"the {what} of {len(data):,} bytes") as part, part.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def beside(path: Path, what: str) -> Iterator[Path]:
    """Return a free name beside a file; what the block writes there takes the file's name, unless the block fails.

    Missing parent folders are made. The block itself sees to it that its data are on the disk.

    Args:
        path: The file.
        what: What it is, for the message of a failure (`the backup`).

    Raises:
        StorageError: The disk is full, the folder read-only, ...; nothing is left behind, the old file stays.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path}: {what} cannot be written: {_why(error)}. {_remedy(error)}") from error


def is_part(path: Path) -> bool:
    """Return whether this is what `beside` writes to: half a file, for ever if its writer was killed."""
    return _PART.fullmatch(path.name) is not None


def remove_parts(folder: Path, *, older_than_s: float = -math.inf) -> None:
    """Remove what writers that were killed have left in a folder and all below it, as far as that can be removed.

    Args:
        folder: Where; that there is none is no error.
        older_than_s: Leave alone what was written to later than this, in seconds: its writer may live.
    """
    for path in [path for path in folder.rglob(".*.part") if is_part(path)]:
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime >= older_than_s:
                path.unlink()


def _choose(option: Path | None, environ: Mapping[str, str], uid: int) -> tuple[str, Path]:
    """Return the home's absolute path and who chose it. Symbolic links stay: one may be there to shorten it."""
    if option is not None:
        where, path = "--home", option
    elif environ.get("CLUSTERSWEEP_HOME"):
        where, path = "CLUSTERSWEEP_HOME", Path(environ["CLUSTERSWEEP_HOME"])
    elif uid == 0:
        where, path = "default home", _HOME_OF_ROOT
    else:
        where, path = "default home", Path("~/.clustersweep")
    if path.parts[:1] == ("~",):
        path = _user_folder(environ).joinpath(*path.parts[1:])
    return where, Path(os.path.abspath(path))


def _user_folder(environ: Mapping[str, str]) -> Path:
    if environ.get("HOME"):
        return Path(environ["HOME"])
    try:
        return Path.home()
    except RuntimeError:
        rule = "this user has no folder in the password file, and HOME is not set"
        raise StorageError(f"default home: {rule}. Give a folder with --home or CLUSTERSWEEP_HOME") from None


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _why(error: OSError) -> str:
    known = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "your disk quota is used up"}
    return known.get(error.errno or 0, (error.strerror or str(error)).lower())


def _remedy(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "Free some space or choose another disk; what was there before is unharmed"
    return "Make the folder writable or choose another"
