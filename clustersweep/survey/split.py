"""Which clusters train, validate and test. Indices only; knows nothing of images."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey.spec import SplitSpec


@dataclass(frozen=True)
class Split:
    """Rows of each part, `(cluster,)` int64; together every cluster once."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def make_split(clusters: int, spec: SplitSpec, groups: NDArray[Any] | None = None) -> Split:
    """Split as scikit-learn's `train_test_split` does it twice: the test part, then validation of the rest.

    Args:
        clusters: Number of rows.
        spec: Shares and seed; `by: identifier` keeps rows of one group on one side.
        groups: Identifier of each row, used only for `by: identifier`.

    Raises:
        DataError: A part would be empty.
    """
    rows = np.arange(clusters, dtype=np.int64)
    by_group = spec.by == "identifier"
    if by_group and groups is None:
        raise ValueError("a split by identifier needs the identifiers")

    def part(rest: NDArray[np.int64], share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if not by_group or groups is None:
            return _shuffled(rest, share, spec.seed)
        from sklearn.model_selection import GroupShuffleSplit  # takes a second to import

        shuffle = GroupShuffleSplit(n_splits=1, test_size=share, random_state=spec.seed)
        kept, taken = next(shuffle.split(rest, groups=groups[rest]))
        return rest[kept], rest[taken]

    try:
        rest, test = part(rows, spec.test)
        train, validation = part(rest, spec.validation)
    except ValueError as error:
        number = len(np.unique(groups)) if by_group and groups is not None else clusters
        what = "distinct identifiers" if by_group else "clusters"
        value = f"test {spec.test}, validation {spec.validation} of {number} {what}"
        rule = "must leave at least one in each of training, validation and test"
        raise DataError([Problem("split", "shares", value, rule, "Use more data or other shares.")]) from error
    return Split(train=train, validation=validation, test=test)


def _shuffled(rows: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what scikit-learn's `train_test_split` gives for a seed, without the second that importing it takes.

    Raises:
        ValueError: A part would be empty.
    """
    taken = math.ceil(share * len(rows))
    if not 0 < taken < len(rows):
        raise ValueError("a part would be empty")
    order = np.random.RandomState(seed).permutation(len(rows))
    return rows[order[taken:]], rows[order[:taken]]
