"""FITS: an image cube whose header names the bands, and the catalogue as a binary table with units.

The only module that opens FITS files. Writers write to the path they are given; who calls makes that atomic.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem, first_line
from clustersweep.survey.catalogue import Catalogue, native
from clustersweep.survey.dataset import ImagesDigest, catalogue_digest, chunks

Array = NDArray[Any]

_BLOCK = 2880
_AS_CSV = "Write one line of column names, then one line for each cluster, with commas between."
_STORED = {
    "uint8": (8, "u1", 0),
    "uint16": (16, ">i2", 2**15),
    "uint32": (32, ">i4", 2**31),
    "float32": (-32, ">f4", 0),
}
_AXES = ("ENERGY", "X", "Y", "CLUSTER")  # FITS counts its axes from the fastest


@dataclass(frozen=True)
class ImagesHeader:
    """What an image file says without its pixels being read.

    Attributes:
        shape: `(cluster, height, width, band)`.
        bands_kev: Edges of the bands, where known.
        identifiers: One for each image, where the file has them.
        digest: Digest of the images that the file claims.
    """

    shape: tuple[int, ...]
    bands_kev: tuple[tuple[float, float], ...] = ()
    identifiers: Array | None = None
    digest: str | None = None


@dataclass(frozen=True)
class ImagesToWrite:
    """Images that arrive in pieces, each `(cluster, height, width, band)`, and what goes with them."""

    pieces: Iterable[Array]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bands_kev: tuple[tuple[float, float], ...]
    identifiers: Array
    notes: Mapping[str, tuple[str | int | float, str]]


def write_images(path: Path, images: ImagesToWrite) -> str:
    """Write an image cube and give the digest of its content, which the header also has."""
    header = _images_header(images, "0" * 16)
    _, stored, zero = _STORED[images.dtype.name]
    digest = ImagesDigest(images.shape[1:], images.dtype)
    with path.open("wb") as file:
        file.write(header.tostring().encode("ascii"))
        size = 0
        for piece in images.pieces:
            same = piece.astype(images.dtype, copy=False)
            digest.add(same)
            raw = (same.astype(np.int64) - zero).astype(stored) if zero else same.astype(stored)
            file.write(raw.data if raw.flags.c_contiguous else raw.tobytes())
            size += raw.nbytes
        file.write(b"\0" * (-size % _BLOCK))
        file.seek(0)
        file.write(_images_header(images, digest.hexdigest()).tostring().encode("ascii"))
    table = fits.BinTableHDU.from_columns([_column("identifier", images.identifiers, "")], name="CLUSTERS")
    fits.append(str(path), table.data, table.header)
    return digest.hexdigest()


def write_catalogue(path: Path, catalogue: Catalogue) -> str:
    """Write a catalogue as a binary table and give the digest of its content, which the header also has."""
    names = list(catalogue.columns)
    units = catalogue.units
    hdu = fits.BinTableHDU.from_columns(
        [_column(name, catalogue.columns[name], units.get(name, "")) for name in names], name="CATALOGUE"
    )
    for number, name in enumerate(names, start=1):
        if name in catalogue.descriptions:
            hdu.header.set(f"TCOMM{number}", catalogue.descriptions[name], after=f"TFORM{number}")
    digest = catalogue_digest(catalogue.columns)
    hdu.header["CSDIGEST"] = (digest, "digest of the columns")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return digest


def read_images_header(path: Path) -> ImagesHeader:
    """Read what the header says, and check that the file is as long as it says."""
    with _opened(path) as hdus:
        hdu = _cube(path, hdus)
        header = hdu.header
        shape = (*hdu.shape, 1)[:4]  # without an axis of bands, there is one
        bands = tuple(
            (float(header[f"E_MIN{n:02d}"]), float(header[f"E_MAX{n:02d}"]))
            for n in range(1, shape[-1] + 1)
            if f"E_MIN{n:02d}" in header and f"E_MAX{n:02d}" in header
        )
        identifiers = None
        if "CLUSTERS" in hdus and "identifier" in hdus["CLUSTERS"].columns.names:
            _check_complete(path, hdus["CLUSTERS"])
            identifiers = native(np.asarray(hdus["CLUSTERS"].data["identifier"]))
        complete = bands if len(bands) == shape[-1] else ()
        return ImagesHeader(shape, complete, identifiers, header.get("CSDIGEST"))


def read_images(path: Path) -> Iterator[Array]:
    """Yield the images piece by piece, `(cluster, height, width, band)` in native byte order."""
    with _opened(path) as hdus:
        hdu = _cube(path, hdus)
        pixels = int(np.prod(hdu.shape[1:]))
        for rows in chunks(hdu.shape[0], pixels * 8):
            piece = hdu.section[rows]
            piece = piece.astype(piece.dtype.newbyteorder("="), copy=False)
            yield piece if piece.ndim == 4 else piece[..., np.newaxis]


def read_catalogue(path: Path) -> Catalogue:
    """Read the first binary table's columns that have one value a row."""
    with _opened(path) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if not tables:
            _check_blocks(path)
            rule = "holds no table"
            raise DataError([Problem(str(path), "", "", rule, "Give the catalogue's file, with a FITS binary table.")])
        hdu = tables[0]
        _check_complete(path, hdu)
        columns, units, descriptions = {}, {}, {}
        for number, column in enumerate(hdu.columns, start=1):
            values = np.asarray(hdu.data[column.name]) if hdu.data is not None else np.empty(0)
            if values.ndim != 1:
                continue
            columns[column.name] = native(values)
            units[column.name] = column.unit or ""
            descriptions[column.name] = hdu.header.get(f"TCOMM{number}", "")
        return Catalogue(str(path), columns, units, descriptions, hdu.header.get("CSDIGEST"))


