"""The verbs for those who look after a database: back it up, restore it, remove a study. Registered by `cli`."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clustersweep.api.places import database_of, home_of
from clustersweep.cli.options import HomeOption, StorageOption
from clustersweep.words import counted

if TYPE_CHECKING:
    from clustersweep.sweep.removal import Belongings


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, e.g. sweeps.dump.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there already.")] = False,
    storage: StorageOption = None,
    home_folder: HomeOption = None,
) -> None:
    """Write every study of the database into one file, also while launches run.

    It is a dump of PostgreSQL's (pg_dump's custom format) that only you can read. Checkpoints, weights and reports are
    not in it: they are files in `runs/` below the home, so copy that folder too.
    """
    from clustersweep.sweep.backup import back_up

    home = home_of(home_folder)
    done = back_up(database_of(storage, home), file, os.environ, force=force)
    _print_studies(done.studies)
    print(
        f"{file}: {_bytes(done.size_bytes)}. Checkpoints, weights and reports are files: copy {home.path / 'runs'} too"
    )


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.")],
    storage: StorageOption = None,
    home_folder: HomeOption = None,
) -> None:
    """Bring every study of a backup into a database that holds none: all of them or, if anything fails, nothing.

    Restore only what you have backed up yourself: a dump can hold any SQL, and that runs as the database's user.
    """
    from clustersweep.sweep.backup import restore as restored

    opened = database_of(storage, home_of(home_folder))
    _print_studies(restored(opened, file))
    print(f"restored into {opened.safe_url}")


def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The study's name.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    keep_files: Annotated[
        bool, typer.Option("--keep-files", help="Keep the run folder: the study is in another database too.")
    ] = False,
    storage: StorageOption = None,
    home_folder: HomeOption = None,
) -> None:
    """Remove a study from the database, and its run folder (checkpoints, weights, report). There is no way back."""
    from clustersweep.sweep.removal import remove_study

    if not yes and not sys.stdin.isatty():
        print("error: there is no terminal to ask on. Give --yes to remove the study unasked", file=sys.stderr)
        raise typer.Exit(2)
    home = home_of(home_folder)
    opened = database_of(storage, home)

    def agreed(found: "Belongings") -> bool:
        try:
            return yes or typer.confirm(f"Remove {name} from {opened.safe_url}: {_belongings(found)}?", err=True)
        except typer.Abort:  # Ctrl-C and Ctrl-D say no, too
            return False

    removed = remove_study(name, opened, home, keep_files=keep_files, agreed=agreed)
    if removed is None:
        print("nothing was removed", file=sys.stderr)
        raise typer.Exit(1)
    print(f"removed {name}: {_belongings(removed)}")


def _belongings(found: "Belongings") -> str:
    files = f"{_bytes(found.size_bytes)} in {found.folder}" if found.folder else "no files"
    return f"{counted(found.trials, 'trial')}, {files}"


def _print_studies(studies: Mapping[str, int]) -> None:
    width = max(map(len, studies), default=0)
    for name, trials in studies.items():
        print(f"{name:<{width}}  {counted(trials, 'trial')}")


def _bytes(count: float) -> str:
    """Write a number of bytes as people say it."""
    if count < 1000:
        return f"{count} bytes"
    units = iter(("kB", "MB", "GB"))
    unit = ""
    while count >= 1000 and (larger := next(units, "")):
        count, unit = count / 1000, larger
    return f"{count:,.1f} {unit}"
