"""The data set in memory: images, labels, identifiers and the digest of their content.

Reads and writes no files; `source` opens a data set, `formats` knows the files.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey.stack import ImageStack

Array = NDArray[Any]
ImageShape = tuple[int, int, int]

CHUNK_BYTES = 2**25
"""Working memory of everything that goes through images piece by piece."""


@dataclass(frozen=True)
class Header:
    """What a source says about itself without its pixels being read.

    Attributes:
        clusters: Number of images.
        image_shape: `(height, width, band)` after rebinning.
        digest: Digest of the content; None where only reading the pixels would tell.
        source: The source in words.
    """

    clusters: int
    image_shape: ImageShape
    digest: str | None
    source: str

    @property
    def most_bytes(self) -> int:
        """At least as much memory as the images take: none are stored in more than float32."""
        return 4 * self.clusters * math.prod(self.image_shape)


@dataclass(frozen=True)
class Dataset:
    """A survey, ready to be split and trained on.

    Attributes:
        images: `(cluster, height, width, band)`; the smallest unsigned integer that holds the counts,
            float32 where the source is not counts.
        log_mass: log10 of M500c in solar masses, `(cluster,)` float64.
        redshift: `(cluster,)` float64; NaN where there is none and none is needed.
        identifiers: `(cluster,)`, integers or strings; repeated where one halo was observed twice.
        bands_kev: Lower and upper edge of each band; empty where the source does not say.
        digest: Names the content of the source. Rebinning does not change it: studies record `rebin` itself.
    """

    images: Array
    log_mass: NDArray[np.float64]
    redshift: NDArray[np.float64]
    identifiers: Array
    bands_kev: tuple[tuple[float, float], ...]
    digest: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> ImageShape:
        """`(height, width, band)`."""
        height, width, bands = self.images.shape[1:]
        return height, width, bands

    @property
    def is_counts(self) -> bool:
        """Whether the pixels are whole, non-negative numbers."""
        return self.images.dtype.kind == "u"

    def rebinned(self, factor: int) -> "Dataset":
        """Add up squares of `factor` x `factor` pixels; no count is lost.

        Raises:
            DataError: `factor` does not divide the height and the width.
        """
        if factor == 1:
            return self
        height, width, bands = rebinned_shape(self.image_shape, factor)
        stack = ImageStack((height, width, bands), len(self))
        for rows in chunks(len(self), self.images[:1].nbytes * 4):
            # The stack keeps the smallest type that holds the result.
            stack.add(add_up(self.images[rows], factor), counts=self.is_counts)
        return replace(self, images=stack.finish())


def rebinned_shape(shape: ImageShape, factor: int) -> ImageShape:
    """Return the shape after adding up squares of `factor` x `factor` pixels.

    Raises:
        DataError: `factor` does not divide the height and the width; dropping the rest would lose counts.
    """
    height, width, bands = shape
    if height % factor or width % factor:
        fit = [f for f in range(1, min(height, width) + 1) if height % f == 0 and width % f == 0]
        rule = f"must divide the images' {height} x {width} pixels, or counts would be lost"
        raise DataError([Problem("data", "rebin", str(factor), rule, f"Use one of {fit}.")])
    return height // factor, width // factor, bands


def add_up(images: Array, factor: int) -> Array:
    """Add up squares of `factor` x `factor` pixels of `(cluster, height, width, band)`, which `factor` must divide.

    In 64 bits, so that no sum overflows: whole numbers for unsigned images, else float64.
    """
    clusters, height, width, bands = images.shape
    wide = images.astype(np.uint64 if images.dtype.kind == "u" else np.float64)
    added: Array = wide.reshape(clusters, height // factor, factor, width // factor, factor, bands).sum(axis=(2, 4))
    return added


def chunks(clusters: int, bytes_each: int) -> Iterable[slice]:
    """Cut `clusters` into slices that fit into the working memory."""
    size = max(1, CHUNK_BYTES // max(1, bytes_each))
    for start in range(0, clusters, size):
        yield slice(start, min(start + size, clusters))


def images_digest(images: Array) -> str:
    """Digest images whatever file, byte order or integer type they came in: 16 hexadecimal digits."""
    digest = ImagesDigest(images.shape[1:], images.dtype)
    for rows in chunks(len(images), images[:1].nbytes):
        digest.add(images[rows])
    return digest.hexdigest()


class ImagesDigest:
    """The digest of images that arrive piece by piece, in the type that the whole needs."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._dtype = dtype.newbyteorder("<")
        self._hash = hashlib.sha256(f"images {shape} {self._dtype.name}\n".encode())

    def add(self, images: Array) -> None:
        """Take in `(cluster, height, width, band)`."""
        self._hash.update(np.ascontiguousarray(images, self._dtype).data)

    def hexdigest(self) -> str:
        """Return the digest of all that was added."""
        return self._hash.hexdigest()[:16]


def catalogue_digest(columns: Mapping[str, Array]) -> str:
    """Digest a catalogue whatever file, order or width of columns it came in: 16 hexadecimal digits."""
    digest = hashlib.sha256(b"catalogue\n")
    for name in sorted(columns):
        column = columns[name]
        digest.update(f"{name}\n".encode())
        if column.dtype.kind in "biu":
            digest.update(np.ascontiguousarray(column.astype("<i8")).data)
        elif column.dtype.kind == "f":
            digest.update(np.ascontiguousarray(column, "<f8").data)
        else:
            digest.update("\n".join(str(value).rstrip() for value in column).encode())
    return digest.hexdigest()[:16]


def joint_digest(images: str, catalogue: str, columns: tuple[str, ...]) -> str:
    """Digest a data set from the digests of its two halves, and what is taken from the catalogue (`Labels.decisive`).

    Another mass from the same catalogue is another data set: what was trained on one says nothing of the other.
    """
    return hashlib.sha256("\n".join((images, catalogue, *columns)).encode()).hexdigest()[:16]
