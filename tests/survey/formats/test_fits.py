"""FITS: what is written is what other programs read, and theirs is read."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from survey_files import BANDS, SHAPE, Files, make_columns, make_counts, refused

from clustersweep.errors import DataError
from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.formats.all import read_source
from clustersweep.survey.source import open_dataset, read_header
from clustersweep.survey.spec import DataSpec


def test_one_cube_of_three_axes_for_each_band_is_not_taken_for_the_first_band(files: Files) -> None:
    images, catalogue = files.write("fits")
    bands = [fits.ImageHDU(files.images[..., band], name=f"BAND{band}") for band in range(3)]
    fits.HDUList([fits.PrimaryHDU(), *bands]).writeto(images, overwrite=True)
    message = refused((images, catalogue), r"images = BAND0 \(12, 6, 6\), BAND1 \(12, 6, 6\), BAND2")
    assert "must hold the images in one cube, with an axis for the bands: (cluster, height, width, band)" in message
    assert "numpy.stack" in message
    with pytest.raises(DataError, match="in one cube"):
        read_header(DataSpec(images=images, catalogue=catalogue))


def test_csv_and_ecsv_catalogues_are_read(files: Files) -> None:
    images, _ = files.write("fits")
    table = Table(files.columns)
    table.write(files.folder / "c.csv")
    assert np.allclose(read_source(images, files.folder / "c.csv", ColumnNames()).dataset.redshift, files.columns["z"])
    table["M500c"] /= 1e14
    table["M500c"].unit = "1e14 solMass"
    table.write(files.folder / "c.ecsv")
    dataset = read_source(images, files.folder / "c.ecsv", ColumnNames()).dataset
    assert np.allclose(dataset.log_mass, np.log10(files.columns["M500c"]))
    lines = (files.folder / "c.csv").read_text().splitlines()
    lines[2] = lines[2].rpartition(",")[0] + ","
    (files.folder / "c.csv").write_text("\n".join(lines))
    refused((images, files.folder / "c.csv"), "z = nan in row 1")


def test_other_peoples_fits_is_read(tmp_path: Path) -> None:
    images, columns = make_counts().astype(np.int16), make_columns()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(images)]).writeto(tmp_path / "theirs.fits")
    Table(columns).write(tmp_path / "catalogue.fits")
    spec = DataSpec(images=tmp_path / "theirs.fits", catalogue=tmp_path / "catalogue.fits", rebin=2)
    header = read_header(spec)
    assert header.clusters == SHAPE[0]
    assert header.image_shape == (3, 3, 3)
    assert header.digest is None  # only reading it would tell
    dataset = open_dataset(spec, tmp_path / "surveys")
    assert dataset.image_shape == header.image_shape
    assert dataset.images.sum() == images.sum()
    assert dataset.bands_kev == ()


def test_the_fits_header_names_bands_and_units(tmp_path: Path) -> None:
    from clustersweep.survey.catalogue import Catalogue
    from clustersweep.survey.formats import fits as fitsfile

    images = make_counts().astype(np.uint8)
    to_write = fitsfile.ImagesToWrite([images[:5], images[5:]], SHAPE, images.dtype, BANDS, np.arange(12), {})
    fitsfile.write_images(tmp_path / "i.fits", to_write)
    with fits.open(tmp_path / "i.fits") as hdus:
        hdus.verify("exception")
        header = hdus[0].header
        assert (header["E_MIN02"], header["E_MAX02"]) == BANDS[1]
        assert [header[f"CTYPE{n}"] for n in (1, 2, 3, 4)] == ["ENERGY", "X", "Y", "CLUSTER"]
        assert header["BUNIT"] == "count"
        assert np.array_equal(hdus[0].data, images)
    assert fitsfile.read_images_header(tmp_path / "i.fits").bands_kev == BANDS

    table = Catalogue("here", make_columns(), {"M500c": "solMass"}, {"M500c": "true mass"})
    fitsfile.write_catalogue(tmp_path / "c.fits", table)
    read = Table.read(tmp_path / "c.fits")
    assert str(read["M500c"].unit) == "solMass"
    assert fits.getheader(tmp_path / "c.fits", 1)["TCOMM2"] == "true mass"
    assert fitsfile.read_catalogue(tmp_path / "c.fits").descriptions["M500c"] == "true mass"
