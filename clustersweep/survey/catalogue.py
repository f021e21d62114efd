"""The catalogue: its columns, which of them are mass, redshift and identifier, and what is wrong with them.

Works on columns in memory; the formats are in `fitsfile`, `npzfile` and `lab`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey.columns import absent, another, naming
from clustersweep.survey.mass_unit import (
    EXAMPLES,
    LARGEST_LOG,
    LEAST_LOG,
    RANGE,
    SOLAR,
    MassUnit,
    hubble_text,
    is_mass,
    mass_unit,
)  # fmt: skip
from clustersweep.survey.names import ALIASES, IDENTIFIERS, PAIRS, REDSHIFT_LIKE

log = logging.getLogger(__name__)

Array = NDArray[Any]

_REMOVE = "Remove these rows, and their images, as `clustersweep convert --drop-invalid` does, or correct them."
_ALL_ROWS = "A study without `redshift: head` or `dense` trains on all rows."
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
class ColumnNames:
    """Names of the columns that the user chose; None leaves it to the known names.

    Attributes:
        mass: Column of the masses.
        redshift: Of the redshifts.
        identifier: Of what names the clusters.
        mass_unit: Unit of the masses; None leaves it to the file's, and solar masses.
        usual: Names to be tried before the known ones, and not missed where they are missing.
    """

    mass: str | None = None
    redshift: str | None = None
    identifier: str | None = None
    mass_unit: str | None = None
    usual: "ColumnNames | None" = None


@dataclass(frozen=True)
class Labels:
    """What the data set takes from a catalogue, `(cluster,)` each; `identifier` is None without a column.

    `redshift` is NaN where there is none; `columns` names the columns of mass, redshift and identifier, empty
    where there is none; `unit` is that of the column of masses; `notes` is what was made of odd values.
    """

    log_mass: NDArray[np.float64]
    redshift: NDArray[np.float64]
    identifier: Array | None
    columns: tuple[str, str, str]
    unit: MassUnit = SOLAR
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Say which columns were taken, and in which unit."""
        mass, redshift, identifier = self.columns
        return f"mass {mass} in {self.unit}, redshift {redshift or 'none'}, identifier {identifier or 'none'}"

    @property
    def masses_text(self) -> str:
        """Say which column gave the masses, in which unit, and what they are then, so that a wrong factor is seen."""
        low, high, least, most = (
            _short(10**log_mass) for log_mass in np.quantile(self.log_mass, [0, 1, 0.05, 0.95]).tolist()
        )
        unit = str(self.unit).replace("e+", "e")
        return (
            f"masses from {self.columns[0]} in {unit}: {low} to {high} solMass, nine in ten between {least} and {most}"
        )

    @property
    def decisive(self) -> tuple[str, ...]:
        """What is taken from the catalogue, for the digest: the unit only where it is not the usual one."""
        return self.columns if self.unit == MassUnit() else (*self.columns, f"masses in {self.unit}")


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


