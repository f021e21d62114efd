"""The catalogue: its columns, which of them are mass, redshift and identifier, and what is wrong with them.

Works on columns in memory; the formats are in `fitsfile`, `npzfile` and `lab`.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem

Array = NDArray[Any]

PAIRS = (("M500c", "z"), ("m500_wl_final", "z_final"), ("HALO_M500c", "redshift_R"))
"""Mass and redshift in the eFEDS simulation, the observed eFEDS clusters, and other simulations."""
IDENTIFIERS = ("identifier", "SRC_ID_IN", "input_SRC_ID", "ID_SRC_OUT", "Name", "name", "ID", "id")
"""Names of an identifier, best first. `SRC_ID_IN` is the halo, which several realisations may show."""
LARGEST_REDSHIFT = 5.0
_NAMED = 5  # rows that a message names


@dataclass(frozen=True)
class Catalogue:
    """A table of clusters.

    Attributes:
        where: The file, for messages.
        columns: One array for each column, `(cluster,)`; integers int64 (uint64 where one is too large),
            other numbers float64, text str.
        units: Unit of a column, where known.
        descriptions: What a column is, where known.
        digest: Digest of the content that the file claims; None where it claims none.
    """

    where: str
    columns: Mapping[str, Array]
    units: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0


@dataclass(frozen=True)
class Choice:
    """Names of the columns that the user chose; None leaves it to the known names."""

    mass: str | None = None
    redshift: str | None = None
    identifier: str | None = None


@dataclass(frozen=True)
class Labels:
    """What the data set takes from a catalogue, `(cluster,)` each; `identifier` is None without a column.

    `columns` names the columns of mass, redshift and identifier; the last is empty without one.
    """

    log_mass: NDArray[np.float64]
    redshift: NDArray[np.float64]
    identifier: Array | None
    columns: tuple[str, str, str]


def native(column: Array) -> Array:
    """Return a column as int64, float64, bool or str, whatever width and byte order it came in.

    Whole numbers of which one is too large for int64 are uint64: some surveys name their sources so.
    """
    kind = column.dtype.kind
    if kind == "u" and column.size and column.max() > np.iinfo(np.int64).max:
        return column.astype(np.uint64)
    if kind in "iu":
        return column.astype(np.int64)
    if kind == "f":
        return column.astype(np.float64)
    if kind == "b":
        return column.astype(np.bool_)
    if kind == "S":
        return np.char.rstrip(np.char.decode(column, "utf-8", "replace"))
    return np.array([("" if value is None else str(value)).rstrip() for value in column], dtype=np.str_)


def labels(catalogue: Catalogue, choice: Choice) -> Labels:
    """Take mass, redshift and identifier out of a catalogue.

    Raises:
        DataError: A column is missing, or holds what cannot be a mass or a redshift; every problem at once.
    """
    if not len(catalogue):
        raise DataError([Problem(catalogue.where, "", "", "has no rows", "Give the catalogue of the images.")])
    mass_name, redshift_name = _pair(catalogue, choice)
    numbers = {"mass": mass_name, "redshift": redshift_name}
    _require_present(catalogue, choice, numbers | ({"identifier": choice.identifier} if choice.identifier else {}))
    _require_numbers(catalogue, numbers)
    mass, redshift = catalogue.columns[mass_name], catalogue.columns[redshift_name]
    problems: list[Problem] = []
    with np.errstate(invalid="ignore"):
        bad_mass = ~(np.isfinite(mass) & (mass > 0))
        bad_redshift = ~(np.isfinite(redshift) & (redshift > 0) & (redshift <= LARGEST_REDSHIFT))
    problems += _bad_rows(catalogue, mass_name, bad_mass, "must be a positive mass in solar masses")
    rule = f"must be a redshift above 0 and at most {LARGEST_REDSHIFT:g}"
    problems += _bad_rows(catalogue, redshift_name, bad_redshift, rule)
    if problems:
        raise DataError(problems)
    own, identifier = identifiers(catalogue, choice)
    names = mass_name, redshift_name, own
    return Labels(np.log10(mass.astype(np.float64)), redshift.astype(np.float64), identifier, names)


def identifiers(catalogue: Catalogue, choice: Choice) -> tuple[str, Array | None]:
    """Give the identifier's name and column; an empty name and None where none is chosen and no known one is there.

    Raises:
        DataError: The chosen column is missing.
    """
    if choice.identifier:
        _require_present(catalogue, choice, {"identifier": choice.identifier}, typed=True)
    own = choice.identifier or next((n for n in IDENTIFIERS if n in catalogue.columns), "")
    if not own:
        return "", None
    identifier = catalogue.columns[own]
    if identifier.dtype.kind == "f" and (identifier == np.floor(identifier)).all():
        identifier = identifier.astype(np.int64)  # a missing value elsewhere made feather store integers as floats
    return own, identifier


def redshifts(catalogue: Catalogue, choice: Choice, *, needed: bool) -> NDArray[np.float64] | None:
    """Give the redshifts alone, as they are, of a catalogue that may hold no masses.

    Returns:
        `(cluster,)`; None where none is chosen, no known one is there, and none is needed.

    Raises:
        DataError: The chosen column is missing or no number, or a redshift is needed and there is none.
    """
    _, first = _pair(catalogue, choice)
    known = [first, *(redshift for _, redshift in PAIRS)]
    name = choice.redshift or next((name for name in known if name in catalogue.columns), None)
    if name is None and not needed:
        return None
    return _numbers(catalogue, choice, "redshift", name or first)


def masses(catalogue: Catalogue, choice: Choice) -> NDArray[np.float64]:
    """Give log10 of the masses alone, of a catalogue that may hold no redshifts, and masses of some clusters only.

    Returns:
        log10 M500c in solar masses, `(cluster,)`; NaN where the catalogue has no positive mass.

    Raises:
        DataError: The column is missing, no number, or without any positive mass.
    """
    name, _ = _pair(catalogue, choice)
    mass = _numbers(catalogue, choice, "mass", name)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(mass) & (mass > 0)
    if not known.any():
        rule = "must hold positive masses in solar masses, and has none"
        raise DataError([Problem(catalogue.where, name, _list(mass), rule, _another("mass", typed=True))])
    return np.log10(mass, where=known, out=np.full(len(mass), np.nan))


def _numbers(catalogue: Catalogue, choice: Choice, option: str, name: str) -> NDArray[np.float64]:
    """Give one column, having made sure that it is there and holds numbers."""
    _require_present(catalogue, choice, {option: name}, typed=True)
    _require_numbers(catalogue, {option: name}, typed=True)
    return catalogue.columns[name].astype(np.float64)


def concerns(found: Labels) -> tuple[str, ...]:
    """List what is suspect about the labels but might be meant, each with its likely cause."""
    messages = []
    mass = 10**found.log_mass
    low, high = np.quantile(mass, [0.05, 0.95])
    range_ = f"nine in ten masses lie between {low:.4g} and {high:.4g}:"
    if low > 11 and high < 17:
        messages.append(
            f"{range_} they look like log10 of solar masses, where linear solar masses are expected. "
            "Give a linear column with `mass:`, or raise 10 to the power of this one."
        )
    elif low > 0.01 and high < 1000:
        messages.append(
            f"{range_} they look like units of 1e14 solar masses, where solar masses are expected. "
            "Multiply the column by 1e14."
        )
    elif low < 1e11 or high > 1e17:
        messages.append(
            f"{range_} no cluster of galaxies has such masses in solar masses. Check the unit of the column."
        )
    if found.identifier is not None:
        values, counts = np.unique(found.identifier, return_counts=True)
        repeated = values[counts > 1]
        if repeated.size:
            messages.append(
                f"{repeated.size} of {values.size} identifiers are repeated ({_list(repeated)}): the same halo may "
                "stand on both sides of the split and flatter the result. `split: {by: identifier}` keeps each on "
                "one side."
            )
    return tuple(messages)


def _pair(catalogue: Catalogue, choice: Choice) -> tuple[str, str]:
    """Settle on the names of mass and redshift; names that do not exist are found out by the caller."""
    known = [p for p in PAIRS if p[0] in catalogue.columns and p[1] in catalogue.columns]
    half = [p for p in PAIRS if p[0] == choice.mass or p[1] == choice.redshift]
    pair = (half or known or [PAIRS[0]])[0]
    mass, redshift = pair
    if choice.mass and not half and known:
        redshift = known[0][1]
    if choice.redshift and not half and known:
        mass = known[0][0]
    return choice.mass or mass, choice.redshift or redshift


def _require_present(catalogue: Catalogue, choice: Choice, wanted: Mapping[str, str], *, typed: bool = False) -> None:
    """Refuse a catalogue without these columns, given as option and name; `typed` where no study can name them."""
    present = ", ".join(catalogue.columns) or "none"
    problems = []
    for option, name in wanted.items():
        if name in catalogue.columns:
            continue
        near = difflib.get_close_matches(name, catalogue.columns, n=1, cutoff=0.6)
        hint = f"Did you mean `{near[0]}`? " if near else ""
        rule = f"is not a column of the catalogue, which has: {present}"
        if getattr(choice, option) is None:
            pairs = ", ".join(f"{m}/{z}" for m, z in PAIRS)
            known = f"no known pair of mass and redshift ({pairs})"
            if not {"mass", "redshift"} <= set(wanted):
                known = f"no known {option} ({', '.join(pair[option == 'redshift'] for pair in PAIRS)})"
            rule = f"{known} is in the catalogue, which has: {present}"
        problems.append(Problem(catalogue.where, name, "", rule, f"{hint}{_naming(option, typed=typed)}"))
    if problems:
        raise DataError(problems)


def _require_numbers(catalogue: Catalogue, wanted: Mapping[str, str], *, typed: bool = False) -> None:
    problems = []
    for option, name in wanted.items():
        column = catalogue.columns[name]
        if column.dtype.kind not in "iuf":
            rule = f"holds text, and the {option} must be a number"
            problems.append(Problem(catalogue.where, name, str(column[:1]), rule, _another(option, typed=typed)))
    if problems:
        raise DataError(problems)


def _naming(option: str, *, typed: bool) -> str:
    """Say how to name a column, first as whoever reads this most likely does."""
    ways = f"`{option}:` in a study or configuration", f"`--{option}` on the command line"
    return "Name the column with " + ", ".join(reversed(ways) if typed else ways) + "."


def _another(option: str, *, typed: bool) -> str:
    return _naming(option, typed=typed).replace("the column", "another column")


def _bad_rows(catalogue: Catalogue, name: str, bad: NDArray[np.bool_], rule: str) -> list[Problem]:
    rows = np.flatnonzero(bad)
    if not rows.size:
        return []
    shown = ", ".join(f"{catalogue.columns[name][row]:g} in row {row}" for row in rows[:_NAMED])
    more = f" and {rows.size - _NAMED} more" if rows.size > _NAMED else ""
    return [Problem(catalogue.where, name, shown + more, rule, "Remove these rows, and their images, or correct them.")]


def _list(values: Array) -> str:
    shown = ", ".join(str(value) for value in values[:_NAMED])
    return shown + (", ..." if values.size > _NAMED else "")
