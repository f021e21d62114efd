"""Where studies are kept: the home and the database, as the options or the environment name them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from clustersweep.home import Home, find_home

if TYPE_CHECKING:
    from clustersweep.postgres.location import Database


def home_of(folder: Path | str | None, *, make: bool = True) -> Home:
    """Find the home, and make it where it is missing; with `make=False`, for what only reads, leave it so."""
    return find_home(None if folder is None else Path(folder), os.environ, os.getuid(), make=make)


def database_of(storage: str | None, home: Home) -> "Database":
    """Reach the database, and start the embedded server where it is to be used."""
    from clustersweep.postgres.location import open_database

    return open_database(storage, os.environ, home)


def database_to_read(storage: str | None, home: Home) -> "Database":
    """Reach the database without making one in a home that has none."""
    from clustersweep.postgres import location

    return location.database_to_read(storage, os.environ, home)