def labels(catalogue: Catalogue, choice: ColumnNames, *, needs_redshift: bool = True) -> Labels:
    """Take mass, redshift and identifier out of a catalogue.

    Args:
        catalogue: The table.
        choice: The columns, and the unit of the masses, where they are not what the file's names and units say.
        needs_redshift: Whether every cluster must have a redshift; else what is none becomes NaN.

    Raises:
        DataError: A column is missing, or holds what cannot be a mass or a redshift; every problem at once.
    """
    if not len(catalogue):
        raise DataError([Problem(catalogue.where, "", "", "has no rows", "Give the catalogue of the images.")])
    mass_name, redshift_name = mass_and_redshift(catalogue, choice, needs_redshift=needs_redshift)
    numbers = {"mass": mass_name} | ({"redshift": redshift_name} if redshift_name else {})
    _require_present(catalogue, choice, numbers | ({"identifier": choice.identifier} if choice.identifier else {}))
    _require_numbers(catalogue, numbers)
    unit = unit_of(catalogue, choice, mass_name)
    log_mass = unit.log_mass(catalogue.columns[mass_name].astype(np.float64))
    problems = _bad_masses(catalogue, mass_name, unit, log_mass)
    redshift, notes = np.full(len(catalogue), np.nan), tuple[str, ...]()
    if redshift_name:
        redshift = catalogue.columns[redshift_name].astype(np.float64)
        bad = ~_is_redshift(redshift)
        if needs_redshift:
            rule = f"must be a redshift above 0 and at most {LARGEST_REDSHIFT:g}"
            rows = _bad_rows(catalogue, redshift_name, bad, rule, f"{_REMOVE} {_ALL_ROWS}")
            problems += _no_redshifts(catalogue, redshift_name) or rows
        elif bad.any():
            notes = _odd_redshifts(catalogue, redshift_name, bad & np.isfinite(redshift))
            redshift = np.where(bad, np.nan, redshift)
    if problems:
        raise DataError(problems)
    own, identifier = identifiers(catalogue, choice)
    return Labels(log_mass, redshift, identifier, (mass_name, redshift_name, own), unit, notes)


def invalid_rows(catalogue: Catalogue, choice: ColumnNames) -> dict[str, NDArray[np.bool_]]:
    """Return which rows have no possible mass and which no redshift, `(cluster,)` each, by what is wrong with them.

    Where there is no column of redshifts, none is missing: only networks that take none can be meant.

    Raises:
        DataError: A column is missing or no number, so many masses are impossible that their unit must be wrong, or
            the column of redshifts holds something else.
    """
    mass_name, redshift_name = mass_and_redshift(catalogue, choice, needs_redshift=False)
    numbers = {"mass": mass_name} | ({"redshift": redshift_name} if redshift_name else {})
    _require_present(catalogue, choice, numbers)
    _require_numbers(catalogue, numbers)
    unit = unit_of(catalogue, choice, mass_name)
    log_mass = unit.log_mass(catalogue.columns[mass_name].astype(np.float64))
    if (is_mass(log_mass) | ~np.isfinite(log_mass)).mean() < 0.5:
        raise DataError(_bad_masses(catalogue, mass_name, unit, log_mass))
    bad = {f"no possible mass in `{mass_name}`": ~is_mass(log_mass)}
    if redshift_name:
        if problems := _no_redshifts(catalogue, redshift_name):
            raise DataError(problems)
        redshift = catalogue.columns[redshift_name].astype(np.float64)
        bad[f"no redshift in `{redshift_name}`"] = ~_is_redshift(redshift)
    return bad


def unit_of(catalogue: Catalogue, choice: ColumnNames, name: str) -> MassUnit:
    """Return the unit of a column of masses: the one that was given, the file's, the usual one, or solar masses.

    The usual one where the numbers are masses of clusters in it rather than in solar masses.

    Raises:
        DataError: The one that was given is no unit of mass.
    """
    own = mass_unit(catalogue.units.get(name, "") or "solMass")
    if choice.mass_unit is None:
        if own is None:
            text = "%s: the unit of %s is %r, which is no known unit of mass: it is taken for solar masses. "
            text += "Another one is `mass_unit: UNIT` in a study, `--mass-unit 'UNIT'` to a verb"
            log.warning(text + hubble_text(catalogue.units[name]), catalogue.where, name, catalogue.units[name])
        usual = mass_unit(choice.usual.mass_unit) if choice.usual is not None and choice.usual.mass_unit else None
        if usual is not None and not catalogue.units.get(name):
            column = catalogue.columns[name].astype(np.float64)
            if is_mass(usual.log_mass(column)).sum() > is_mass(SOLAR.log_mass(column)).sum():
                return usual
        return own or MassUnit()
    given = mass_unit(choice.mass_unit)
    if given is None:
        rule = f"is no unit of mass. Units are written like {EXAMPLES}"
        remedy = "Correct `mass_unit:` in a study or configuration, `--mass-unit` on the command line."
        raise DataError([Problem(catalogue.where, "mass_unit", choice.mass_unit, rule, remedy)])
    if own is not None and catalogue.units.get(name) and own != given:
        text = "%s: the file says that %s is in %s; taken as %s, as you say"
        log.warning(text, catalogue.where, name, own, given)
    return given


