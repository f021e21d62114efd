"""What is said of a column that is not there: what there is, what may be meant, how to name it. Knows no catalogue."""

import difflib
from collections.abc import Collection, Iterable

from clustersweep.errors import Problem
from clustersweep.survey.names import ALIASES, OTHER_MASS, SHOWN


def absent(where: str, columns: Collection[str], option: str, name: str, *, chosen: bool, typed: bool) -> Problem:
    """Say that a column is not there.

    Args:
        where: The file.
        columns: Those that are there.
        option: `mass`, `redshift` or `identifier`.
        name: The column.
        chosen: Whether somebody named it; else it is the first of the usual names.
        typed: Whether no study can name it.
    """
    others = [column for column in columns if option == "mass" and OTHER_MASS.search(column)]
    near = _nearest(name, option, [column for column in columns if column not in others])
    remedy = (f"Did you mean `{near[0]}`? " if near else "") + naming(option, typed=typed)
    rule = f"is not a column of the catalogue, which has: {', '.join(columns) or 'none'}"
    if not chosen:
        shown = f"{', '.join(SHOWN[option])}, ..., in any case of letters"
        rule = f"no usual name of a {option} ({shown}) is in the catalogue, which has: {', '.join(columns) or 'none'}"
        if option == "redshift":  # which is asked for where it is needed only
            rule += ", and the network takes the redshift"
            remedy += "" if typed else " Networks with `redshift: none` need none."
    if others:
        remedy += f" `{others[0]}` looks like a mass of another overdensity: M500c has to be computed from it."
    return Problem(where, name, "", rule, remedy)


def naming(option: str, *, typed: bool) -> str:
    """Say how to name a column, first as whoever reads this most likely does."""
    ways = f"`{option}:` in a study or configuration", f"`--{option}` on the command line"
    return "Name the column with " + ", ".join(reversed(ways) if typed else ways) + "."


def another(option: str, *, typed: bool) -> str:
    """Say how to name another column."""
    return naming(option, typed=typed).replace("the column", "another column")


def _nearest(name: str, option: str, columns: Iterable[str]) -> list[str]:
    """Return the column that is most like a name or one of its aliases, if any is."""
    own = {column.lower(): column for column in columns}
    for wanted in (name.lower(), *sorted(ALIASES.get(option, ()))):
        if near := difflib.get_close_matches(wanted, own, n=1, cutoff=0.6):
            return [own[near[0]]]
    return []
