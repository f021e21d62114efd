"""Removing a study, from the database and from the disk; or only the checkpoints of what was stopped."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clustersweep.errors import StorageError
from clustersweep.home import Home
from clustersweep.postgres.location import Database, StudyLock
from clustersweep.storage.store import Storage
from clustersweep.study.study import NAME
from clustersweep.sweep.run_folder import RunFolder


@dataclass(frozen=True)
class Belongings:
    """What belongs to a study that is to be removed.

    Attributes:
        trials: How many trials are stored.
        folder: Its run folder; None where that stays, or is not there.
        size_bytes: How much is in the folder.
    """

    trials: int
    folder: Path | None
    size_bytes: int


def remove_study(
    name: str, database: Database, home: Home, *, keep_files: bool, agreed: Callable[[Belongings], bool]
) -> Belongings | None:
    """Remove a study, unless whoever is asked does not agree; what was removed, or None.

    Nobody can launch it meanwhile. When this is cut short, the same again removes the rest.

    Args:
        name: The study's name.
        database: Where it is stored.
        home: Where its run folder is.
        keep_files: Whether the run folder stays.
        agreed: Asked, with what would be removed, before anything is.

    Raises:
        StudyLockedError: A launch of it lives.
        StorageError: There is no such study, or something cannot be removed.
    """
    storage = Storage.connect(database.url, where=database.name(home))
    try:
        with StudyLock.acquire(database.url, name):
            trials = storage.count_trials(name)
            if not re.fullmatch(NAME, name):  # it could lead to any folder
                raise StorageError(f"the study {name!r} was not made by clustersweep. Remove it with what made it")
            files = RunFolder(home.run(name))
            there = not keep_files and files.path.exists()
            found = Belongings(trials, files.path if there else None, files.size_bytes() if there else 0)
            if not agreed(found):
                return None
            # The database last: while the study is in it, the same command finds what is left.
            if there:
                files.remove()
            storage.remove(name)
            return found
    finally:
        storage.close()


@dataclass(frozen=True)
class Cleaned:
    """What was removed of trials that were stopped early.

    Attributes:
        trials: How many stopped trials had checkpoints.
        size_bytes: How much those took.
    """

    trials: int
    size_bytes: int


def clean_study(name: str, database: Database, home: Home) -> Cleaned:
    """Remove the checkpoints of trials that were stopped early. If they ever go on, they begin again.

    Args:
        name: The study's name.
        database: Where it is stored.
        home: Where its run folder is.

    Raises:
        StudyLockedError: A launch of it lives.
        StorageError: There is no such study, or it is another program's.
    """
    storage = Storage.connect(database.url, where=database.name(home))
    try:
        with StudyLock.acquire(database.url, name):
            stopped = [trial for trial in storage.newest(name).values() if trial.stopped is not None]
            files, trials, freed = RunFolder(home.run(name)), 0, 0
            for trial in stopped:
                sizes = [files.checkpoint_bytes(one.key) for one in trial.paused.values()]
                trials, freed = trials + any(sizes), freed + sum(sizes)
                for one in trial.paused.values():
                    files.discard_checkpoint(one.key)
            return Cleaned(trials, freed)
    finally:
        storage.close()
