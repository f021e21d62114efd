"""One view of all formats: reading images and catalogue from any, checked; converting to FITS or npz.

Each format's own module is the only one that knows its bytes.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey import fitsfile, npzfile
from clustersweep.survey.catalogue import Catalogue, Choice, concerns, labels
from clustersweep.survey.checks import check_axes, check_digest, check_pixels, check_rows
from clustersweep.survey.dataset import Dataset, catalogue_digest, chunks, images_digest, joint_digest
from clustersweep.survey.files import CATALOGUE_FILE, IMAGES_FILE, kind_of, located, not_a_source, written_beside
from clustersweep.survey.fitsfile import ImagesHeader
from clustersweep.survey.stack import ImageStack

log = logging.getLogger(__name__)

Array = NDArray[Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Source:
    """A data set with the whole catalogue that it came with."""

    dataset: Dataset
    catalogue: Catalogue


def read_images_header(path: Path) -> ImagesHeader:
    """Read the shape, bands and digest of a FITS or npz file of images; no pixel.

    Raises:
        DataError: It is missing, damaged, or a pickle, which has to be converted once.
    """
    kind = kind_of(path)
    if kind == "fits":
        return fitsfile.read_images_header(path)
    if kind == "npz":
        return npzfile.read_images_header(path)
    raise not_a_source(path, kind)


def read_catalogue(path: Path) -> Catalogue:
    """Read a catalogue from FITS, npz or feather.

    Raises:
        DataError: It is missing, damaged or none of these.
    """
    kind = kind_of(path)
    if kind == "fits":
        return fitsfile.read_catalogue(path)
    if kind == "npz":
        return npzfile.read_catalogue(path)
    if kind == "feather":
        from clustersweep.survey import lab  # pyarrow

        return lab.read_feather(path)
    rule = "is a pickle, and a catalogue is FITS, npz or feather"
    raise DataError([Problem(str(path), "", "", rule, "Give the `.f` or `.fits` file that goes with the images.")])


def read_source(
    images: Path, catalogue: Path, choice: Choice, progress: Progress | None = None, *, edited: bool = False
) -> Source:
    """Read images and catalogue of any format and check them against each other.

    Args:
        images: FITS, npz or the lab's pickle.
        catalogue: FITS, feather, or the npz of the images.
        choice: Columns of mass, redshift and identifier where they are not the known ones.
        progress: Called with images read and their total.
        edited: Whether files may have been edited since they were written: their digests are not compared.

    Raises:
        DataError: What is wrong, with the rows concerned.
    """
    table = read_catalogue(catalogue)
    found = labels(table, choice)
    header, pixels = _read_images(images, len(table), progress)
    check_rows(images, header.identifiers, table)
    check_pixels(images, pixels)
    for concern in concerns(found):
        log.warning("%s: %s", catalogue, concern)
    digests = images_digest(pixels), catalogue_digest(table.columns)
    if not edited:
        check_digest(str(images), header.digest, digests[0])
        check_digest(str(catalogue), table.digest, digests[1])
    identifiers = found.identifier if found.identifier is not None else header.identifiers
    if identifiers is None:
        identifiers = np.arange(len(table))
    digest = joint_digest(*digests, found.columns)
    dataset = Dataset(pixels, found.log_mass, found.redshift, identifiers, header.bands_kev, digest)
    return Source(dataset, table)


def convert(
    images: Path,
    catalogue: Path | None,
    to: Path,
    *,
    choice: Choice | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Turn any source into FITS or npz, checked, once; give the data set that was written.

    A file that was edited since the tool wrote it (rows selected, a column added) is taken, and stamped anew.

    Args:
        images: FITS, npz, the lab's pickle, or a survey's folder.
        catalogue: FITS or feather; None where `images` is an npz or a folder that holds it.
        to: A file that ends in `.npz`, or a folder for `images.fits` and `catalogue.fits`.
        choice: Columns that the checks use; all columns with one number or text a row are kept.
        progress: Called with images read and their total.

    Raises:
        DataError: What is wrong with the source, or `to` is there already or cannot be written.
    """
    if to.suffix.lower() in (".fits", ".fit"):
        rule = "looks like one file, and images and catalogue become two FITS files in a folder"
        raise DataError([Problem(str(to), "", "", rule, f"Give a folder, e.g. {to.with_suffix('')}, or an .npz file.")])
    if to.exists() and (to.is_file() or any(to.iterdir())):
        raise DataError([Problem(str(to), "", "", "is there already", "Remove it, or write to another place.")])
    source = read_source(*located(images, catalogue), choice or Choice(), progress, edited=True)
    dataset = source.dataset
    with written_beside(to) as beside:
        if to.suffix == ".npz":
            npzfile.write(beside, dataset, source.catalogue)
        else:
            beside.mkdir()
            fitsfile.write_catalogue(beside / CATALOGUE_FILE, source.catalogue)
            fitsfile.write_images(beside / IMAGES_FILE, _to_write(dataset))
    return dataset


def _read_images(path: Path, rows: int, progress: Progress | None) -> tuple[ImagesHeader, Array]:
    kind = kind_of(path)
    if kind == "pickle":
        from clustersweep.survey import lab  # pyarrow

        content = lab.read_pickle(path, progress)
        check_axes(path, content.images.shape, rows)
        return ImagesHeader(content.images.shape, identifiers=content.identifiers), content.images
    header = read_images_header(path)
    check_axes(path, header.shape, rows, len(header.bands_kev))
    stack = ImageStack(header.shape[1:], header.shape[0])
    done = 0
    for piece in fitsfile.read_images(path) if kind == "fits" else npzfile.read_images(path):
        stack.add(piece)
        done += len(piece)
        if progress:
            progress(done, rows)
    return header, stack.finish()


def _to_write(dataset: Dataset) -> fitsfile.ImagesToWrite:
    images = dataset.images
    pieces = (images[part] for part in chunks(len(images), images[:1].nbytes * 8))
    notes: dict[str, tuple[str | int | float, str]] = {
        "ORIGIN": ("clustersweep convert", "converted from another format")
    }
    return fitsfile.ImagesToWrite(pieces, images.shape, images.dtype, dataset.bands_kev, dataset.identifiers, notes)
