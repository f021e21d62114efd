"""What must hold between images and catalogue, each with the rows concerned. Reads no files."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey.catalogue import Catalogue, native
from clustersweep.survey.dataset import chunks
from clustersweep.survey.groups import is_count
from clustersweep.words import command

log = logging.getLogger(__name__)

Array = NDArray[Any]

ORDER = "(cluster, height, width, band)"
_NAMED = 5


def check_axes(path: Path, shape: tuple[int, ...], clusters: int | None = None, bands: int = 0) -> None:
    """Refuse images whose axes are not (cluster, height, width, band), naming the order they seem to have.

    Args:
        path: The file, for the message.
        shape: Of the images as stored.
        clusters: Rows of the catalogue, where known.
        bands: Bands that the file names, which tells the axis of the bands; 0 where it names none.

    Raises:
        DataError: The axes are in another order, or there are not as many images as rows.
    """
    remedy = f"Write it again with numpy.moveaxis so that the order is {ORDER}."
    if len(shape) != 4 or 0 in shape:
        rule = f"must have four axes {ORDER}, or three (cluster, height, width) for one band, none of them empty"
        raise DataError([Problem(str(path), "shape", str(shape), rule, "Write one cube of all clusters.")])
    seems = _seeming_order(shape, clusters)
    if seems and not (bands == shape[3] and clusters in (None, shape[0])):
        remedy += " If it is right, name the bands: E_MIN01, E_MAX01, ... in a FITS header, `bands_kev` in an npz."
        rule = f"must be {ORDER}; it looks like {seems}"
        raise DataError([Problem(str(path), "shape", str(shape), rule, remedy)])
    if clusters is not None and shape[0] != clusters:
        rule = f"holds {shape[0]:,} images, and the catalogue has {clusters:,} rows"
        raise DataError([Problem(str(path), "", "", rule, "Give the images and the catalogue that belong together.")])


def check_rows(path: Path, identifiers: Array | None, catalogue: Catalogue, column: str = "") -> str:
    """Refuse a catalogue whose rows are in another order than the images, where both have identifiers.

    Args:
        path: The file of the images, for messages.
        identifiers: Of the images, `(cluster,)`; None where they name no clusters.
        catalogue: The catalogue.
        column: That of its identifiers; empty where it has none.

    Returns:
        Whence the order is known, in words.

    Raises:
        DataError: The same identifiers stand in another order.
    """
    own = None if identifiers is None else _comparable(identifiers)
    if own is None or is_count(own):
        if own is not None and column and (row := _misplaced(own, _comparable(catalogue.columns[column]))) is not None:
            raise DataError([_other_order(catalogue, column, own, row)])
        return "trusted: the images name no clusters"
    shuffled = None
    for name, values in catalogue.columns.items():
        other = _comparable(values)
        if other.dtype.kind != own.dtype.kind:
            continue
        if np.array_equal(own, other):
            return f"that of the images' own identifiers ({name})"
        if shuffled is None and (row := _misplaced(own, other)) is not None:
            shuffled = name, row
    if shuffled is None:
        text = "%s: no column of %s has the images' identifiers, so the order of the rows cannot be checked"
        log.warning(text, path, catalogue.where)
        return "trusted: the catalogue has not the images' identifiers"
    raise DataError([_other_order(catalogue, shuffled[0], own, shuffled[1])])


def _misplaced(own: Array, other: Array) -> int | None:
    """Return the first row that differs where identifiers are the same ones in another order; else None."""
    if other.dtype.kind != own.dtype.kind or np.array_equal(own, other):
        return None
    return int(np.flatnonzero(own != other)[0]) if np.array_equal(np.sort(own), np.sort(other)) else None


def _other_order(catalogue: Catalogue, name: str, own: Array, row: int) -> Problem:
    other = catalogue.columns[name]
    rule = f"is in another order than the images: row {row} is {other[row]}, image {row} is {own[row]}"
    remedy = "Sort the catalogue in the order of the images"
    if is_count(own):
        remedy += ", or, if the identifiers in the images' file only count them, leave these out there"
    return Problem(catalogue.where, name, "", rule, f"{remedy}.")


def check_pixels(path: Path, images: Array) -> None:
    """Refuse pixels that are NaN, infinite or negative, naming the clusters.

    Raises:
        DataError: Every kind of bad pixel at once.
    """
    check = PixelCheck(path)
    check.add(images)
    check.finish()


class PixelCheck:
    """Looks for pixels that are NaN, infinite or negative in images that arrive piece by piece."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bad: dict[str, list[int]] = {"NaN": [], "infinite": [], "negative": []}
        self._count = 0

    def add(self, images: Array) -> bool:
        """Look at the next `(cluster, height, width, band)`; say whether all were good so far."""
        first, self._count = self._count, self._count + len(images)
        if images.dtype.kind != "u":
            for rows in chunks(len(images), images[:1].nbytes * 2):
                flat = images[rows].reshape(rows.stop - rows.start, -1)
                for name, found in (("NaN", np.isnan(flat)), ("infinite", np.isinf(flat)), ("negative", flat < 0)):
                    self._bad[name] += (first + rows.start + np.flatnonzero(found.any(axis=1))).tolist()
        return not any(self._bad.values())

    def finish(self) -> None:
        """Raise a DataError with every kind of bad pixel at once, if there was any."""
        problems = []
        for name, clusters in self._bad.items():
            if clusters:
                shown = ", ".join(str(cluster) for cluster in clusters[:_NAMED])
                more = f" and {len(clusters) - _NAMED} more" if len(clusters) > _NAMED else ""
                value = f"{name} pixels in cluster {shown}{more}"
                rule = "must be finite and not negative"
                remedy = "Correct these images, or remove them and their rows of the catalogue."
                problems.append(Problem(str(self._path), "images", value, rule, remedy))
        if problems:
            raise DataError(problems)

    @property
    def bad(self) -> dict[str, list[int]]:
        """Clusters with each kind of bad pixel, as far as images were added."""
        return {f"{name} pixels": clusters for name, clusters in self._bad.items() if clusters}


