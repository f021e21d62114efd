"""Images whose masses are to be predicted: read block by block from any source, checked as those of a training are.

No masses are needed, and a catalogue only for redshifts and identifiers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey.catalogue import ColumnNames, identifiers, redshifts
from clustersweep.survey.checks import PixelCheck, check_axes, check_digest, check_rows
from clustersweep.survey.dataset import ImagesDigest, add_up, catalogue_digest, chunks
from clustersweep.survey.formats import fits as fitsfile
from clustersweep.survey.formats import npz as npzfile
from clustersweep.survey.formats.all import read_catalogue, read_images_header
from clustersweep.survey.formats.files import kind_of, located_images, needs_catalogue
from clustersweep.survey.formats.fits import ImagesHeader
from clustersweep.survey.stack import ImageStack, smallest_type

Array = NDArray[Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Block:
    """Some clusters in a row.

    Attributes:
        images: `(cluster, height, width, band)` float32, rebinned.
        whole: Whether all pixels of an image were whole numbers, `(cluster,)`.
    """

    images: NDArray[np.float32]
    whole: NDArray[np.bool_]


@dataclass(frozen=True)
class Observations:
    """What is known of the clusters without their pixels, and the way to the pixels.

    Attributes:
        images: The file of the images.
        catalogue: That of the catalogue, where there is one.
        shape: `(cluster, height, width, band)` as stored.
        bands_kev: Lower and upper edge of each band; empty where the file does not say.
        identifiers: Of the catalogue, else of the images, else row numbers, `(cluster,)`.
        redshift: As the catalogue has it, even where it cannot be one, `(cluster,)`; None without a column.
        digest: Digest of the images that the file claims; `blocks` checks it.
        identifier: The catalogue's column of the identifiers; empty where they are not of the catalogue.
    """

    images: Path
    catalogue: Path | None
    shape: tuple[int, ...]
    bands_kev: tuple[tuple[float, float], ...]
    identifiers: Array
    redshift: NDArray[np.float64] | None
    digest: str | None
    _read: Callable[[], Iterator[Array]]
    identifier: str = ""

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, size: int, rebin: int) -> Iterator[Block]:
        """Yield all images in blocks of `size`, the last one smaller, however the file is cut up.

        Args:
            size: Clusters in a block.
            rebin: Squares of so many pixels are added up; must divide the images.

        Raises:
            DataError: The file is damaged, or has pixels that cannot be counts: all of them are named.
        """
        shape = self.shape[1] // rebin, self.shape[2] // rebin, self.shape[3]
        images, whole, filled = _empty(size, shape)
        for piece, integral in self._pieces(rebin):
            start = 0
            while start < len(piece):
                taken = min(size - filled, len(piece) - start)
                images[filled : filled + taken] = piece[start : start + taken]
                whole[filled : filled + taken] = integral[start : start + taken]
                start, filled = start + taken, filled + taken
                if filled == size:
                    yield Block(images, whole)
                    images, whole, filled = _empty(size, shape)
        if filled:
            yield Block(images[:filled], whole[:filled])

    def _pieces(self, rebin: int) -> Iterator[tuple[Array, NDArray[np.bool_]]]:
        """Yield rebinned images and whether they were whole numbers, as the file is cut up; check all at the end."""
        check = PixelCheck(self.images)
        digest: ImagesDigest | None = None
        for raw in self._read():
            if self.digest is not None:
                digest = digest or ImagesDigest(self.shape[1:], raw.dtype)
                digest.add(raw)
            stack = ImageStack(raw.shape[1:], len(raw))  # the type that a training would have
            stack.add(raw)
            images = stack.finish()
            if check.add(images):  # after a bad one the rest is only looked through, to name all of them
                yield add_up(images, rebin) if rebin > 1 else images, _integral(raw)
        check.finish()
        if self.digest is not None and digest is not None and digest.hexdigest() != self.digest:
            check_digest(str(self.images), self.digest, self._digest_of_smallest_type())

    def _digest_of_smallest_type(self) -> str:
        """Read once more: somebody may have stored the same numbers in a wider type than they need."""
        # In the order of `ImageStack`: float32 only where no unsigned type will do.
        smallest = max((smallest_type(raw) for raw in self._read()), key=lambda t: (t.kind == "f", t.itemsize))
        digest = ImagesDigest(self.shape[1:], smallest)
        for raw in self._read():
            digest.add(raw)
        return digest.hexdigest()


def open_observations(
    images: Path,
    catalogue: Path | None,
    choice: ColumnNames,
    *,
    needs_redshift: bool,
    progress: Progress | None = None,
) -> Observations:
    """Read everything but the pixels, and check it. Only the lab's pickle, which cannot be cut up, is read whole.

    Args:
        images: FITS, npz, the lab's pickle, or a survey's folder.
        catalogue: FITS, feather or npz; None where there is none or the source holds its own.
        choice: Columns of redshift and identifier where they are not the known ones.
        needs_redshift: Whether there must be a redshift.
        progress: Called with images read and their total, where they are read whole.

    Raises:
        DataError: What is wrong with the source.
    """
    file, table_file = located_images(images, catalogue)
    table = None if table_file is None else read_catalogue(table_file)
    if table is not None and not table.columns and table_file == file:
        table = None  # an npz of images alone
    if table is None:
        wanted = [name for name in ("redshift", "identifier") if getattr(choice, name)]
        if needs_redshift or wanted:
            why = "the network takes the redshift" if needs_redshift else f"--{wanted[0]} names a column of it"
            unless = " A model whose network has `redshift: none` needs no catalogue." if needs_redshift else ""
            raise needs_catalogue(file, why, unless)
    header, read = _images(file, progress)
    check_axes(file, header.shape, None if table is None else len(table), len(header.bands_kev))
    redshift, column, own = None, "", None
    if table is not None:
        if table.digest is not None:
            check_digest(table.where, table.digest, catalogue_digest(table.columns))
        redshift = redshifts(table, choice, needed=needs_redshift)
        column, own = identifiers(table, choice, any_case=True)
        check_rows(file, header.identifiers, table, column)
    names = own if own is not None else header.identifiers
    if names is None:
        names = np.arange(header.shape[0])
    if len(names) != header.shape[0]:
        rule = f"has identifiers for {len(names):,} images and holds {header.shape[0]:,}"
        raise DataError([Problem(str(file), "identifier", "", rule, "Copy the file again from where it came.")])
    path = None if table is None else table_file
    return Observations(file, path, header.shape, header.bands_kev, names, redshift, header.digest, read, column)


def _images(path: Path, progress: Progress | None) -> tuple[ImagesHeader, Callable[[], Iterator[Array]]]:
    kind = kind_of(path)
    if kind == "pickle":
        from clustersweep.survey.formats import lab  # pyarrow

        content = lab.read_pickle(path, progress)
        images = content.images
        each = images[:1].nbytes * 8
        pieces = lambda: (images[rows] for rows in chunks(len(images), each))  # noqa: E731  # as below
        return ImagesHeader(images.shape, identifiers=content.identifiers), pieces
    header = read_images_header(path)
    if kind == "fits":
        return header, lambda: fitsfile.read_images(path)
    return header, lambda: npzfile.read_images(path)


def _integral(images: Array) -> NDArray[np.bool_]:
    """Tell which images consist of whole numbers, `(cluster,)`."""
    if images.dtype.kind != "f":
        return np.ones(len(images), np.bool_)
    with np.errstate(invalid="ignore"):
        whole: NDArray[np.bool_] = (images == np.floor(images)).reshape(len(images), -1).all(axis=1)
    return whole


def _empty(size: int, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    return np.empty((size, *shape), np.float32), np.empty(size, np.bool_), 0
