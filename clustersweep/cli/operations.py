"""The verbs for those who look after a database: back it up, restore it, remove a study. Registered by `cli`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clustersweep.cli.options import HomeOption, StorageOption, StudyOrName

if TYPE_CHECKING:
    from clustersweep.api.operations import Removed


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
    from rich.console import Console

    from clustersweep.api.operations import backup as run

    run(file, force=force, storage=storage, home=home_folder).show(Console())


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.")],
    storage: StorageOption = None,
    home_folder: HomeOption = None,
) -> None:
    """Bring every study of a backup into a database that holds none: all of them or, if anything fails, nothing.

    Restore only what you have backed up yourself: a dump can hold any SQL, and that runs as the database's user.
    """
    from rich.console import Console

    from clustersweep.api.operations import restore as run

    run(file, storage=storage, home=home_folder).show(Console())


def clean(study_file: StudyOrName, storage: StorageOption = None, home_folder: HomeOption = None) -> None:
    """Remove the checkpoints of trials that were stopped early; if these ever go on, they begin again."""
    from rich.console import Console

    from clustersweep.api.operations import clean as run

    run(study_file, storage=storage, home=home_folder).show(Console())


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
    from rich.console import Console

    from clustersweep.api.operations import remove as run

    if not yes and not sys.stdin.isatty():
        print("error: there is no terminal to ask on. Give --yes to remove the study unasked", file=sys.stderr)
        raise typer.Exit(2)

    def agreed(found: "Removed") -> bool:
        try:
            return yes or typer.confirm(f"Remove {name} from {found.storage}: {found.text}?", err=True)
        except typer.Abort:  # Ctrl-C and Ctrl-D say no, too
            return False

    removed = run(name, keep_files=keep_files, agreed=agreed, storage=storage, home=home_folder)
    if removed is None:
        print("nothing was removed", file=sys.stderr)
        raise typer.Exit(1)
    removed.show(Console())
