"""Where everything lives on disk."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clustersweep.errors import StorageError
from clustersweep.files import why

# Not /root: the embedded PostgreSQL refuses to run as root, and its own user could not get into there.
_HOME_OF_ROOT = Path("/var/lib/clustersweep")


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
            raise StorageError(f"{where}: {path} cannot be made: {why(error)}. {remedy}") from error
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise StorageError(f"{where}: {path} cannot be written to. {remedy}")
    return Home(path)


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
