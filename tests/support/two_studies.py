"""A database with two studies, one of which is to be removed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from small_study import small_plan

from clustersweep.home import Home
from clustersweep.postgres.location import Database
from clustersweep.storage.store import Storage
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.tasks import tasks


@contextlib.contextmanager
def two_studies(database: Database, home: Home, folder: Path) -> Iterator[Storage]:
    """Store `small` and `other`, each with a checkpoint; `folder` is for their files."""
    storage = Storage.connect(database.url, tasks)
    for name in ("small", "other"):
        storage.begin(small_plan(folder, study=name))
        RunFolder(home.run(name)).save_checkpoint("key", b"12345")
    yield storage
    storage.close()