def check_digest(where: str, claimed: str | None, found: str) -> None:
    """Refuse content that is not what was written with the file's digest.

    Raises:
        DataError: The digests differ.
    """
    if claimed is not None and claimed != found:
        rule = (
            "was edited since it was written, or is damaged: its content is not what was written, and the header has "
        )
        rule += "another digest"
        again = command("convert", "IMAGES", "--catalogue", "CATALOGUE", "--to", "NEW")
        remedy = f"If you edited it, convert it to a new folder (`{again}`) and name that folder in the study, or give "
        remedy += "it to the verb; else copy the file again, or `simulate` it."
        raise DataError([Problem(where, "digest", found, f"{rule} ({claimed})", remedy)])


def _seeming_order(shape: tuple[int, ...], clusters: int | None) -> str:
    """Name the order that the axes seem to have; empty where they may well be as expected."""
    first, second, third, fourth = shape
    if first == clusters or clusters is None:
        if third == fourth != second:
            return "(cluster, band, height, width)"
        return "(cluster, height, band, width)" if second == fourth != third else ""
    if third == clusters and fourth == 1:
        return "(height, width, cluster)"
    if fourth == clusters:
        return "(height, width, band, cluster)" if first == second else "(band, height, width, cluster)"
    return "(band, cluster, height, width)" if second == clusters else ""


def _comparable(column: Array) -> Array:
    """Return whole numbers as int64, or uint64 where they are too large, and anything else as it is."""
    if column.dtype.kind == "f" and np.isfinite(column).all() and (column == np.floor(column)).all():
        return column.astype(np.int64)
    return native(column) if column.dtype.kind in "iu" else column