def identifiers(catalogue: Catalogue, choice: ColumnNames, *, any_case: bool = False) -> tuple[str, Array | None]:
    """Return the identifier's name and column; an empty name and None where none is chosen and no known one is there.

    Args:
        catalogue: The table.
        choice: The columns that were chosen.
        any_case: Whether the case of letters does not matter. It does where digests and splits hang on the column:
            there, earlier versions took `NAME` for no identifier.

    Raises:
        DataError: The chosen column is missing.
    """
    if choice.identifier:
        _require_present(catalogue, choice, {"identifier": choice.identifier}, typed=True)
    usual = () if choice.usual is None or choice.usual.identifier is None else (choice.usual.identifier,)
    own = choice.identifier or next((n for n in (*usual, *IDENTIFIERS) if n in catalogue.columns), "")
    if not own and any_case:
        known = {name.lower() for name in IDENTIFIERS}
        own = next((name for name in catalogue.columns if name.lower() in known), "")
    if not own:
        return "", None
    identifier = catalogue.columns[own]
    if identifier.dtype.kind == "f" and (identifier == np.floor(identifier)).all():
        identifier = identifier.astype(np.int64)  # a missing value elsewhere made feather store integers as floats
    return own, identifier


def redshifts(catalogue: Catalogue, choice: ColumnNames, *, needed: bool) -> NDArray[np.float64] | None:
    """Return the redshifts alone, as they are, of a catalogue that may hold no masses.

    Returns:
        `(cluster,)`; None where none is chosen, no known one is there, and none is needed.

    Raises:
        DataError: The chosen column is missing, no number or no redshifts, or one is needed and there is none.
    """
    columns = catalogue.columns
    usual = choice.usual.redshift if choice.usual is not None else None
    paired = [redshift for mass, redshift in PAIRS if mass in columns or mass == choice.mass]
    known = [name for name in (usual, *paired, *(name for _, name in PAIRS)) if name in columns]
    if choice.redshift is None and known:
        name = str(known[0])
    else:
        _, name = mass_and_redshift(catalogue, choice, needs_redshift=needed, needs_mass=False)
    if not name:
        return None
    found = _numbers(catalogue, choice, "redshift", name)
    if (needed or choice.redshift) and (problems := _no_redshifts(catalogue, name, typed=True)):
        raise DataError(problems)
    return found


def masses(catalogue: Catalogue, choice: ColumnNames) -> NDArray[np.float64]:
    """Return log10 of the masses alone, of a catalogue that may hold no redshifts, and masses of some clusters only.

    Returns:
        log10 M500c in solar masses, `(cluster,)`; NaN where the catalogue has no positive mass.

    Raises:
        DataError: The column is missing, no number, or without any positive mass.
    """
    name, _ = mass_and_redshift(catalogue, choice, needs_redshift=False)
    mass = _numbers(catalogue, choice, "mass", name)
    unit = unit_of(catalogue, choice, name)
    log_mass = unit.log_mass(mass)
    known = np.isfinite(log_mass)
    if not known.any():
        rule = "must hold positive masses in solar masses, and has none"
        raise DataError([Problem(catalogue.where, name, listed(mass), rule, another("mass", typed=True))])
    if problems := _bad_masses(catalogue, name, unit, np.where(known, log_mass, LEAST_LOG)):
        raise DataError(problems)
    return np.where(known, log_mass, np.nan)


def _numbers(catalogue: Catalogue, choice: ColumnNames, option: str, name: str) -> NDArray[np.float64]:
    """Return one column, having made sure that it is there and holds numbers."""
    _require_present(catalogue, choice, {option: name}, typed=True)
    _require_numbers(catalogue, {option: name}, typed=True)
    return catalogue.columns[name].astype(np.float64)


