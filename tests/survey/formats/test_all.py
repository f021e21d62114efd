"""Every format is read and converted without loss, and all that is wrong is told at once."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from survey_files import CLUSTERS, SHAPE, Files, make_columns, make_counts, refused, same, write_lab_files

from clustersweep.errors import DataError
from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.formats.all import convert, read_source
from clustersweep.survey.source import open_dataset
from clustersweep.survey.spec import DataSpec


@pytest.mark.parametrize("form", ["npz", "fits"])
def test_a_cube_of_one_band_needs_no_axis_of_bands(files: Files, form: str) -> None:
    files.images = files.images[..., 0]
    dataset = read_source(*files.write(form), ColumnNames()).dataset
    assert np.array_equal(dataset.images, files.images[..., np.newaxis])
    files.images = np.ascontiguousarray(np.moveaxis(files.images, 0, 2))
    refused(files.write(form), r"shape = \(6, 6, 12, 1\): must be .* it looks like \(height, width, cluster\)")


def test_everything_that_is_wrong_is_told_at_once(files: Files) -> None:
    files.columns["z"][3] = np.nan
    files.columns["M500c"][5] = -1
    files.images[7, 0, 0, 0] = np.nan
    message = refused(files.write("fits"), "nan in row 3")
    assert "M500c = -1 in row 5" in message
    assert "NaN pixels in cluster 7" in message


@pytest.mark.parametrize("drop_invalid", [False, True])
def test_convert_takes_a_survey_without_any_redshift_and_drops_only_what_has_no_mass_or_good_pixels(
    files: Files, caplog: pytest.LogCaptureFixture, *, drop_invalid: bool
) -> None:
    del files.columns["z"]
    if drop_invalid:
        files.images[7, 0, 0, 0] = np.nan
    dataset = convert(*files.write("fits"), files.folder / "survey", drop_invalid=drop_invalid)
    assert len(dataset) == CLUSTERS - drop_invalid
    assert np.isnan(dataset.redshift).all()
    assert "has no column of redshifts: only networks that take none can be trained on it" in caplog.text
    assert "--drop-invalid" not in caplog.text


@pytest.mark.parametrize("form", ["lab", "npz", "fits"])
def test_convert_drops_what_is_invalid_from_images_and_catalogue_and_says_which(
    files: Files, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    good = files.images.copy()
    files.columns["z"][[3, 4]] = np.nan
    files.columns["M500c"][5] = -1
    files.images[7, 0, 0, 0] = np.nan
    dataset = convert(*files.write(form), files.folder / "survey", drop_invalid=True)
    kept = [0, 1, 2, 6, 8, 9, 10, 11]
    assert np.array_equal(dataset.images, good[kept])
    assert dataset.images.dtype == np.uint8
    assert dataset.identifiers.tolist() == [100 + row for row in kept]
    assert "dropped 2 of 12 rows with no redshift in `z`: 3, 4" in caplog.text
    assert "dropped 1 of 12 rows with no possible mass in `M500c`: 5" in caplog.text
    assert "dropped 1 of 12 rows with NaN pixels: 7" in caplog.text
    folder = files.folder / "survey"
    assert (
        read_source(folder / "images.fits", folder / "catalogue.fits", ColumnNames()).dataset.digest == dataset.digest
    )


def test_convert_writes_standard_names_and_solar_masses(files: Files) -> None:
    true = files.columns.pop("M500c")
    files.columns["MASS_500"], files.columns["REDSHIFT"] = true / 1e14, files.columns.pop("z")
    dataset = convert(*files.write("fits"), files.folder / "survey", choice=ColumnNames(mass_unit="1e14 solMass"))
    table = Table.read(files.folder / "survey" / "catalogue.fits")
    assert table.colnames == ["SRC_ID_IN", "M500c", "z"]
    assert str(table["M500c"].unit) == "solMass"
    assert np.allclose(table["M500c"], true)
    folder = files.folder / "survey"
    again = read_source(folder / "images.fits", folder / "catalogue.fits", ColumnNames()).dataset
    assert again.digest == dataset.digest
    assert np.array_equal(again.log_mass, dataset.log_mass)


def test_convert_names_identifiers_that_it_finds_in_any_case_of_letters(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    """What an earlier version read as it stands keeps its digest: there, such a column names nothing."""
    files.columns["NAME"] = np.array([f"X {row // 2}" for row in range(CLUSTERS)])
    del files.columns["SRC_ID_IN"]
    assert read_source(*files.write("fits"), ColumnNames()).dataset.identifiers.tolist() == list(range(CLUSTERS))
    assert not caplog.records
    dataset = convert(*files.write("fits"), files.folder / "survey")
    assert Table.read(files.folder / "survey" / "catalogue.fits").colnames == ["M500c", "z", "identifier"]
    assert dataset.identifiers.tolist() == files.columns["NAME"].tolist()
    assert "6 of 6 identifiers are repeated" in caplog.text
    again = open_dataset(DataSpec(images=files.folder / "survey"), files.folder)
    assert (again.digest, again.identifiers.tolist()) == (dataset.digest, dataset.identifiers.tolist())


def test_good_data_give_no_warning(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    for form in ("lab", "npz", "fits"):
        read_source(*files.write(form), ColumnNames())
    assert not caplog.records


@pytest.mark.parametrize("name", ["i.fits", "c.fits", "survey/images.fits", "survey/catalogue.fits", "s.npz", "c.f"])
def test_damage_anywhere_never_raises_anything_but_a_data_error(files: Files, name: str) -> None:
    convert(*files.write("lab"), files.folder / "survey")
    np.savez_compressed(files.folder / "s.npz", images=files.images, **files.columns)
    files.write("fits")
    path = files.folder / name
    pairs = {"c.f": ("i.fits", "c.f"), "s.npz": ("s.npz", "s.npz"), "i.fits": ("i.fits", "c.f")}
    folder = path.parent
    images, catalogue = pairs.get(name, ("i.fits", "c.fits") if name == "c.fits" else ("images.fits", "catalogue.fits"))
    whole, rng = path.read_bytes(), np.random.default_rng(2)
    starts = [start for start in range(0, len(whole), 2880) if whole[start : start + 8] in (b"SIMPLE  ", b"XTENSION")]
    refusals = 0
    for _ in range(250):
        data = bytearray(whole)
        first = int(rng.choice(starts)) if starts else 0
        for place in rng.integers(first, min(len(data), first + 2880), 3):
            data[place] = rng.integers(32, 127)
        path.write_bytes(data)
        try:
            read_source(folder / images, folder / catalogue, ColumnNames())
        except DataError:
            refusals += 1
    assert refusals > 20


def test_convert_does_not_overwrite(files: Files) -> None:
    paths = files.write("lab")
    (files.folder / "s.npz").write_text("precious")
    (files.folder / "survey").mkdir()
    (files.folder / "survey" / "notes").write_text("precious")
    for to in (files.folder / "s.npz", files.folder / "survey"):
        with pytest.raises(DataError, match=r"is there already\. Remove it, or write to another place"):
            convert(*paths, to)
    assert (files.folder / "s.npz").read_text() == "precious"


def test_a_folder_that_would_look_like_one_fits_file_is_refused(files: Files) -> None:
    with pytest.raises(DataError, match=r"survey\.fits: looks like one file.*Give a folder, e\.g\. .*survey, or an"):
        convert(*files.write("lab"), files.folder / "survey.fits")
    assert not (files.folder / "survey.fits").exists()


def test_a_catalogue_that_is_a_pickle_is_refused(files: Files) -> None:
    images, _ = files.write("lab")
    refused((images, images), "is a pickle, and a catalogue is FITS, npz, feather or CSV")
    _, catalogue = files.write("lab")
    message = refused((catalogue, catalogue), "is a feather table; a sweep reads images from FITS or npz only")
    assert "convert" not in message  # which would not help


def test_the_labs_files_become_fits_and_npz_and_lose_nothing(tmp_path: Path) -> None:
    columns, images = make_columns(), make_counts()
    first = convert(*write_lab_files(tmp_path, images, columns), tmp_path / "survey")
    assert first.images.dtype == np.uint8
    assert np.array_equal(first.images, images)
    assert np.array_equal(first.log_mass, np.log10(columns["M500c"]))
    assert first.log_mass.dtype == np.float64
    assert np.array_equal(first.identifiers, columns["SRC_ID_IN"])

    folder = tmp_path / "survey"
    second = convert(folder / "images.fits", folder / "catalogue.fits", tmp_path / "survey.npz")
    third = convert(tmp_path / "survey.npz", None, tmp_path / "again")
    same(first, second)
    same(first, third)
    kept = Table.read(tmp_path / "again" / "catalogue.fits")
    assert kept.colnames == list(columns)
    assert np.array_equal(kept["Lx_soft"], columns["Lx_soft"])  # 1e43 overflows float32
    assert list(kept["Name"]) == columns["Name"].tolist()


def test_smoothed_images_are_kept_as_float32(tmp_path: Path) -> None:
    images = make_counts() / 3
    dataset = convert(*write_lab_files(tmp_path, images, make_columns()), tmp_path / "survey")
    assert dataset.images.dtype == np.float32
    assert not dataset.is_counts
    assert np.array_equal(dataset.images, images.astype(np.float32))
    folder = tmp_path / "survey"
    same(dataset, read_source(folder / "images.fits", folder / "catalogue.fits", ColumnNames()).dataset)
    same(dataset, convert(folder / "images.fits", folder / "catalogue.fits", tmp_path / "s.npz"))


@pytest.mark.parametrize(("highest", "stored"), [(200, "uint8"), (60_000, "uint16"), (3_000_000_000, "uint32")])
def test_counts_of_every_size_survive_fits_and_npz(tmp_path: Path, highest: int, stored: str) -> None:
    images = make_counts()
    images[3, 2, 1, 0] = highest
    dataset = convert(*write_lab_files(tmp_path, images, make_columns()), tmp_path / "survey")
    assert dataset.images.dtype == stored
    folder = tmp_path / "survey"
    back = read_source(folder / "images.fits", folder / "catalogue.fits", ColumnNames()).dataset
    same(dataset, back)
    assert back.images.max() == highest
    with fits.open(folder / "images.fits", uint=True) as hdus:  # as any other program reads it
        assert np.array_equal(hdus[0].data, images)
    same(back, convert(folder / "images.fits", folder / "catalogue.fits", tmp_path / "s.npz"))


def test_the_catalogue_may_be_fits_beside_the_pickle(tmp_path: Path) -> None:
    columns = make_columns()
    pickled, _ = write_lab_files(tmp_path, make_counts(), columns)
    Table(columns).write(tmp_path / "catalogue.fits")
    source = read_source(pickled, tmp_path / "catalogue.fits", ColumnNames())
    assert np.array_equal(source.dataset.log_mass, np.log10(columns["M500c"]))


def test_a_selection_made_with_astropy_and_a_column_more_are_stamped_anew_by_convert(tmp_path: Path) -> None:
    convert(*write_lab_files(tmp_path, make_counts(), make_columns()), tmp_path / "survey")
    images, catalogue = tmp_path / "survey" / "images.fits", tmp_path / "survey" / "catalogue.fits"
    table = Table.read(catalogue)
    chosen = table["z"] > 0.3
    table["mine"] = np.arange(len(table))
    table[chosen].write(catalogue, overwrite=True)
    with fits.open(images) as hdus:
        cut = fits.PrimaryHDU(hdus[0].data[chosen], hdus[0].header)
    cut.writeto(images, overwrite=True)
    with pytest.raises(
        DataError, match=r"was edited since it was written.*If you edited it, convert it to a new folder \("
    ):
        read_source(images, catalogue, ColumnNames())
    with pytest.raises(DataError, match=r"--to NEW`\) and name that folder in the study, or give it to the verb; else"):
        read_source(images, catalogue, ColumnNames())
    dataset = convert(tmp_path / "survey", None, tmp_path / "selected")
    assert np.array_equal(dataset.images, make_counts()[chosen])
    again = tmp_path / "selected"
    same(dataset, read_source(again / "images.fits", again / "catalogue.fits", ColumnNames()).dataset)


def test_a_filtered_npz_is_stamped_anew_by_convert(tmp_path: Path) -> None:
    convert(*write_lab_files(tmp_path, make_counts(), make_columns()), tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as whole:
        arrays = {name: array[2:9] if len(array) == SHAPE[0] else array for name, array in whole.items()}
    np.savez(tmp_path / "cut.npz", **arrays)
    dataset = convert(tmp_path / "cut.npz", None, tmp_path / "again.npz")
    assert len(dataset) == 7
    same(dataset, read_source(tmp_path / "again.npz", tmp_path / "again.npz", ColumnNames()).dataset)


def test_identifiers_from_2_to_the_63_stay_what_they_are(tmp_path: Path) -> None:
    columns = make_columns()
    columns["SRC_ID_IN"] = np.arange(SHAPE[0], dtype=np.uint64) + np.uint64(2**63)
    dataset = convert(*write_lab_files(tmp_path, make_counts(), columns), tmp_path / "survey")
    assert dataset.identifiers.tolist() == [2**63 + n for n in range(SHAPE[0])]
    folder = tmp_path / "survey"
    same(dataset, read_source(folder / "images.fits", folder / "catalogue.fits", ColumnNames()).dataset)
    same(dataset, convert(folder, None, tmp_path / "s.npz"))
