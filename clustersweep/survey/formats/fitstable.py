"""A FITS binary table whose rows arrive piece by piece, written without ever holding them all.

Knows nothing of what the columns mean; whole catalogues are in `fitsfile`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

Array = NDArray[Any]
Notes = Mapping[str, tuple[str | int | float, str]]

_BLOCK = 2880


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: TTYPE.
        dtype: Type of its values: int32, int64, float64, or bytes of one length.
        unit: TUNIT, as the FITS standard writes units; empty for none.
        description: TCOMM.
    """

    name: str
    dtype: np.dtype[Any]
    unit: str
    description: str


def write_table(
    path: Path,
    columns: Sequence[Column],
    rows: int,
    pieces: Iterable[Mapping[str, Array]],
    *,
    name: str,
    notes: Callable[[], Notes],
    comments: Sequence[str] = (),
) -> None:
    """Write a table of `rows` rows.

    Args:
        path: The file.
        columns: In their order.
        rows: Number of rows in all pieces together.
        pieces: Values of every column, by name, for some rows at a time.
        name: EXTNAME.
        notes: Keywords of the header with value and comment. Asked before the first piece, for the room they take,
            and after the last, when everything is known: keys and lengths of texts must be the same both times.
        comments: COMMENT cards.
    """
    dtype = np.dtype([(column.name, column.dtype.newbyteorder(">")) for column in columns])
    header = _header(columns, rows, dtype, name=name, notes=notes(), comments=comments)
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
        begin = file.tell()
        file.write(header)
        written = 0
        for piece in pieces:
            block = np.empty(len(piece[columns[0].name]), dtype)
            for column in columns:
                block[column.name] = piece[column.name]
            file.write(block.tobytes())
            written += len(block)
        file.write(b"\0" * (-(written * dtype.itemsize) % _BLOCK))
        final = _header(columns, rows, dtype, name=name, notes=notes(), comments=comments)
        if len(final) != len(header) or written != rows:
            raise ValueError(f"{written} of {rows} rows came, and the header went from {len(header)} to {len(final)}")
        file.seek(begin)
        file.write(final)


def _header(
    columns: Sequence[Column], rows: int, dtype: np.dtype[Any], *, name: str, notes: Notes, comments: Sequence[str]
) -> bytes:
    header = fits.Header()
    header["XTENSION"] = ("BINTABLE", "binary table extension")
    header["BITPIX"] = (8, "array data type")
    header["NAXIS"] = 2
    header["NAXIS1"] = (dtype.itemsize, "bytes of a row")
    header["NAXIS2"] = (rows, "rows")
    header["PCOUNT"], header["GCOUNT"] = 0, 1
    header["TFIELDS"] = (len(columns), "columns")
    for number, column in enumerate(columns, start=1):
        kind = column.dtype
        form = f"{kind.itemsize}A" if kind.kind == "S" else {"i4": "J", "i8": "K", "f8": "D"}[kind.str[1:]]
        header[f"TTYPE{number}"] = column.name
        header[f"TFORM{number}"] = form
        if column.unit:
            header[f"TUNIT{number}"] = column.unit
        header[f"TCOMM{number}"] = column.description
    header["EXTNAME"] = name
    for key, (value, comment) in notes.items():
        header[key] = (value, comment)
    for comment in comments:
        header.add_comment(comment)
    return bytes(header.tostring().encode("ascii"))
