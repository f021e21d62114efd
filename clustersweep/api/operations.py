"""For those who look after a database: back it up, restore it, clean or remove a study, as the verbs do it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clustersweep.api.places import database_of, home_of
from clustersweep.display.values import Shown
from clustersweep.words import counted, size

if TYPE_CHECKING:
    from rich.console import Console

    from clustersweep.study.study import Study


@dataclass(frozen=True, repr=False)
class BackedUp(Shown):
    """A backup that was written.

    Attributes:
        file: Where it is.
        studies: Trials by the study's name.
        size_bytes: How large it is.
        runs: The folder of checkpoints, weights and reports, which are files and not in it.
    """

    file: Path
    studies: Mapping[str, int]
    size_bytes: int
    runs: Path

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep backup` does."""
        _show_studies(self.studies, out)
        said = f"{self.file}: {size(self.size_bytes)}. Checkpoints, weights and reports are files: copy {self.runs} too"
        out.out(said, highlight=False)


def backup(
    file: Path | str, *, force: bool = False, storage: str | None = None, home: Path | str | None = None
) -> BackedUp:
    """Write every study of the database into one file, also while launches run.

    It is a dump of PostgreSQL's (pg_dump's custom format) that only you can read.

    Args:
        file: The file to write.
        force: Replace it if it is there already.
        storage: URL of a database; None: `CLUSTERSWEEP_STORAGE`, else the embedded server.
        home: Folder of the embedded server and the run folders; None: `CLUSTERSWEEP_HOME`, else the user's own.

    Raises:
        DataError: There is a file of that name.
        StorageError: The database does not answer, or holds no studies.
    """
    from clustersweep.sweep.backup import back_up

    where = home_of(home)
    done = back_up(database_of(storage, where), Path(file), os.environ, force=force)
    return BackedUp(Path(file), done.studies, done.size_bytes, where.path / "runs")


@dataclass(frozen=True, repr=False)
class Restored(Shown):
    """A backup that is in a database.

    Attributes:
        studies: Trials by the study's name.
        storage: The database, without its password.
    """

    studies: Mapping[str, int]
    storage: str

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep restore` does."""
        _show_studies(self.studies, out)
        out.out(f"restored into {self.storage}", highlight=False)


def restore(file: Path | str, *, storage: str | None = None, home: Path | str | None = None) -> Restored:
    """Bring every study of a backup into a database that holds none: all of them or, if anything fails, nothing.

    Restore only what you have backed up yourself: a dump can hold any SQL, and that runs as the database's user.

    Args:
        file: What `backup` wrote.
        storage: URL of a database; None: `CLUSTERSWEEP_STORAGE`, else the embedded server.
        home: Folder of the embedded server; None: `CLUSTERSWEEP_HOME`, else the user's own.

    Raises:
        DataError: The file is no backup, or is damaged, cut short or of a newer PostgreSQL.
        StorageError: The database holds something already, refuses what is in the file, or does not answer.
    """
    from clustersweep.sweep import backup

    opened = database_of(storage, home_of(home))
    return Restored(backup.restore(opened, Path(file)), opened.safe_url)


@dataclass(frozen=True, repr=False)
class Removed(Shown):
    """A study that was removed, or that is about to be.

    Attributes:
        name: The study's.
        trials: How many were stored.
        folder: Its run folder; None where that stays, or was not there.
        size_bytes: How much was in the folder.
        storage: The database, without its password.
    """

    name: str
    trials: int
    folder: Path | None
    size_bytes: int
    storage: str

    @property
    def text(self) -> str:
        """What belonged to it, in words."""
        files = f"{size(self.size_bytes)} in {self.folder}" if self.folder else "no files"
        return f"{counted(self.trials, 'trial')}, {files}"

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep remove` does."""
        out.out(f"removed {self.name}: {self.text}", highlight=False)


def remove(
    name: str,
    *,
    keep_files: bool = False,
    agreed: Callable[[Removed], bool] | None = None,
    storage: str | None = None,
    home: Path | str | None = None,
) -> Removed | None:
    """Remove a study from the database, and its run folder (checkpoints, weights, report). There is no way back.

    Args:
        name: The study's.
        keep_files: Keep the run folder: the study is in another database too.
        agreed: Asked, with what would be removed, before anything is; None: it is removed unasked.
        storage: URL of a database; None: `CLUSTERSWEEP_STORAGE`, else the embedded server.
        home: Folder of the embedded server and the run folders; None: `CLUSTERSWEEP_HOME`, else the user's own.

    Returns:
        What was removed; None where `agreed` said no.

    Raises:
        StorageError: There is no such study, a launch of it lives, or something cannot be removed.
    """
    from clustersweep.sweep.removal import Belongings, remove_study

    where = home_of(home)
    opened = database_of(storage, where)

    def removed(found: Belongings) -> Removed:
        return Removed(name, found.trials, found.folder, found.size_bytes, opened.safe_url)

    done = remove_study(
        name, opened, where, keep_files=keep_files, agreed=lambda found: agreed is None or agreed(removed(found))
    )
    return None if done is None else removed(done)


@dataclass(frozen=True, repr=False)
class Cleaned(Shown):
    """What was removed of trials that were stopped early.

    Attributes:
        name: The study's.
        trials: How many stopped trials had checkpoints.
        size_bytes: How much those took.
    """

    name: str
    trials: int
    size_bytes: int

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep clean` does."""
        text = f"the checkpoints of {counted(self.trials, 'stopped trial')}, {size(self.size_bytes)}"
        out.out(
            f"removed {text}" if self.trials else f"{self.name} has no checkpoints of stopped trials", highlight=False
        )


