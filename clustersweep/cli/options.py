"""What verbs of several files have in common: where the home and the database are. Registers and prints nothing."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clustersweep.home import Home
    from clustersweep.postgres.location import Database

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder for the embedded database, surveys and runs. \\[default: CLUSTERSWEEP_HOME]"),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        help="PostgreSQL URL; a password is better given in CLUSTERSWEEP_STORAGE.",
        show_default="CLUSTERSWEEP_STORAGE, else the embedded server",
    ),
]


def _seconds(text: str) -> float:
    from clustersweep.words import read_duration

    try:
        return read_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


WaitOption = Annotated[
    float | None,
    typer.Option(
        parser=_seconds,
        metavar="DURATION",
        help="How long to wait for room: 90s, 30m, 2h, 1d; 0 for not at all. \\[default: 10m on a cluster; on this "
        "machine until your launches that came first leave room]",
    ),
]


def home_of(option: Path | None, *, make: bool = True) -> "Home":
    """Find the home, and make it where it is missing; with `make=False`, for verbs that only read, leave it so."""
    from clustersweep.home import find_home

    return find_home(option, os.environ, os.getuid(), make=make)


def database_of(storage: str | None, home: "Home") -> "Database":
    """Reach the database, and start the embedded server where it is to be used."""
    from clustersweep.postgres.location import open_database

    return open_database(storage, os.environ, home)


def database_to_read(storage: str | None, home: "Home") -> "Database":
    """Reach the database without making one in a home that has none."""
    from clustersweep.postgres import location as postgres

    return postgres.database_to_read(storage, os.environ, home)
