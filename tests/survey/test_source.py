"""Opening a study's data: the header before any pixel, then the whole, of the same digest."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from survey_files import CLUSTERS, SHAPE, Files, make_columns, make_counts, write_lab_files

from clustersweep.errors import DataError
from clustersweep.survey.formats.all import convert
from clustersweep.survey.source import absent_file, open_dataset, read_header
from clustersweep.survey.spec import DataSpec, SimulateSpec


def test_an_edited_catalogue_is_noticed_before_any_pixel_is_read(files: Files) -> None:
    """A selection that keeps the header keeps the stamp, by which a plan would take it for the whole."""
    convert(*files.write("fits"), files.folder / "survey")
    images, catalogue = files.folder / "survey" / "images.fits", files.folder / "survey" / "catalogue.fits"
    with fits.open(images) as hdus:
        fits.PrimaryHDU(hdus[0].data[:7], hdus[0].header).writeto(files.folder / "near.fits")
    Table.read(catalogue)[:7].write(files.folder / "near-c.fits")
    with pytest.raises(DataError, match=r"near-c.fits: digest = .*: was edited since it was written"):
        read_header(DataSpec(images=files.folder / "near.fits", catalogue=files.folder / "near-c.fits"))


def test_images_of_a_study_may_be_a_folder(files: Files) -> None:
    dataset = convert(*files.write("lab"), files.folder / "survey")
    assert open_dataset(DataSpec(images=files.folder / "survey"), files.folder).digest == dataset.digest


def test_a_pickle_is_never_a_sweeps_source(files: Files) -> None:
    images, catalogue = files.write("lab")
    spec = DataSpec(images=images, catalogue=catalogue)
    for read in (read_header, lambda s: open_dataset(s, files.folder)):
        with pytest.raises(
            DataError, match=r"i\.pickle: is a pickle; a sweep reads images from FITS or npz only"
        ) as info:
            read(spec)
        assert f"Convert it once: clustersweep convert {images} --catalogue CATALOGUE --to survey" in str(info.value)


def test_fits_images_need_a_catalogue(files: Files) -> None:
    images, _ = files.write("fits")
    with pytest.raises(DataError, match="data: catalogue: is missing, and FITS images hold no masses"):
        read_header(DataSpec(images=images))


def test_the_header_alone_already_finds_what_is_wrong_outside_the_pixels(files: Files) -> None:
    files.columns["z"][0] = 99
    images, catalogue = files.write("fits")
    with pytest.raises(DataError, match="z = 99 in row 0"):
        read_header(DataSpec(images=images, catalogue=catalogue))
    files.columns["z"][0] = 0.5
    files.images[0, 0, 0, 0] = np.nan  # a pixel, which a header does not show
    images, catalogue = files.write("fits")
    assert read_header(DataSpec(images=images, catalogue=catalogue)).clusters == CLUSTERS
    with pytest.raises(DataError, match="divide the images' 6 x 6 pixels"):
        read_header(DataSpec(images=images, catalogue=catalogue, rebin=4))


@pytest.mark.parametrize("form", ["fits", "npz"])
def test_the_header_tells_shape_and_digest_without_the_pixels(tmp_path: Path, form: str) -> None:
    source = write_lab_files(tmp_path, make_counts(), make_columns())
    to = tmp_path / ("s.npz" if form == "npz" else "survey")
    dataset = convert(*source, to)
    images, catalogue = (to, None) if form == "npz" else (to / "images.fits", to / "catalogue.fits")
    spec = DataSpec(images=images, catalogue=catalogue, rebin=3)
    header = read_header(spec)
    assert (header.clusters, header.image_shape) == (SHAPE[0], (2, 2, 3))
    assert header.digest == dataset.digest == open_dataset(spec, tmp_path).digest
    files = str(images) if catalogue is None else f"{images}; {catalogue}"
    assert header.source == f"{files}: mass M500c in solMass, redshift z, identifier SRC_ID_IN"


def test_a_rename_does_not_change_the_digest(tmp_path: Path) -> None:
    dataset = convert(*write_lab_files(tmp_path, make_counts(), make_columns()), tmp_path / "survey")
    (tmp_path / "survey").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "images.fits").rename(tmp_path / "i.fits")
    moved = DataSpec(images=tmp_path / "i.fits", catalogue=tmp_path / "elsewhere" / "catalogue.fits")
    assert read_header(moved).digest == dataset.digest


def test_another_mass_from_the_same_catalogue_is_another_data_set(tmp_path: Path) -> None:
    columns = make_columns() | {"Mvir": np.full(SHAPE[0], 3e14), "halo": np.arange(SHAPE[0])}
    convert(*write_lab_files(tmp_path, make_counts(), columns), tmp_path / "survey")
    files = {"images": tmp_path / "survey" / "images.fits", "catalogue": tmp_path / "survey" / "catalogue.fits"}
    usual = read_header(DataSpec(**files)).digest
    assert usual == read_header(DataSpec(**files, mass="M500c", redshift="z", identifier="SRC_ID_IN")).digest
    others = [DataSpec(**files, mass="Mvir"), DataSpec(**files, identifier="halo")]
    for spec in others:
        assert read_header(spec).digest == open_dataset(spec, tmp_path).digest
    assert len({usual, *(read_header(spec).digest for spec in others)}) == 3


def test_the_first_file_that_is_not_there_is_told_before_anything_is_read(tmp_path: Path) -> None:
    images, catalogue = tmp_path / "images.fits", tmp_path / "catalogue.fits"
    assert absent_file(DataSpec(images=images, catalogue=catalogue)) == images
    images.write_bytes(b"")
    assert absent_file(DataSpec(images=images, catalogue=catalogue)) == catalogue
    assert absent_file(DataSpec(images=images)) is None
    assert absent_file(DataSpec(images=tmp_path)) == catalogue  # a survey's folder must have both
    catalogue.write_bytes(b"")
    assert absent_file(DataSpec(images=tmp_path)) is None
    assert absent_file(DataSpec(images=images / "below")) == images / "below"


def test_a_catalogue_that_may_not_be_looked_at_is_left_to_who_reads_it(closed: Path) -> None:
    images = closed.parent / "images.fits"
    images.write_bytes(b"")
    closed.chmod(0)
    assert absent_file(DataSpec(images=images, catalogue=closed / "catalogue.fits")) is None
    assert absent_file(DataSpec(images=closed / "images.fits", catalogue=closed / "catalogue.fits")) is None
    closed.chmod(0o700)
    assert absent_file(DataSpec(images=images, catalogue=closed / "catalogue.fits")) == closed / "catalogue.fits"


def test_a_simulated_survey_lacks_no_file() -> None:
    assert absent_file(DataSpec(simulate=SimulateSpec(clusters=10))) is None
