"""Options that verbs of several files have. Registers and prints nothing."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

StudyOrName = Annotated[
    Path, typer.Argument(metavar="STUDY", help="The study file or, once it is stored, the study's name.")
]
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


_WITHOUT = {
    "--home": "it reads and writes only the files that it is given",
    "--storage": "it reads and writes no studies",
}


class Verbs(TyperGroup):
    """All verbs; where `--home` or `--storage` stands before one, or behind one that has none, it says so."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse the two before the verb."""
        option = args[0].split("=")[0] if args else ""
        verb = next((word for word in args[1:] if word in self.commands), None)
        if option in _WITHOUT and verb is not None:
            self._require(ctx, verb, option)
            ctx.fail(f"{option} goes after the verb: clustersweep {verb} ... {option} ...")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Refuse the two behind a verb that has none."""
        verb, command, rest = super().resolve_command(ctx, args)
        for option in (word.split("=")[0] for word in rest):
            if verb is not None and option in _WITHOUT:
                self._require(ctx, verb, option)
        return verb, command, rest

    def _require(self, ctx: Any, verb: str, option: str) -> None:
        if not any(option in parameter.opts for parameter in self.commands[verb].params):
            ctx.fail(f"{verb} has no {option}: {_WITHOUT[option]}")


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
