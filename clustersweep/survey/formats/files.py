"""Files on disk: what kind one is, and what to say of one that cannot be written. No format beyond first bytes."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from clustersweep.errors import DataError, Problem
from clustersweep.files import whole
from clustersweep.words import command

IMAGES_FILE, CATALOGUE_FILE = "images.fits", "catalogue.fits"
"""Names inside a survey's folder."""

Kind = Literal["fits", "npz", "pickle", "feather", "csv"]

_NOT_FOR_WANT_OF_SPACE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
}  # fmt: skip

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"SIMPLE", "fits"),
    (b"PK\x03\x04", "npz"),
    (b"ARROW1", "feather"),
    (b"FEA1", "feather"),
    (b"\x80", "pickle"),
    (b"}", "pickle"),  # a dict in protocol 1
    (b"(", "pickle"),  # and in protocol 0
)


def kind_of(path: Path) -> Kind:
    """Tell the kind of a file from its first bytes, whatever its name.

    Raises:
        DataError: It is missing, empty, compressed or none of the kinds.
    """
    where = str(path)
    if not path.exists():
        raise DataError([Problem(where, "", "", "there is no such file", "Check the path.")])
    if path.is_dir():
        rule = "is a folder, and a file is expected"
        inside = path / "images.fits"
        raise DataError([Problem(where, "", "", rule, f"Give {inside}." if inside.exists() else "Give a file.")])
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        rule = f"cannot be read ({error.strerror})"
        raise DataError([Problem(where, "", "", rule, "Check its permissions.")]) from error
    if not start:
        raise DataError([Problem(where, "size", "0 bytes", "is empty", "Copy the file again from where it came.")])
    if start.startswith(b"\x1f\x8b"):
        rule = "is compressed with gzip, which cannot be read piece by piece"
        raise DataError([Problem(where, "", "", rule, f"Decompress it once: gunzip {path.name}")])
    for magic, kind in _MAGIC if path.suffix.lower() not in (".csv", ".ecsv") else ():
        if start.startswith(magic):
            return kind
    if path.suffix.lower() in (".csv", ".ecsv"):
        return "csv"
    rule = f"is not FITS, npz, feather or pickle; it begins with {start!r}"
    rule += ", nor CSV or ECSV, which are known by their names' ends"
    remedy = f"Write it as FITS: a catalogue becomes FITS by astropy's Table.read({where!r}, format=...).write("
    remedy += "'catalogue.fits'), images by fits.PrimaryHDU(images).writeto('images.fits')."
    raise DataError([Problem(where, "", "", rule, remedy)])


def not_a_source(path: Path, kind: Kind) -> DataError:
    """Say that a sweep does not read this kind of images, and how to convert it."""
    what = {"pickle": "a pickle", "feather": "a feather table", "csv": "a table of text"}.get(kind, kind)
    rule = f"is {what}; a sweep reads images from FITS or npz only"
    remedy = f"Convert it once: {command('convert', path, '--catalogue', 'CATALOGUE', '--to', 'survey')}"
    if kind in ("feather", "csv"):
        remedy = f"Give the images here; {what} can be their catalogue."
    return DataError([Problem(str(path), "", "", rule, remedy)])


def survey_name(images: Path) -> str:
    """Return what a person calls a survey: its folder's name, also where its images were named, else the file's."""
    path = images.resolve()
    folder = path if path.is_dir() else path.parent if path.name == IMAGES_FILE else None
    return (path.stem if folder is None else folder.name) or "survey"


def located(images: Path, catalogue: Path | None = None) -> tuple[Path, Path]:
    """Return the files of images and catalogue that a person means: a survey's folder, an npz, or two files.

    Raises:
        DataError: There is no catalogue for these images.
    """
    file, table = located_images(images, catalogue)
    if table is None and images.is_dir():
        table = images / CATALOGUE_FILE  # whoever reads it says that it is missing
    if table is None and images.name == IMAGES_FILE and images.with_name(CATALOGUE_FILE).exists():
        table = images.with_name(CATALOGUE_FILE)  # a survey's folder, of which somebody named the images
    if table is None:
        raise needs_catalogue(images, "only an npz file holds its own")
    return file, table


def located_images(images: Path, catalogue: Path | None = None) -> tuple[Path, Path | None]:
    """Do as `located`, where the images may come without a catalogue."""
    if images.is_dir():
        own = images / CATALOGUE_FILE
        return images / IMAGES_FILE, catalogue or (own if own.exists() else None)
    if catalogue is None and kind_of(images) == "npz":
        return images, images
    return images, catalogue


def needs_catalogue(images: Path, why: str, unless: str = "", *, in_study: bool = False) -> DataError:
    """Say that these images need a catalogue, how to name it (also in a study), and what would need none."""
    study = ", or `catalogue: FILE` in a study" if in_study else ""
    remedy = f"Name the catalogue's file too: --catalogue FILE{study}.{unless}"
    return DataError([Problem(str(images), "", "", f"needs a catalogue: {why}", remedy)])


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Return a path beside `path` for a file or folder, renamed to `path` if all went well, else removed.

    Raises:
        DataError: The disk is full or cannot be written.
    """
    # What a killed process of the same number has left goes: in a container all have the same.
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with whole(path, partial):
            yield partial
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> DataError:
    """Say that a file or folder cannot be written, and where the room is missing if that is why."""
    rule = f"cannot be written ({error.strerror or error}), and nothing is left under this name"
    if error.errno in _NOT_FOR_WANT_OF_SPACE:
        remedy = "Write to another folder, or make this one writable."
        return DataError([Problem(str(path), "", "", rule, remedy)])
    remedy = "Free space there, or write to another disk."
    with suppress(OSError):
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        free = shutil.disk_usage(parent).free
        remedy = f"{free / 2**20:,.0f} MiB are free in {parent}. {remedy}"
    return DataError([Problem(str(path), "", "", rule, remedy)])
