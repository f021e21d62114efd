"""npz: images, bands and the catalogue's columns in one file, read piece by piece.

The only module that opens npz files. Nothing in them is ever unpickled.
"""

import logging
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey.catalogue import Catalogue, native
from clustersweep.survey.dataset import Dataset, catalogue_digest, chunks, images_digest
from clustersweep.survey.formats.fits import ImagesHeader
from clustersweep.survey.names import PAIRS

log = logging.getLogger(__name__)

Array = NDArray[Any]

IMAGES, BANDS, DIGESTS, IDENTIFIERS = "images", "bands_kev", "digests", "image_identifiers"
"""Reserved names; every other one-dimensional array is a column of the catalogue."""


def write(path: Path, dataset: Dataset, catalogue: Catalogue) -> None:
    """Write images and catalogue into one npz file.

    Raises:
        DataError: A column has one of the reserved names.
    """
    taken = {IMAGES, BANDS, DIGESTS, IDENTIFIERS} & set(catalogue.columns)
    if taken:
        name = min(taken)
        raise DataError([Problem(catalogue.where, name, "", "is a reserved name in npz files", "Rename the column.")])
    digests = np.array([images_digest(dataset.images), catalogue_digest(catalogue.columns)])
    bands = np.array(dataset.bands_kev).reshape(-1, 2)
    reserved = {IMAGES: dataset.images, BANDS: bands, DIGESTS: digests, IDENTIFIERS: dataset.identifiers}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **reserved, **catalogue.columns)


def read_images_header(path: Path) -> ImagesHeader:
    """Read the shape, the bands and the digest; no pixel."""
    with _opened(path) as archive:
        with _member(path, archive, IMAGES) as file:
            shape, _ = _images_layout(path, file)
        if len(shape) == 3:
            shape = (*shape, 1)  # without an axis of bands, there is one
        bands = tuple((float(low), float(high)) for low, high in _small(archive, BANDS, np.empty((0, 2))))
        digests = _small(archive, DIGESTS, np.array([]))
        identifiers = _small(archive, IDENTIFIERS, None)
        digest = str(digests[0]) if len(digests) == 2 else None
        return ImagesHeader(shape, bands, None if identifiers is None else native(identifiers), digest)


def read_images(path: Path) -> Iterator[Array]:
    """Yield the images piece by piece, `(cluster, height, width, band)`."""
    with _opened(path) as archive, _member(path, archive, IMAGES) as file:
        shape, dtype = _images_layout(path, file)
        pixels = int(np.prod(shape[1:]))
        for rows in chunks(shape[0], pixels * 8):
            count = (rows.stop - rows.start) * pixels
            raw = file.read(count * dtype.itemsize)
            yield np.frombuffer(raw, dtype, count).reshape(-1, *(*shape, 1)[1:4])


def read_catalogue(path: Path) -> Catalogue:
    """Read every one-dimensional array but the reserved ones as a column."""
    with _opened(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        columns = {}
        for name in names:
            if name in {IMAGES, BANDS, DIGESTS, IDENTIFIERS}:
                continue
            values = _small(archive, name, None)
            if values is not None and values.ndim == 1:
                columns[name] = native(values)
        digests = _small(archive, DIGESTS, np.array([]))
        rows = _one_value_a_row(path, columns)
        return Catalogue(str(path), rows, digest=str(digests[1]) if len(digests) == 2 else None)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, tokenize.TokenError, OSError, EOFError, ValueError, RuntimeError) as error:
        # A RuntimeError is a password, or a compression that Python does not have.
        rule = f"cannot be read as npz ({error})"
        raise DataError([Problem(str(path), "", "", rule, "Copy the file again from where it came.")]) from error


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    if f"{name}.npy" not in archive.namelist():
        present = ", ".join(entry.removesuffix(".npy") for entry in archive.namelist()) or "nothing"
        rule = f"must hold an array `{name}`; it has: {present}"
        remedy = f"Save it again with numpy.savez(path, {name}=..., M500c=..., z=...)."
        raise DataError([Problem(str(path), name, "", rule, remedy)])
    return archive.open(f"{name}.npy")


def _one_value_a_row(path: Path, columns: dict[str, Array]) -> dict[str, Array]:
    """Leave out arrays of another length than most; refuse masses and redshifts among them."""
    lengths = [len(column) for column in columns.values()]
    rows = max(lengths, key=lengths.count, default=0)
    odd = {name: len(column) for name, column in columns.items() if len(column) != rows}
    problems = []
    for name in odd:
        if any(name in pair for pair in PAIRS):
            value, rule = f"{odd[name]:,} entries", f"must have one entry a cluster; other columns have {rows:,}"
            problems.append(Problem(str(path), name, value, rule, "Save all columns of one and the same table."))
    if problems:
        raise DataError(problems)
    if odd:
        log.warning("%s: left out, since they do not have one entry a cluster: %s", path, ", ".join(odd))
    return {name: column for name, column in columns.items() if name not in odd}


def _images_layout(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and type of the images; refuse what is no array of real numbers in C order."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if fortran or dtype.kind not in "biuf":
        rule = "must be a C-ordered array of numbers"
        value = "Fortran order" if fortran else "Python objects" if dtype.hasobject else f"type {dtype}"
        remedy = "Save it again with numpy.savez(path, images=numpy.ascontiguousarray(images))."
        raise DataError([Problem(str(path), IMAGES, value, rule, remedy)])
    return tuple(shape), np.dtype(dtype)


def _small(archive: zipfile.ZipFile, name: str, default: Any) -> Any:
    if f"{name}.npy" not in archive.namelist():
        return default
    with archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)