def mass_and_redshift(
    catalogue: Catalogue, choice: ColumnNames, *, needs_redshift: bool = True, needs_mass: bool = True
) -> tuple[str, str]:
    """Settle on the names of mass and redshift; names that do not exist are found out by the caller.

    The redshift's is empty where none is needed, none is chosen and there is none.

    Raises:
        DataError: Several columns may be meant.
    """
    columns = catalogue.columns
    known = [p for p in PAIRS if p[0] in columns and p[1] in columns]
    half = [p for p in PAIRS if p[0] == choice.mass or p[1] == choice.redshift]
    mass, redshift = (half or known or [PAIRS[0]])[0]
    if choice.mass and not half and known:
        redshift = known[0][1]
    if choice.redshift and not half and known:
        mass = known[0][0]
    usual = choice.usual or ColumnNames()
    problems: list[Problem] = []
    if needs_mass:
        mass = _found(catalogue, "mass", choice.mass, usual.mass, mass, problems=problems)
    redshift = _found(catalogue, "redshift", choice.redshift, usual.redshift, redshift, problems=problems)
    if problems:
        raise DataError(problems)
    if not (needs_redshift or choice.redshift) and redshift not in columns:
        redshift = ""
    return mass, redshift


def _found(
    catalogue: Catalogue, option: str, chosen: str | None, usual: str | None, known: str, *, problems: list[Problem]
) -> str:
    """Find a column by the chosen name, the usual one, the known one, or an alias, whatever the case of its letters."""
    columns = catalogue.columns
    for name in (chosen,) if chosen else (usual, known):
        if name in columns:
            return str(name)
    wanted = {chosen.lower()} if chosen else ALIASES[option]
    candidates = [name for name in columns if name.lower() in wanted]
    if len(candidates) > 1:
        value, rule = ", ".join(candidates), f"each of them may be the {option}"
        problems.append(Problem(catalogue.where, "columns", value, rule, naming(option, typed=False)))
    return candidates[0] if candidates else chosen or known


def _is_redshift(redshift: NDArray[np.float64]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(redshift) & (redshift > 0) & (redshift <= LARGEST_REDSHIFT))


def _no_redshifts(catalogue: Catalogue, name: str, *, typed: bool = False) -> list[Problem]:
    """Tell of a column that holds another quantity, and which columns may hold redshifts; nothing where it is one.

    Numbers that stand for none (-99, 9999) are the same in all rows: a quantity has many values.
    """
    values = catalogue.columns[name].astype(np.float64)
    known = values[np.isfinite(values)]
    odd = known[~_is_redshift(known)]
    if odd.size <= len(values) / 2 or len(np.unique(odd)) <= _NAMED:
        return []
    low, high = np.quantile(known, [0.05, 0.95])
    rule = f"holds no redshifts, which are above 0 and at most {LARGEST_REDSHIFT:g}: nine in ten of its values lie "
    rule += f"between {low:.4g} and {high:.4g}"
    like = [other for other in catalogue.columns if REDSHIFT_LIKE.search(other) and _may_be_redshifts(catalogue, other)]
    seen = f"Columns that look like some: {', '.join(like[:_NAMED])}. " if like else "No column looks like some. "
    return [Problem(catalogue.where, name, "", rule, seen + another("redshift", typed=typed))]


def _may_be_redshifts(catalogue: Catalogue, name: str) -> bool:
    column = catalogue.columns[name]
    if column.dtype.kind != "f":
        return False
    known = column[np.isfinite(column)]
    return bool(known.size) and bool(_is_redshift(known).mean() > 0.5)


def _odd_redshifts(catalogue: Catalogue, name: str, odd: NDArray[np.bool_]) -> tuple[str, ...]:
    """Say which numbers are taken for no redshift: -99 is meant so, a velocity in km/s is not."""
    rows = np.flatnonzero(odd)
    if not rows.size:
        return ()
    rule = f"taken for no redshift, which is above 0 and at most {LARGEST_REDSHIFT:g}"
    return (f"{name} = {_shown(catalogue, name, rows)}: {rule}",)