def clean(study: "Study | Path | str", *, storage: str | None = None, home: Path | str | None = None) -> Cleaned:
    """Remove the checkpoints of trials that were stopped early; if these ever go on, they begin again.

    Args:
        study: The study, its file, or the name of a stored one.
        storage: As in `remove`.
        home: As in `remove`.

    Raises:
        StudyError: The file cannot be read.
        StudyLockedError: A launch of it lives.
        StorageError: There is no such study.
    """
    from clustersweep.api.studies import study_name
    from clustersweep.sweep.removal import clean_study

    where, name = home_of(home), study_name(study)
    done = clean_study(name, database_of(storage, where), where)
    return Cleaned(name, done.trials, done.size_bytes)


def stop(*, force: bool = False, home: Path | str | None = None) -> bool:
    """Stop the embedded PostgreSQL server; what needs it next starts it again, with its data. False: it did not run.

    Args:
        force: Also under a launch that lives.
        home: Folder of the embedded server; None: `CLUSTERSWEEP_HOME`, else the user's own.

    Raises:
        StorageError: A launch lives; or it runs on another machine or in another container.
    """
    from clustersweep.postgres.location import stop_embedded

    return stop_embedded(home_of(home), force=force)


def dashboard(
    *, host: str = "127.0.0.1", port: int = 8080, storage: str | None = None, home: Path | str | None = None
) -> None:
    """Serve the Optuna dashboard until it is interrupted, by Ctrl-C or a notebook's stop button.

    Args:
        host: Address to listen on. There is no login: keep it to this machine.
        port: Port to listen on.
        storage: URL of a database; None: `CLUSTERSWEEP_STORAGE`, else the embedded server.
        home: Folder of the embedded server; None: `CLUSTERSWEEP_HOME`, else the user's own.

    Raises:
        StorageError: The address cannot be listened on, or the database does not answer.
    """
    from rich.console import Console

    from clustersweep.storage.store import Storage, serve_dashboard

    opened = database_of(storage, home_of(home))
    said = f"dashboard on http://{host}:{port}/ for {opened.safe_url} (Ctrl-C ends it)"
    Console(stderr=True).out(said, highlight=False)
    serve_dashboard(Storage.connect(opened.url), host, port)


def _show_studies(studies: Mapping[str, int], out: "Console") -> None:
    width = max(map(len, studies), default=0)
    for name, trials in studies.items():
        out.out(f"{name:<{width}}  {counted(trials, 'trial')}", highlight=False)
