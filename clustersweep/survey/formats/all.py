"""One view of all formats: reading images and catalogue from any, checked; converting to FITS or npz.

Each format's own module is the only one that knows its bytes.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey.catalogue import Catalogue, ColumnNames, Labels, identifiers, invalid_rows, labels
from clustersweep.survey.checks import PixelCheck, check_axes, check_digest, check_pixels, check_rows
from clustersweep.survey.dataset import Dataset, catalogue_digest, chunks, images_digest, joint_digest
from clustersweep.survey.formats import fits as fitsfile
from clustersweep.survey.formats import npz as npzfile
from clustersweep.survey.formats.files import (
    CATALOGUE_FILE,
    IMAGES_FILE,
    kind_of,
    located,
    needs_catalogue,
    not_a_source,
    written_beside,
)
from clustersweep.survey.formats.fits import ImagesHeader
from clustersweep.survey.groups import concerns
from clustersweep.survey.stack import ImageStack
from clustersweep.survey.standard import standard

log = logging.getLogger(__name__)

Array = NDArray[Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Source:
    """A data set with the whole catalogue that it came with, and whence the order of its rows is known, in words."""

    dataset: Dataset
    catalogue: Catalogue
    labels: Labels
    order: str


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
    """Read a catalogue from FITS, npz, feather, CSV or ECSV.

    Raises:
        DataError: It is missing, damaged or none of these.
    """
    kind = kind_of(path)
    if kind == "fits":
        return fitsfile.read_catalogue(path)
    if kind == "npz":
        return npzfile.read_catalogue(path)
    if kind == "csv":
        return fitsfile.read_text(path)
    if kind == "feather":
        from clustersweep.survey.formats import lab  # pyarrow

        return lab.read_feather(path)
    rule = "is a pickle, and a catalogue is FITS, npz, feather or CSV"
    raise DataError([Problem(str(path), "", "", rule, "Give the `.f` or `.fits` file that goes with the images.")])


def catalogue_of(images: Path, catalogue: Path) -> Catalogue:
    """Read the catalogue of images, which may lie in their own npz.

    Raises:
        DataError: As `read_catalogue`; or it is to be in the images' file, and nothing of it is.
    """
    table = read_catalogue(catalogue)
    if catalogue == images and not table.columns:
        raise needs_catalogue(images, "it holds images alone, and no column of masses", in_study=True)
    return table


def read_source(
    images: Path,
    catalogue: Path,
    choice: ColumnNames,
    progress: Progress | None = None,
    *,
    edited: bool = False,
    needs_redshift: bool = True,
    drop_invalid: bool = False,
    warn: bool = True,
) -> Source:
    """Read images and catalogue of any format and check them against each other.

    Args:
        images: FITS, npz or the lab's pickle.
        catalogue: FITS, feather, CSV, or the npz of the images.
        choice: Columns of mass, redshift and identifier where they are not the known ones.
        progress: Called with images read and their total.
        edited: Whether files may have been edited since they were written: their digests are not compared.
        needs_redshift: Whether every cluster must have a redshift.
        drop_invalid: Leave out clusters without a mass, a redshift (where there are any) or good pixels, and say so.
        warn: Whether to warn of what is suspect.

    Raises:
        DataError: Everything that is wrong, with the rows concerned.
    """
    table = catalogue_of(images, catalogue)
    problems: list[Problem] = []
    found: Labels | None = None
    order = ""
    with _collected(problems):
        found = labels(table, choice, needs_redshift=needs_redshift and not drop_invalid)
    if drop_invalid:
        problems.clear()
    with _collected(problems):
        header, pixels = _read_images(images, len(table), progress)
        order = check_rows(images, header.identifiers, table, identifiers(table, choice, any_case=True)[0])
        if not drop_invalid:
            check_pixels(images, pixels)
    if problems:
        raise DataError(problems)
    if drop_invalid:
        for note in found.notes if found is not None else ():
            log.warning("%s: %s", catalogue, note)
        table, header, pixels = _without_invalid(images, table, header, pixels, choice)
    if drop_invalid or found is None:
        found = labels(table, choice, needs_redshift=needs_redshift)
    for concern in concerns(found) if warn else ():
        log.warning("%s: %s", catalogue, concern)
    digests = images_digest(pixels), catalogue_digest(table.columns)
    if not edited:
        check_digest(str(images), header.digest, digests[0])
        check_digest(str(catalogue), table.digest, digests[1])
    named = found.identifier if found.identifier is not None else header.identifiers
    if named is None:
        named = np.arange(len(table))
    digest = joint_digest(*digests, found.decisive)
    dataset = Dataset(pixels, found.log_mass, found.redshift, named, header.bands_kev, digest)
    return Source(dataset, table, found, order)


@contextmanager
def _collected(problems: list[Problem]) -> Iterator[None]:
    """Keep what is wrong, to be told with what else is."""
    try:
        yield
    except DataError as error:
        problems += error.problems


def _without_invalid(
    path: Path, table: Catalogue, header: ImagesHeader, pixels: Array, choice: ColumnNames
) -> tuple[Catalogue, ImagesHeader, Array]:
    """Leave out clusters without mass, redshift or good pixels, in images and catalogue alike, and say which and why.

    Raises:
        DataError: None would be left.
    """
    check = PixelCheck(path)
    check.add(pixels)
    in_table = invalid_rows(table, choice)
    bad = in_table | {reason: np.isin(np.arange(len(table)), rows) for reason, rows in check.bad.items()}
    dropped = np.any(list(bad.values()), axis=0)
    for reason, rows in bad.items():
        if rows.any():
            numbers = np.flatnonzero(rows)
            shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
            where = table.where if reason in in_table else path
            log.warning("%s: dropped %s of %s rows with %s: %s", where, len(numbers), len(table), reason, shown)
    if dropped.all():
        rule = "has no cluster with a mass, a redshift and good pixels"
        remedy = "Correct the columns or the images, or name other columns."
        raise DataError([Problem(table.where, "", "", rule, remedy)])
    if not dropped.any():
        return table, header, pixels
    keep = np.flatnonzero(~dropped)
    stack = ImageStack(pixels.shape[1:], len(keep))
    for part in chunks(len(keep), pixels[:1].nbytes * 2):
        stack.add(pixels[keep[part]])
    columns = {name: column[keep] for name, column in table.columns.items()}
    own = None if header.identifiers is None else header.identifiers[keep]
    return replace(table, columns=columns), replace(header, identifiers=own), stack.finish()


def convert(
    images: Path,
    catalogue: Path | None,
    to: Path,
    *,
    choice: ColumnNames | None = None,
    progress: Progress | None = None,
    drop_invalid: bool = False,
    taken: Callable[[Labels, str], None] | None = None,
) -> Dataset:
    """Turn any source into FITS or npz, checked, once; give the data set that was written.

    A file that was edited since the tool wrote it (rows selected, a column added) is taken, and stamped anew.

    Args:
        images: FITS, npz, the lab's pickle, or a survey's folder.
        catalogue: FITS or feather; None where `images` is an npz or a folder that holds it.
        to: A file that ends in `.npz`, or a folder for `images.fits` and `catalogue.fits`.
        choice: Columns that the checks use; all columns with one number or text a row are kept.
        progress: Called with images read and their total.
        drop_invalid: Leave out clusters that cannot be used, and say which and why.
        taken: Called, when all is written, with what was taken from the catalogue, and whence the order is known.

    Raises:
        DataError: What is wrong with the source, or `to` is there already or cannot be written.
    """
    if to.suffix.lower() in (".fits", ".fit"):
        rule = "looks like one file, and images and catalogue become two FITS files in a folder"
        raise DataError([Problem(str(to), "", "", rule, f"Give a folder, e.g. {to.with_suffix('')}, or an .npz file.")])
    if to.exists() and (to.is_file() or any(to.iterdir())):
        raise DataError([Problem(str(to), "", "", "is there already", "Remove it, or write to another place.")])
    choice = choice or ColumnNames()
    source = read_source(
        *located(images, catalogue), choice, progress,
        edited=True, needs_redshift=False, drop_invalid=drop_invalid, warn=False,
    )  # fmt: skip
    table = standard(source.catalogue, choice)
    found = labels(table, ColumnNames(), needs_redshift=False)
    for concern in (*source.labels.notes, *concerns(replace(found, notes=()))):
        log.warning("%s: %s", table.where, concern)
    missing = int(np.isnan(found.redshift).sum())
    if not found.columns[1]:
        log.warning("%s: has no column of redshifts: only networks that take none can be trained on it", table.where)
    elif missing:
        text = "%s: %s of %s clusters have no redshift: only networks that take none can be trained on them. "
        log.warning(text + "--drop-invalid leaves them out", table.where, missing, len(table))
    digest = joint_digest(images_digest(source.dataset.images), catalogue_digest(table.columns), found.decisive)
    named = source.dataset.identifiers if found.identifier is None else found.identifier
    dataset = replace(source.dataset, log_mass=found.log_mass, identifiers=named, digest=digest)
    with written_beside(to) as beside:
        if to.suffix == ".npz":
            npzfile.write(beside, dataset, table)
        else:
            beside.mkdir()
            fitsfile.write_catalogue(beside / CATALOGUE_FILE, table)
            fitsfile.write_images(beside / IMAGES_FILE, _to_write(dataset))
    if taken:
        own, _ = identifiers(source.catalogue, choice, any_case=True)
        taken(replace(source.labels, columns=(*source.labels.columns[:2], own)), source.order)
    return dataset


def _read_images(path: Path, rows: int, progress: Progress | None) -> tuple[ImagesHeader, Array]:
    kind = kind_of(path)
    if kind == "pickle":
        from clustersweep.survey.formats import lab  # pyarrow

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