def _bad_masses(catalogue: Catalogue, name: str, unit: MassUnit, log_mass: NDArray[np.float64]) -> list[Problem]:
    """Tell of rows without a mass, and of masses that no cluster has, with the likely cause where they are many."""
    known = np.isfinite(log_mass)
    problems = _bad_rows(catalogue, name, ~known, "must be a positive mass in solar masses")
    outside = known & ~is_mass(log_mass)
    if outside.sum() <= known.sum() / 2:
        rule = f"is {unit} and no mass of a cluster, which has {RANGE}"
        return problems + _bad_rows(catalogue, name, outside, rule)
    low, high = np.quantile(catalogue.columns[name][known].astype(np.float64), [0.05, 0.95])
    rule = (
        f"nine in ten of the masses lie between {low:.4g} and {high:.4g} {unit}, and a cluster of galaxies has {RANGE}"
    )
    remedy, ways = "Check the unit of the column. ", "{} is `mass_unit: {}` in a study, `--mass-unit '{}'` to a verb."
    if low > LEAST_LOG and high < LARGEST_LOG + 0.5:
        rule += ": they look like log10 of solar masses"
        remedy = ways.format("That", "dex(solMass)", "dex(solMass)")
    elif low > 0.001 and high < 1000:
        rule += ": they look like units of 1e14 solar masses"
        remedy = ways.format("That", "1e14 solMass", "1e14 solMass")
        if name.lower() not in ALIASES["mass"]:  # so do luminosities in 1e44 erg/s, and much else
            rule += f", if {name} holds masses at all"
            remedy = f"Check first that it does. If so, {remedy[0].lower()}{remedy[1:]}"
    else:
        remedy += ways.format("Another one", "UNIT", "UNIT")
    return [*problems, Problem(catalogue.where, name, "", rule, remedy)]


def _require_present(
    catalogue: Catalogue, choice: ColumnNames, wanted: Mapping[str, str], *, typed: bool = False
) -> None:
    """Refuse a catalogue without these columns, given as option and name; `typed` where no study can name them."""
    problems = [
        absent(
            catalogue.where, catalogue.columns, option, name, chosen=getattr(choice, option) is not None, typed=typed
        )
        for option, name in wanted.items()
        if name not in catalogue.columns
    ]
    if problems:
        raise DataError(problems)


def _require_numbers(catalogue: Catalogue, wanted: Mapping[str, str], *, typed: bool = False) -> None:
    problems = []
    for option, name in wanted.items():
        column = catalogue.columns[name]
        if column.dtype.kind not in "iuf":
            rule = f"holds text, and the {option} must be a number"
            problems.append(Problem(catalogue.where, name, str(column[:1]), rule, another(option, typed=typed)))
    if problems:
        raise DataError(problems)


def _bad_rows(
    catalogue: Catalogue, name: str, bad: NDArray[np.bool_], rule: str, remedy: str = _REMOVE
) -> list[Problem]:
    rows = np.flatnonzero(bad)
    if not rows.size:
        return []
    return [Problem(catalogue.where, name, _shown(catalogue, name, rows), rule, remedy)]


def _shown(catalogue: Catalogue, name: str, rows: NDArray[np.int64]) -> str:
    shown = ", ".join(f"{catalogue.columns[name][row]:g} in row {row}" for row in rows[:_NAMED])
    return shown + (f" and {rows.size - _NAMED} more" if rows.size > _NAMED else "")


def _short(value: float) -> str:
    return f"{value:.2g}".replace("e+", "e")


def listed(values: Array) -> str:
    """Return the first few values for a message."""
    shown = ", ".join(str(value) for value in values[:_NAMED])
    return shown + (", ..." if values.size > _NAMED else "")
