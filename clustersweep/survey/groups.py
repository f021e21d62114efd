"""Whether rows show one halo, and a split by identifier can keep them together. Decides on columns in memory."""

import numpy as np

from clustersweep.errors import DataError, Problem
from clustersweep.survey.catalogue import Array, Catalogue, ColumnNames, Labels, identifiers, listed
from clustersweep.survey.names import IDENTIFIERS

_GALAXIES, _HEAVIEST = 3e12, 5e15  # solar masses: below no hot gas is imaged, above no cluster has been found
_NAMED = 5  # columns that a message names


def concerns(found: Labels) -> tuple[str, ...]:
    """List what is suspect about the labels but might be meant, each with its likely cause."""
    messages = [*found.notes, *_odd_masses(found)]
    if found.identifier is not None:
        values, counts = np.unique(found.identifier, return_counts=True)
        repeated = values[counts > 1]
        if repeated.size:
            messages.append(
                f"{repeated.size} of {values.size} identifiers are repeated ({listed(repeated)}): the same halo may "
                "stand on both sides of the split and flatter the result. `split: {by: identifier}` keeps each on "
                "one side."
            )
    return tuple(messages)


def _odd_masses(found: Labels) -> list[str]:
    """Return what hints at a wrong factor, of masses that single clusters may still have."""
    typical, high = (10**log_mass for log_mass in np.quantile(found.log_mass, [0.5, 0.95]).tolist())
    why = ""
    if typical < _GALAXIES:
        why = f"half of the masses are below {typical:.2g} solar masses, as those of single galaxies are"
    elif high > _HEAVIEST:
        why = (
            f"one in twenty of the masses is above {high:.2g} solar masses, and no cluster of {_HEAVIEST:.0e} is known"
        )
    return [f"{why.replace('e+', 'e')}: is the unit of the masses right?"] if why else []


def groups_concern(catalogue: Catalogue, choice: ColumnNames, of_images: Array | None) -> str:
    """Return what is suspect about a split by identifier; empty where it keeps some rows together.

    Args:
        catalogue: The clusters.
        choice: The columns that were chosen.
        of_images: The identifiers in the file of the images, `(cluster,)`; None where it has none.

    Raises:
        DataError: There is no identifier but the rows' numbers, by which every row would be a group of its own.
    """
    name, found = identifiers(catalogue, choice)
    if found is None and of_images is not None and not is_count(of_images):
        name, found = "the images' identifiers", of_images
    if found is None:
        raise DataError([_missing(catalogue)])
    if len(np.unique(found)) < len(found):
        return ""
    return (
        f"{name}: every identifier is unique, so `split: {{by: identifier}}` keeps nothing together. "
        "Where a halo has several rows, name the column that they share with `data.identifier`."
    )


def is_count(identifiers: Array) -> bool:
    """Say whether identifiers only count the rows, from 0 or from 1."""
    if identifiers.dtype.kind not in "iu":
        return False
    count = np.arange(len(identifiers))
    return bool(np.array_equal(identifiers, count) or np.array_equal(identifiers, count + 1))


def _missing(catalogue: Catalogue) -> Problem:
    columns = catalogue.columns
    repeated = [name for name, values in columns.items() if values.dtype.kind in "iuU" and _repeats(values)]
    example = repeated[0] if repeated else "COLUMN"
    seen = f" Values are repeated in: {', '.join(repeated[:_NAMED])}." if repeated else ""
    rule = (
        f"needs a column that names the haloes; no usual one ({', '.join(IDENTIFIERS)}) is in the catalogue, which "
        f"has: {', '.join(columns)}. By row, rows of one halo would train and test"
    )
    remedy = f"Name the column in the file: `data: {{identifier: {example}}}`, or write `split: {{by: cluster}}`.{seen}"
    return Problem(catalogue.where, "split.by", "identifier", rule, remedy)


def _repeats(values: Array) -> bool:
    return 1 < len(np.unique(values)) < len(values)
