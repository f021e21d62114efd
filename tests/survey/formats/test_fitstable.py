"""A FITS table that is written piece by piece."""

import numpy as np
import pytest
from astropy.io import fits

from clustersweep.survey.formats import fitstable


def write_small_table(path, lengths, notes):
    own = [
        fitstable.Column("n", np.dtype(np.int64), "ct", "a number"),
        fitstable.Column("t", np.dtype("S3"), "", "text"),
    ]
    pieces = ({"n": np.arange(k), "t": np.array([b"a", b"bcd", b""])[np.arange(k) % 3]} for k in lengths)
    fitstable.write_table(path, own, 5, pieces, name="WORDS", notes=notes, comments=["a comment"])


def test_a_table_in_pieces_is_a_valid_fits_file_with_what_is_known_at_the_end(tmp_path):
    values = iter([1, 2])
    write_small_table(
        tmp_path / "t.fits", [3, 2], lambda: {"TOTAL": (next(values), "known last"), "LONG": ("x" * 200, "")}
    )
    with fits.open(tmp_path / "t.fits") as hdus:
        hdus.verify("exception")
        assert hdus[1].name == "WORDS"
        assert hdus[1].header["TOTAL"] == 2
        assert hdus[1].header["LONG"] == "x" * 200
        assert hdus[1].header["TCOMM1"] == "a number"
        assert hdus[1].data["n"].tolist() == [0, 1, 2, 0, 1]
        assert hdus[1].data["t"].tolist() == ["a", "bcd", "", "a", "bcd"]
    assert (tmp_path / "t.fits").stat().st_size % 2880 == 0


def test_a_table_of_another_length_than_promised_is_a_bug(tmp_path):
    with pytest.raises(ValueError, match="4 of 5 rows came"):
        write_small_table(tmp_path / "t.fits", [3, 1], dict)
