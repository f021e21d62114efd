"""The lab's own files: the pickle of images and the feather catalogue. Reads them; nothing in them is run.

The pickle is a dict of two lists, `cluster` and `gsm_3dImgs`, the latter of arrays (height, width, band).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey.catalogue import Catalogue, native
from clustersweep.survey.checks import ORDER
from clustersweep.survey.formats import pickles
from clustersweep.survey.stack import ImageStack

Array = NDArray[Any]
Progress = Callable[[int, int], None]

CLUSTER, IMAGES = "cluster", "gsm_3dImgs"


@dataclass(frozen=True)
class LabImages:
    """`(cluster, height, width, band)`, and an identifier for each where the pickle has one."""

    images: Array
    identifiers: Array | None


@dataclass(frozen=True)
class _Stacked:
    """Stands for images that are on the stack already."""

    first: int
    count: int


class _Collector:
    """Puts each image onto a stack as the pickle is read, so that there is never a second copy of all."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._path, self._progress = path, progress
        self._shape: tuple[int, ...] | None = None
        self._capacity = 0
        self._count = 0
        self.stack: ImageStack | None = None

    def __call__(self, array: Array) -> Any:
        """Take in an image, or a whole cube; leave other arrays as they are."""
        if array.ndim not in (3, 4) or array.dtype.kind not in "biuf":
            return array
        cube = array if array.ndim == 4 else array[None]
        if self.stack is None:
            self._shape = cube.shape[1:]
            # As many as the file has room for: the memory is only used as far as it is filled.
            self._capacity = self._path.stat().st_size // max(1, cube[:1].nbytes) + 1
            self.stack = ImageStack(cube.shape[1:], self._capacity)
        if cube.shape[1:] != self._shape:
            value = f"image {self._count} is {cube.shape[1:]}, the first one {self._shape}"
            rule = "all images must have the same shape"
            raise DataError([Problem(str(self._path), IMAGES, value, rule, "Remove or remake the odd ones.")])
        self.stack.add(cube)
        first, self._count = self._count, self._count + len(cube)
        if self._progress:
            self._progress(self._count, self._capacity - 1)
        return _Stacked(first, len(cube))


def read_pickle(path: Path, progress: Progress | None = None) -> LabImages:
    """Read the lab's pickle of images.

    Raises:
        DataError: It is damaged, does not have the two lists, or would run code.
    """
    collector = _Collector(path, progress)
    content = pickles.load(path, collector)
    problems = []
    if not isinstance(content, dict):
        rule = f"must be a dict with the keys `{CLUSTER}` and `{IMAGES}`; it is a {type(content).__name__}"
        raise DataError([Problem(str(path), "", "", rule, "Give the pickle of images.")])
    for key in (CLUSTER, IMAGES):
        if key not in content:
            present = ", ".join(str(name) for name in content) or "none"
            rule = f"is missing; the keys are: {present}"
            problems.append(Problem(str(path), key, "", rule, f"Save a dict with `{CLUSTER}` and `{IMAGES}`."))
    if problems:
        raise DataError(problems)
    images = content[IMAGES]
    stacked = images if isinstance(images, list | tuple) else [images]
    whole = collector.stack
    ordered = all(isinstance(item, _Stacked) for item in stacked) and whole is not None
    if ordered:
        starts = [item.first for item in stacked]
        ordered = starts == list(np.cumsum([0] + [item.count for item in stacked])[:-1])
    if not ordered or whole is None:
        rule = f"must be a list of arrays (height, width, band), together {ORDER}"
        raise DataError([Problem(str(path), IMAGES, "", rule, "Save each image as one array, once.")])
    array = whole.finish()
    return LabImages(array[: sum(item.count for item in stacked)], _identifiers(path, content[CLUSTER], len(array)))


def read_feather(path: Path) -> Catalogue:
    """Read a feather table's columns that have one number or text a row.

    Raises:
        DataError: It is damaged or in the old format.
    """
    import pyarrow
    from pyarrow import feather

    columns = {}
    try:
        table = feather.read_table(path, memory_map=False)
        for name in table.column_names:
            values = table.column(name).combine_chunks()
            if pyarrow.types.is_dictionary(values.type):
                values = values.dictionary_decode()
            array = values.to_numpy(zero_copy_only=False)
            if array.dtype.kind in "biufUSO" and not pyarrow.types.is_nested(values.type):
                columns[str(name)] = native(array)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:  # of text too, which is decoded late
        rule = f"cannot be read as feather ({error})"
        raise DataError([Problem(str(path), "", "", rule, "Copy the file again from where it came.")]) from error
    return Catalogue(str(path), columns)


def _identifiers(path: Path, clusters: Any, images: int) -> Array | None:
    """Take the entries of `cluster` as identifiers where each is one number or text."""
    entries = list(clusters) if isinstance(clusters, list | tuple | np.ndarray) else []
    if len(entries) != images:
        rule = f"has {len(entries):,} entries, and there are {images:,} images"
        raise DataError([Problem(str(path), CLUSTER, "", rule, "Save both lists in the same order and length.")])
    flat = [entry.reshape(-1)[0] if isinstance(entry, np.ndarray) and entry.size == 1 else entry for entry in entries]
    if all(isinstance(entry, bytes) for entry in flat):
        flat = [entry.decode("latin-1") for entry in flat]
    if all(isinstance(entry, int | float | str | np.generic) for entry in flat):
        values = np.array(flat)
        return native(values) if values.dtype.kind in "iufUS" else None
    return None
