"""What is stored of a study, compared with its file and its data. Trains nothing, and makes no home."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clustersweep.api.places import database_to_read
from clustersweep.errors import DataError, StorageError
from clustersweep.home import Home

if TYPE_CHECKING:
    from clustersweep.postgres.location import Database
    from clustersweep.storage.store import Storage
    from clustersweep.study.plan import Left, Plan
    from clustersweep.study.results import SweepResults
    from clustersweep.study.study import Study


@dataclass(frozen=True)
class Stored:
    """What is stored of a study, and what its data are.

    Attributes:
        study: The study.
        database: Where it is.
        storage: The way there.
        results: What the study came to.
        data_digest: Digest of the data that it was trained on.
        header: What is known of the data now; None where they are not there, or cannot be used.
        absent: A file of theirs that is not there.
        refused: Why they cannot be used.
    """

    study: "Study"
    database: "Database"
    storage: "Storage"
    results: "SweepResults"
    data_digest: str
    header: Any
    absent: Path | None
    refused: DataError | None

    @property
    def source(self) -> str:
        """The data in words."""
        return self.header.source if self.header is not None else self.study.task.source

    @property
    def note(self) -> str:
        """What was not compared, and why; empty where all was."""
        compared = "all but the data was compared with what is stored"
        if self.absent is not None:
            return f"{self.absent} is not to be found here: {compared}"
        return "" if self.refused is None else f"{self.refused}\nthese data cannot be used: {compared}"


def open_to_read(storage: str | None, home: Home) -> tuple["Database", "Storage"]:
    """Reach what is stored, to read it; makes no database in a home that has none.

    Raises:
        StorageError: It cannot be reached, or nothing was ever stored in this home.
    """
    from clustersweep.storage.store import Storage
    from clustersweep.tasks import tasks

    database = database_to_read(storage, home)
    return database, Storage.connect(database.url, tasks, database.name(home))


def read_stored(study: "Study", storage: str | None, home: Home) -> Stored:
    """Read a study's results, having made sure that the file is still the study that they belong to.

    Where the data are not there, or a launch would refuse them, all else is compared, and `note` says so: what an
    earlier version trained on stays readable.

    Raises:
        StorageError: The database cannot be reached, or has no such study.
        StudyChangedError: The file is another study than what is stored.
    """
    database, opened = open_to_read(storage, home)
    absent = study.task.absent()
    header, refused = None, None
    try:
        header = None if absent else study.task.header(study.axes)
    except DataError as error:
        refused = error
    data_digest = opened.require_same(study, header.digest if header else None)
    return Stored(study, database, opened, opened.results(study.name), data_digest, header, absent, refused)


def read_left(planned: "Plan", storage: str | None, home: Home) -> tuple["Left | None", str]:
    """Tell what of a plan is left where its database is at hand; else None, and why. Starts no server.

    Raises:
        StudyChangedError: The file is another study than what is stored.
        StorageError: The storage that was named cannot be reached.
    """
    from clustersweep.postgres.location import database_at_hand, holds_studies

    try:
        database = database_at_hand(storage, os.environ, home)
        if database is None:
            return None, "not compared with what is stored: the home's database does not run, and plan starts none"
        if not holds_studies(database):
            return None, "not launched yet"
        from clustersweep.storage.store import Storage  # Optuna: plan is quick without it

        left = Storage.connect(database.url).left(planned)
        return left, "" if left is not None else "not launched yet"
    except StorageError as error:
        if storage is not None:
            raise
        return None, f"not compared with what is stored: {error}"