def read_text(path: Path) -> Catalogue:
    """Read a catalogue from a CSV or ECSV file with names in its first line; what is empty becomes NaN.

    Raises:
        DataError: It is no such table.
    """
    form = "ascii.ecsv" if path.suffix.lower() == ".ecsv" else "ascii.csv"
    try:
        table = Table.read(path, format=form)
        columns, units = {}, {}
        for name in table.colnames:
            values = table[name]
            if isinstance(values, MaskedColumn):
                values = values.astype(np.float64).filled(np.nan) if values.dtype.kind in "iuf" else values.filled("")
            if np.ndim(values) == 1:
                columns[name] = native(np.asarray(values))
                units[name] = str(table[name].unit or "")
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        rule = f"cannot be read as {path.suffix[1:].upper()} ({first_line(error)})"
        raise DataError([Problem(str(path), "", "", rule, _AS_CSV)]) from error
    if len(columns) == 1 and (mark := next((mark for mark in ";\t|" if mark in next(iter(columns))), "")):
        rule = f"are separated by {mark!r}, and a {path.suffix[1:].upper()} file has commas"
        raise DataError([Problem(str(path), "columns", next(iter(columns)), rule, _AS_CSV)])
    return Catalogue(str(path), columns, units)


def _column(name: str, values: Array, unit: str) -> fits.Column:
    kind = values.dtype.kind
    width = max(1, values.dtype.itemsize // 4) if kind == "U" else 0
    form = {"i": "K", "u": "K", "f": "D", "b": "L", "U": f"{width}A"}[kind]
    array = np.char.encode(values, "utf-8") if kind == "U" else values
    if kind == "U":
        form = f"{max(1, array.dtype.itemsize)}A"
    zero = 2**63 if values.dtype == np.uint64 else None  # FITS has no other way to write unsigned numbers
    return fits.Column(name=name, format=form, array=array, unit=unit or None, bzero=zero)


def _images_header(images: ImagesToWrite, digest: str) -> fits.Header:
    bits, _, zero = _STORED[images.dtype.name]
    header = fits.Header()
    header["SIMPLE"] = (True, "FITS")
    header["BITPIX"] = bits
    header["NAXIS"] = 4
    for number, length in enumerate(reversed(images.shape), start=1):
        header[f"NAXIS{number}"] = length
    header["EXTEND"] = True
    if zero:
        header["BZERO"], header["BSCALE"] = zero, 1
    header["BUNIT"] = ("count" if images.dtype.kind == "u" else "", "unit of the pixels")
    for number, name in enumerate(_AXES, start=1):
        header[f"CTYPE{number}"] = name
    for number, (low, high) in enumerate(images.bands_kev, start=1):
        header[f"E_MIN{number:02d}"] = (low, f"keV, lower edge of band {number}")
        header[f"E_MAX{number:02d}"] = (high, f"keV, upper edge of band {number}")
    header["CSDIGEST"] = (digest, "digest of the images")
    for key, (value, comment) in images.notes.items():
        header[key] = (value, comment)
    return header


@contextmanager
def _opened(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file; what astropy cannot read becomes a DataError."""
    try:
        with warnings.catch_warnings():
            # astropy warns of a truncated file and goes on; `_check_complete` refuses it with a remedy.
            warnings.filterwarnings("ignore", category=AstropyUserWarning)
            # Opened here, since astropy leaves files open that it cannot make sense of.
            with path.open("rb") as file, fits.open(file, memmap=False) as hdus:
                yield hdus
    except (OSError, TypeError, KeyError, IndexError, ValueError, AttributeError, fits.VerifyError) as error:
        rule = f"cannot be read as FITS ({error})"
        raise DataError([Problem(str(path), "", "", rule, "Copy the file again from where it came.")]) from error


def _cube(path: Path, hdus: fits.HDUList) -> Any:
    """Find the images: the first extension with four axes, else with three, which has one band."""
    images = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) > 0]
    value = ", ".join(f"{hdu.name or 'HDU'} {tuple(hdu.shape)}" for hdu in images) or "no image"
    for axes in (4, 3):
        found = [hdu for hdu in images if len(hdu.shape) == axes]
        if axes == 3 and len([hdu for hdu in found if hdu.shape == found[0].shape]) > 1:
            rule = "must hold the images in one cube, with an axis for the bands: (cluster, height, width, band)"
            remedy = "Write fits.PrimaryHDU(numpy.stack([hdu.data for hdu in cubes], axis=3)); of one band, it alone."
            raise DataError([Problem(str(path), "images", value, rule, remedy)])
        for hdu in found[:1]:
            _check_complete(path, hdu)
            return hdu
    _check_blocks(path)
    rule = "must hold images with four axes, in numpy's order (cluster, height, width, band), or three for one band"
    raise DataError([Problem(str(path), "images", value, rule, "Write one cube of all clusters.")])


def _check_blocks(path: Path) -> None:
    """Refuse a file that ends inside a block; where that is in a header, astropy skips what follows."""
    size = path.stat().st_size
    if size % _BLOCK:
        rule = f"is truncated: FITS files consist of blocks of {_BLOCK} bytes"
        remedy = "Copy the file again from where it came."
        raise DataError([Problem(str(path), "size", f"{size:,} bytes", rule, remedy)])


def _check_complete(path: Path, hdu: Any) -> None:
    info = hdu.fileinfo()
    expected = info["datLoc"] + hdu.size
    found = path.stat().st_size
    if found < expected:
        rule = f"is truncated: its header promises {expected:,} bytes"
        remedy = "Copy the file again from where it came."
        raise DataError([Problem(str(path), "size", f"{found:,} bytes", rule, remedy)])


def recipe(path: Path) -> str | None:
    """Return the digest of the simulation that a file's header names, if any."""
    with _opened(path) as hdus:
        value = hdus[0].header.get("RECIPE")
        return None if value is None else str(value)
