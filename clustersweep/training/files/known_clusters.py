"""Which clusters a model was made with, known again by their images. Reads and writes no files; no TensorFlow."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clustersweep.survey.dataset import Array, Dataset
from clustersweep.survey.split import Split

PARTS = ("train", "validation", "test")
TAUGHT = ("train", "validation")
"""Parts that had a say in the model: the test part had none."""
NO_PART = -1

_HEADER = ["part", "row", "identifier", "fingerprint"]
_FINGERPRINT = re.compile("[0-9a-f]{16}")
_NONE = b""


@dataclass(frozen=True)
class KnownClusters:
    """The clusters of a training, by the fingerprint of their images.

    Identifiers would not do: two surveys number theirs alike, and rows are cut out and sorted. Images of one cluster
    that are seen again, in whatever file, order or number type, have the same fingerprint.

    Attributes:
        parts: Index in `PARTS` of each fingerprint. An image that stands in several parts counts for the first.
        names: Identifiers of each fingerprint in the training; several where clusters have one image.
    """

    parts: Mapping[bytes, int]
    names: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)

    def recognised(self, images: Array) -> tuple[NDArray[np.int8], list[tuple[str, ...]]]:
        """Return the part and the names of each image `(cluster, height, width, band)`, rebinned, in the training.

        Returns:
            The parts, `(cluster,)`, `NO_PART` where it was in none; and the names, empty there.
        """
        found = fingerprints(images)
        parts = np.array([self.parts.get(name, NO_PART) for name in found], np.int8)
        return parts, [self.names.get(name, ()) for name in found]


@dataclass(frozen=True)
class Misnamed:
    """Rows whose image is known from the training under the name of another row.

    Attributes:
        rows: How many.
        known: Of how many rows with a known image.
        first: The first of them.
        own: Its name in the catalogue.
        was: Its name in the training.
        sure: Whether the catalogue has the names of all known images. If not, it may count its clusters otherwise
            than the training's did, and some of its numbers are in both by chance.
    """

    rows: int
    known: int
    first: int
    own: str
    was: str
    sure: bool


def misnamed(known: Sequence[tuple[str, ...]], own: Sequence[str]) -> Misnamed | None:
    """Find the rows of a catalogue that stand beside the image of another of its rows; None where there are none.

    Args:
        known: Names of each row's image in the training, `(cluster,)`; empty where it was not in it.
        own: The catalogue's name of each row, `(cluster,)`.
    """
    there = set(own)
    recognised = [(row, names) for row, names in enumerate(known) if names]
    wrong = [(row, names) for row, names in recognised if own[row] not in names and there.intersection(names)]
    if not wrong:
        return None
    row, names = wrong[0]
    sure = all(there.intersection(names) for _, names in recognised)
    return Misnamed(len(wrong), len(recognised), row, own[row], names[0], sure)


def fingerprints(images: Array) -> list[bytes]:
    """Return 8 bytes that name each image `(cluster, height, width, band)`; none where all of its pixels are equal."""
    found = []
    for image in images:
        # Adding zero makes -0 to 0. Every count is exact in float32, or rounded alike.
        plain = np.ascontiguousarray(image, "<f4") + np.float32(0)
        blank = plain.min() == plain.max()  # many clusters could have that one
        found.append(_NONE if blank else hashlib.blake2b(plain.data, digest_size=8).digest())
    return found


def clusters_csv(dataset: Dataset, split: Split) -> bytes:
    """Write one row for each cluster of a training: its part, row, identifier and fingerprint."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_HEADER)
    for part in PARTS:
        for row in getattr(split, part):
            name = fingerprints(dataset.images[row : row + 1])[0].hex()
            table.writerow([part, row, dataset.identifiers[row], name])
    return text.getvalue().encode()


def known_clusters(rows: Iterable[str]) -> KnownClusters:
    """Read what `clusters_csv` wrote, line by line.

    Raises:
        ValueError: It is something else; the message says in which line.
    """
    table = csv.reader(rows)
    if next(table, None) != _HEADER:
        raise ValueError(f"line 1 must be {','.join(_HEADER)}")
    parts: dict[bytes, int] = {}
    names: dict[bytes, tuple[str, ...]] = {}
    for row in table:
        if len(row) != len(_HEADER) or row[0] not in PARTS or not (not row[3] or _FINGERPRINT.fullmatch(row[3])):
            raise ValueError(f"line {table.line_num} must have a part, a row, an identifier and a fingerprint")
        if row[3]:
            name, part = bytes.fromhex(row[3]), PARTS.index(row[0])
            parts[name] = min(part, parts.get(name, part))
            names[name] = (*names.get(name, ()), row[2])
    return KnownClusters(parts, names)
