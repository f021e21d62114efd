"""An npz file that is damaged or holds something else says what it lacks."""

import io
import zipfile

import numpy as np
import pytest
from survey_files import Files, refused

from clustersweep.errors import DataError
from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.formats.all import read_source
from clustersweep.survey.source import read_header
from clustersweep.survey.spec import DataSpec


def test_columns_of_an_npz_that_differ_in_length_are_named(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.columns["z"] = files.columns["z"][:-1]
    refused(files.write("npz"), "i.npz: z = 11 entries: must have one entry a cluster; other columns have 12")
    files = Files(files.folder)
    files.columns = {"energy_kev": np.arange(4.0), **files.columns}  # what is no column does no harm
    source = read_source(*files.write("npz"), ColumnNames())
    assert list(source.catalogue.columns) == ["SRC_ID_IN", "M500c", "z"]
    assert "left out, since they do not have one entry a cluster: energy_kev" in caplog.text


def test_an_npz_that_holds_objects_or_no_images_is_refused(files: Files) -> None:
    path = files.folder / "o.npz"
    np.savez(path, images=np.array([{}, {}], dtype=object).reshape(2, 1, 1, 1), M500c=[1e14, 1e14], z=[0.1, 0.2])
    refused((path, path), "Python objects: must be a C-ordered array of numbers")
    np.savez(path, pictures=np.ones((2, 2, 2, 1)), M500c=[1e14, 1e14], z=[0.1, 0.2])
    refused((path, path), "images: must hold an array `images`; it has: pictures, M500c, z")
    np.savez(path, images=np.asfortranarray(np.ones((2, 3, 4, 5))), M500c=[1e14, 1e14], z=[0.1, 0.2])
    refused((path, path), "Fortran order: must be a C-ordered array of numbers")


@pytest.mark.parametrize(("code", "named"), [("c16", "complex128"), ("M8[D]", "datetime64"), ("U1", "<U1")])
def test_pixels_that_are_no_real_numbers_are_refused_before_a_launch(files: Files, code: str, named: str) -> None:
    files.images = np.zeros(files.images.shape, code)
    path, _ = files.write("npz")
    refused((path, path), f"i.npz: images = type {named}.*: must be a C-ordered array of numbers")
    with pytest.raises(DataError, match="must be a C-ordered array of numbers"):
        read_header(DataSpec(images=path))


def test_an_npz_whose_array_header_is_damaged_says_so(files: Files) -> None:
    path, _ = files.write("npz")
    with np.load(path) as content, zipfile.ZipFile(files.folder / "d.npz", "w") as archive:
        for name in content:
            array = io.BytesIO()
            np.save(array, content[name])
            # An open bracket: numpy's reader of headers stumbles over it in a way of its own.
            archive.writestr(f"{name}.npy", array.getvalue().replace(b"6, 3)", b"6, 3("))
    refused((files.folder / "d.npz",) * 2, r"d\.npz: cannot be read as npz .*Copy the file again")
