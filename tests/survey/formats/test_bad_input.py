"""Bad input: every message names the file, what is wrong and what to do about it."""

import gzip
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.table import Table
from pyarrow import feather

from clustersweep.errors import DataError
from clustersweep.survey.catalogue import ColumnNames, masses
from clustersweep.survey.formats.all import convert, read_catalogue, read_source
from clustersweep.survey.source import open_dataset, read_header
from clustersweep.survey.spec import DataSpec

CLUSTERS = 12


class Files:
    """A good data set in every format; tests damage one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(6)
        self.images = rng.poisson(3.0, (CLUSTERS, 6, 6, 3)).astype(np.float64)
        self.columns = {
            "SRC_ID_IN": np.arange(CLUSTERS) + 100,
            "M500c": 10 ** rng.uniform(13.0, 15.0, CLUSTERS),
            "z": rng.uniform(0.05, 0.9, CLUSTERS),
        }

    def write(self, form: str) -> tuple[Path, Path]:
        """Write the data set and give the paths of images and catalogue."""
        if form == "lab":
            content = {"cluster": self.columns["SRC_ID_IN"].tolist(), "gsm_3dImgs": list(self.images)}
            (self.folder / "i.pickle").write_bytes(pickle.dumps(content))
            feather.write_feather(pa.table(self.columns), self.folder / "c.f")
            return self.folder / "i.pickle", self.folder / "c.f"
        if form == "npz":
            np.savez(self.folder / "i.npz", images=self.images, **self.columns)
            return self.folder / "i.npz", self.folder / "i.npz"
        fits.PrimaryHDU(self.images).writeto(self.folder / "i.fits", overwrite=True)
        Table(self.columns).write(self.folder / "c.fits", overwrite=True)
        return self.folder / "i.fits", self.folder / "c.fits"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def refused(paths: tuple[Path, Path], match: str, choice: ColumnNames | None = None) -> str:
    with pytest.raises(DataError, match=match) as info:
        read_source(*paths, choice or ColumnNames())
    assert info.value.exit_code == 2
    return str(info.value)


@pytest.mark.parametrize("form", ["lab", "npz", "fits"])
@pytest.mark.parametrize("which", [0, 1], ids=["images", "catalogue"])
def test_a_missing_empty_truncated_or_compressed_file_says_so(files: Files, form: str, which: int) -> None:
    paths = files.write(form)
    path = paths[which]
    whole = path.read_bytes()

    path.write_bytes(b"")
    refused(paths, rf"{path.name}: size = 0 bytes: is empty. Copy the file again")
    path.write_bytes(gzip.compress(whole))
    refused(paths, rf"{path.name}: is compressed with gzip.* Decompress it once: gunzip {path.name}")
    for share in (0.3, 0.5, 0.67):  # within headers and within data; the last block is mostly padding
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(paths, rf"{path.name}.*: (is truncated|cannot be read|is damaged or truncated).* Copy the file again")
    path.write_bytes(b"not astronomy at all")
    refused(paths, rf"{path.name}: is not FITS, npz, feather or pickle; it begins with")
    path.unlink()
    refused(paths, rf"{path.name}: there is no such file. Check the path")
    path.mkdir()
    refused(paths, rf"{path.name}: is a folder, and a file is expected")


@pytest.mark.parametrize(
    ("order", "named"),
    [
        ((0, 3, 1, 2), "(cluster, band, height, width)"),
        ((0, 1, 3, 2), "(cluster, height, band, width)"),
        ((1, 2, 3, 0), "(height, width, band, cluster)"),
        ((3, 1, 2, 0), "(band, height, width, cluster)"),
        ((3, 0, 1, 2), "(band, cluster, height, width)"),
    ],
)
@pytest.mark.parametrize("form", ["npz", "fits"])
def test_axes_in_another_order_are_recognised(files: Files, form: str, order: tuple[int, ...], named: str) -> None:
    files.images = np.ascontiguousarray(files.images.transpose(order))
    message = refused(files.write(form), r"must be \(cluster, height, width, band\); it looks like")
    assert f"it looks like {named}" in message
    assert "numpy.moveaxis" in message


@pytest.mark.parametrize("form", ["npz", "fits"])
def test_a_cube_of_one_band_needs_no_axis_of_bands(files: Files, form: str) -> None:
    files.images = files.images[..., 0]
    dataset = read_source(*files.write(form), ColumnNames()).dataset
    assert np.array_equal(dataset.images, files.images[..., np.newaxis])
    files.images = np.ascontiguousarray(np.moveaxis(files.images, 0, 2))
    refused(files.write(form), r"shape = \(6, 6, 12, 1\): must be .* it looks like \(height, width, cluster\)")


@pytest.mark.parametrize("form", ["npz", "fits"])
def test_one_image_alone_has_too_few_axes(files: Files, form: str) -> None:
    files.images = files.images[0, ..., 0]
    refused(files.write(form), r"must (have|hold images with) four axes.*three.* for one band")


@pytest.mark.parametrize("form", ["lab", "npz", "fits"])
def test_lengths_that_differ_are_told_with_both_numbers(files: Files, form: str) -> None:
    files.columns = {name: column[:-1] for name, column in files.columns.items()}
    if form == "lab":
        images, catalogue = files.write(form)
        content = {"cluster": list(range(CLUSTERS)), "gsm_3dImgs": list(files.images)}
        images.write_bytes(pickle.dumps(content))
        refused((images, catalogue), "holds 12 images, and the catalogue has 11 rows")
    else:
        refused(files.write(form), "holds 12 images, and the catalogue has 11 rows")


def test_columns_of_an_npz_that_differ_in_length_are_named(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.columns["z"] = files.columns["z"][:-1]
    refused(files.write("npz"), "i.npz: z = 11 entries: must have one entry a cluster; other columns have 12")
    files = Files(files.folder)
    files.columns = {"energy_kev": np.arange(4.0), **files.columns}  # what is no column does no harm
    source = read_source(*files.write("npz"), ColumnNames())
    assert list(source.catalogue.columns) == ["SRC_ID_IN", "M500c", "z"]
    assert "left out, since they do not have one entry a cluster: energy_kev" in caplog.text


def test_the_two_lists_of_a_pickle_must_be_as_long_as_each_other(files: Files) -> None:
    files.columns["SRC_ID_IN"] = files.columns["SRC_ID_IN"][:-1]
    images = files.folder / "i.pickle"
    content = {"cluster": [1, 2], "gsm_3dImgs": list(files.images)}
    images.write_bytes(pickle.dumps(content))
    _, catalogue = Files(files.folder).write("fits")
    refused((images, catalogue), "cluster: has 2 entries, and there are 12 images")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"cluster": [1]}, "gsm_3dImgs: is missing; the keys are: cluster"),
        ({"gsm_3dImgs": [np.ones((2, 2, 1))]}, "cluster: is missing; the keys are: gsm_3dImgs"),
        ([1, 2], "must be a dict with the keys `cluster` and `gsm_3dImgs`; it is a list"),
        ({"cluster": [1], "gsm_3dImgs": [[1.0, 2.0]]}, r"gsm_3dImgs: must be a list of arrays \(height, width, band\)"),
        ({"cluster": [1, 2], "gsm_3dImgs": []}, "gsm_3dImgs: must be a list of arrays"),
        ({"cluster": [1, 2], "gsm_3dImgs": 5}, "gsm_3dImgs: must be a list of arrays"),
        (
            {"cluster": [1, 2], "gsm_3dImgs": [np.ones((2, 2, 1)), np.ones((2, 3, 1))]},
            r"image 1 is \(2, 3, 1\), the first one \(2, 2, 1\): all images must have the same shape",
        ),
    ],
)
def test_a_pickle_of_another_make_says_what_it_lacks(files: Files, content: object, match: str) -> None:
    _, catalogue = files.write("fits")
    images = files.folder / "i.pickle"
    images.write_bytes(pickle.dumps(content))
    refused((images, catalogue), match)


@pytest.mark.parametrize("form", ["lab", "npz", "fits"])
def test_bad_pixels_are_named_by_cluster_all_at_once(files: Files, form: str) -> None:
    files.images[2, 0, 0, 0] = np.nan
    files.images[5, 1, 2, 1] = np.inf
    files.images[[4, 7, 8, 9, 10, 11], 3, 3, 2] = -1
    message = refused(files.write(form), "NaN pixels in cluster 2: must be finite and not negative")
    assert "infinite pixels in cluster 5:" in message
    assert "negative pixels in cluster 4, 7, 8, 9, 10 and 1 more:" in message


def test_counts_too_large_for_float32_are_told_as_infinite(files: Files) -> None:
    files.images[3, 0, 0, 0] = 1e300
    refused(files.write("npz"), "infinite pixels in cluster 3")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("M500c", 0.0, "must be a positive mass in solar masses"),
        ("M500c", -1e14, "must be a positive mass in solar masses"),
        ("M500c", np.nan, "must be a positive mass in solar masses"),
        ("M500c", np.inf, "must be a positive mass in solar masses"),
        ("z", 0.0, "must be a redshift above 0 and at most 5"),
        ("z", -99.0, "must be a redshift above 0 and at most 5"),
        ("z", 7.0, "must be a redshift above 0 and at most 5"),
        ("z", np.nan, "must be a redshift above 0 and at most 5"),
    ],
)
def test_impossible_masses_and_redshifts_are_named_by_row(files: Files, name: str, value: float, rule: str) -> None:
    files.columns[name][3] = value
    message = refused(files.write("lab"), rule)
    assert f"c.f: {name} = {value:g} in row 3: {rule}. Remove these rows, and their images" in message


def test_all_bad_columns_are_told_at_once(files: Files) -> None:
    files.columns["M500c"][:7] = -1
    files.columns["z"][0] = -1
    message = refused(files.write("fits"), "-1 in row 4 and 2 more: must be a positive mass")
    assert "z = -1 in row 0" in message


@pytest.mark.parametrize(
    ("convert_mass", "cause", "unit"),
    [
        (
            np.log10,
            r"they look like log10 of solar masses. That is `mass_unit: dex\(solMass\)` in a study",
            "dex(solMass)",
        ),
        (
            lambda mass: mass / 1e14,
            r"M500c: nine in ten of the masses lie between \S+ and \S+ solMass, and a cluster of galaxies has 1e11 to "
            r"3e16 solar masses: they look like units of 1e14 solar masses\. That is `mass_unit: 1e14",
            "1e14 solMass",
        ),
        (
            lambda mass: mass * 2e30,
            r"of the masses lie between .* solMass, and a cluster of galaxies has 1e11 to 3e16 solar masses\. Check ",
            "5e-31 Msun",
        ),
    ],
)
@pytest.mark.parametrize("form", ["lab", "fits"])
def test_masses_in_other_units_are_refused_with_the_likely_cause_until_their_unit_is_said(
    files: Files, form: str, convert_mass: object, cause: str, unit: str
) -> None:
    true = np.log10(files.columns["M500c"])
    files.columns["M500c"] = convert_mass(files.columns["M500c"])  # type: ignore[operator]
    paths = files.write(form)
    refused(paths, cause)
    if form == "fits":
        with pytest.raises(DataError, match=cause):  # a plan, too, and a comparison
            read_header(DataSpec(images=paths[0], catalogue=paths[1]))
        with pytest.raises(DataError, match=cause):
            masses(read_catalogue(paths[1]), ColumnNames())
    if unit != "5e-31 Msun":
        assert np.allclose(read_source(*paths, ColumnNames(mass_unit=unit)).dataset.log_mass, true)


def test_a_few_masses_that_no_cluster_has_are_named_by_row(files: Files) -> None:
    files.columns["M500c"][4] = 3e9
    refused(
        files.write("fits"), r"M500c = 3e\+09 in row 4: is solMass and no mass of a cluster, which has 1e11 to 3e16"
    )


@pytest.mark.parametrize(
    ("unit", "scale"),
    [("10**14 solMass", 1e14), ("1e14 Msun", 1e14), ("1e14 M_sun", 1e14), ("solMass", 1.0), ("Msun", 1.0), ("", 1.0)],
)
def test_the_unit_in_a_file_is_obeyed(files: Files, unit: str, scale: float) -> None:
    true = np.log10(files.columns["M500c"])
    images, catalogue = files.write("fits")
    table = Table(files.columns)
    table["M500c"] /= scale
    table.write(catalogue, overwrite=True)
    with fits.open(catalogue, mode="update") as hdus:
        hdus[1].header["TUNIT2"] = unit
    assert np.allclose(read_source(images, catalogue, ColumnNames()).dataset.log_mass, true)


def test_a_logarithm_in_a_file_is_obeyed(files: Files) -> None:
    true = np.log10(files.columns["M500c"])
    files.columns["M500c"] = true
    images, catalogue = files.write("fits")
    with fits.open(catalogue, mode="update") as hdus:
        hdus[1].header["TUNIT2"] = "dex(solMass)"
    assert np.array_equal(read_source(images, catalogue, ColumnNames()).dataset.log_mass, true)


def test_a_unit_that_is_none_of_mass_is_refused_or_in_a_file_told(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    images, catalogue = files.write("fits")
    refused(
        (images, catalogue), "mass_unit = keV: is no unit of mass. Units are written like", ColumnNames(mass_unit="keV")
    )
    with fits.open(catalogue, mode="update") as hdus:
        hdus[1].header["TUNIT2"] = "M_500"
    read_source(images, catalogue, ColumnNames())
    assert "the unit of M500c is 'M_500', which is no known unit of mass: it is taken for solar masses" in caplog.text


def test_another_unit_of_the_same_numbers_is_another_data_set_and_the_usual_one_is_not(files: Files) -> None:
    images, catalogue = files.write("fits")
    usual = read_source(images, catalogue, ColumnNames()).dataset.digest
    assert read_source(images, catalogue, ColumnNames(mass_unit="solMass")).dataset.digest == usual
    assert read_source(images, catalogue, ColumnNames(mass_unit="2 solMass")).dataset.digest != usual


@pytest.mark.parametrize("name", ["REDSHIFT", "Z", "z_spec", "z_phot", "photo_z", "z_final"])
@pytest.mark.parametrize("mass", ["MASS_500", "mass", "m500C", "M500", "halo_m500c", "m500_wl_final"])
def test_usual_names_of_columns_are_known_in_any_case(files: Files, name: str, mass: str) -> None:
    files.columns[name], files.columns[mass] = files.columns.pop("z"), files.columns.pop("M500c")
    dataset = read_source(*files.write("npz"), ColumnNames()).dataset
    assert np.array_equal(dataset.redshift, files.columns[name])
    assert np.array_equal(dataset.log_mass, np.log10(files.columns[mass]))


def test_several_columns_that_may_be_meant_are_told_and_refused(files: Files) -> None:
    files.columns["z_spec"] = files.columns["z_phot"] = files.columns.pop("z")
    message = refused(
        files.write("fits"), "columns = z_spec, z_phot: each of them may be the redshift. Name the column"
    )
    assert "`--redshift`" in message
    assert (
        read_source(*files.write("fits"), ColumnNames(redshift="Z_SPEC")).dataset.redshift[0]
        == files.columns["z_spec"][0]
    )


def test_everything_that_is_wrong_is_told_at_once(files: Files) -> None:
    files.columns["z"][3] = np.nan
    files.columns["M500c"][5] = -1
    files.images[7, 0, 0, 0] = np.nan
    message = refused(files.write("fits"), "nan in row 3")
    assert "M500c = -1 in row 5" in message
    assert "NaN pixels in cluster 7" in message


def test_what_stands_where_a_redshift_should_is_told_when_it_is_taken_for_none(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.columns["z"][[1, 3, 5]] = np.nan, -99, 30000
    read_source(*files.write("fits"), ColumnNames(), needs_redshift=False)
    said = "z = -99 in row 3, 30000 in row 5: taken for no redshift, which is above 0 and at most 5"
    assert caplog.text.count(said) == 1


def test_what_is_dropped_for_want_of_a_redshift_is_told_with_what_stands_there(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.columns["z"] *= 299792.458
    with pytest.raises(DataError, match="z: holds no redshifts, .* nine in ten of its values lie between .*e.04 and"):
        convert(*files.write("fits"), files.folder / "survey", drop_invalid=True)
    assert f"z = {files.columns['z'][0]:g} in row 0" in caplog.text
    assert "and 7 more: taken for no redshift, which is above 0 and at most 5" in caplog.text


def test_a_unit_that_is_not_known_is_told_once(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    images, catalogue = files.write("fits")
    with fits.open(catalogue, mode="update") as hdus:
        hdus[1].header["TUNIT2"] = "h-1 Msun"
    read_source(images, catalogue, ColumnNames())
    assert caplog.text.count("the unit of M500c is 'h-1 Msun', which is no known unit of mass") == 1
    assert "Another one is `mass_unit: UNIT` in a study, `--mass-unit 'UNIT'` to a verb" in caplog.text
    assert "with h = 0.7, masses in Msun/h are in 1.42857 solMass" in caplog.text


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


def test_one_cube_of_three_axes_for_each_band_is_not_taken_for_the_first_band(files: Files) -> None:
    images, catalogue = files.write("fits")
    bands = [fits.ImageHDU(files.images[..., band], name=f"BAND{band}") for band in range(3)]
    fits.HDUList([fits.PrimaryHDU(), *bands]).writeto(images, overwrite=True)
    message = refused((images, catalogue), r"images = BAND0 \(12, 6, 6\), BAND1 \(12, 6, 6\), BAND2")
    assert "must hold the images in one cube, with an axis for the bands: (cluster, height, width, band)" in message
    assert "numpy.stack" in message
    with pytest.raises(DataError, match="in one cube"):
        read_header(DataSpec(images=images, catalogue=catalogue))


def test_an_edited_catalogue_is_noticed_before_any_pixel_is_read(files: Files) -> None:
    """A selection that keeps the header keeps the stamp, by which a plan would take it for the whole."""
    convert(*files.write("fits"), files.folder / "survey")
    images, catalogue = files.folder / "survey" / "images.fits", files.folder / "survey" / "catalogue.fits"
    with fits.open(images) as hdus:
        fits.PrimaryHDU(hdus[0].data[:7], hdus[0].header).writeto(files.folder / "near.fits")
    Table.read(catalogue)[:7].write(files.folder / "near-c.fits")
    with pytest.raises(DataError, match=r"near-c.fits: digest = .*: was edited since it was written"):
        read_header(DataSpec(images=files.folder / "near.fits", catalogue=files.folder / "near-c.fits"))


def test_tables_of_text_that_are_no_csv_are_told_how_to_become_one(files: Files) -> None:
    images, _ = files.write("fits")
    for name, text in (("c.txt", "# M500c z\n"), ("c.vot", "<?xml version='1.0'?>"), ("c.tsv", "M500c\tz\n")):
        (files.folder / name).write_text(text)
        message = refused((images, files.folder / name), "is not FITS, npz, feather or pickle")
        assert "nor CSV or ECSV, which are known by their names' ends" in message
        assert f"a catalogue becomes FITS by astropy's Table.read('{files.folder / name}', format=...)" in message
    (files.folder / "c.csv").write_text("M500c;z\n1e14;0.2\n")
    message = refused((images, files.folder / "c.csv"), "columns = M500c;z: are separated by ';'")
    assert message.endswith("Write one line of column names, then one line for each cluster, with commas between.")


def test_clusters_without_redshift_serve_networks_that_take_none(files: Files) -> None:
    files.columns["z"][[3, 5]] = np.nan, -99
    paths = files.write("fits")
    dataset = read_source(*paths, ColumnNames(), needs_redshift=False).dataset
    assert np.flatnonzero(np.isnan(dataset.redshift)).tolist() == [3, 5]
    spec = DataSpec(images=paths[0], catalogue=paths[1])
    assert read_header(spec, needs_redshift=False).clusters == CLUSTERS
    refused(paths, "z = nan in row 3, -99 in row 5")
    del files.columns["z"]
    paths = files.write("fits")
    assert np.isnan(read_source(*paths, ColumnNames(), needs_redshift=False).dataset.redshift).all()
    refused(paths, "no usual name of a redshift")


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


def test_images_of_a_study_may_be_a_folder(files: Files) -> None:
    dataset = convert(*files.write("lab"), files.folder / "survey")
    assert open_dataset(DataSpec(images=files.folder / "survey"), files.folder).digest == dataset.digest


def test_good_data_give_no_warning(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    for form in ("lab", "npz", "fits"):
        read_source(*files.write(form), ColumnNames())
    assert not caplog.records


def test_repeated_identifiers_give_a_warning_that_names_the_split_by_identifier(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.columns["SRC_ID_IN"][[1, 2, 5]] = [100, 103, 103]
    read_source(*files.write("lab"), ColumnNames())
    assert "2 of 9 identifiers are repeated (100, 103)" in caplog.text
    assert "`split: {by: identifier}` keeps each on one side" in caplog.text


def test_a_catalogue_in_another_order_than_the_images_is_refused(files: Files) -> None:
    images, catalogue = files.write("lab")
    files.columns = {name: column[::-1] for name, column in files.columns.items()}
    feather.write_feather(pa.table(files.columns), catalogue)
    message = refused(
        (images, catalogue), "SRC_ID_IN: is in another order than the images: row 0 is 111, image 0 is 100"
    )
    assert "Sort the catalogue in the order of the images" in message


def test_identifiers_that_match_no_column_leave_a_warning(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    images, catalogue = files.write("lab")
    images.write_bytes(pickle.dumps({"cluster": [f"x{i}" for i in range(CLUSTERS)], "gsm_3dImgs": list(files.images)}))
    read_source(images, catalogue, ColumnNames())
    assert "so the order of the rows cannot be checked" in caplog.text


@pytest.mark.parametrize("form", ["lab", "npz", "fits"])
def test_a_catalogue_without_the_columns_lists_those_it_has(files: Files, form: str) -> None:
    files.columns["M_500cc"] = files.columns.pop("M500c")
    message = refused(files.write(form), r"no usual name of a mass \(M500c, M500, MASS_500, mass, .* in any case")
    assert "which has: SRC_ID_IN, z, M_500cc" in message
    assert "Did you mean `M_500cc`? Name the column with `mass:`" in message


def test_a_column_that_does_not_exist_suggests_the_nearest(files: Files) -> None:
    choice = ColumnNames(mass="M50Oc", redshift="zz", identifier="SRC_ID")
    message = refused(files.write("lab"), "c.f: M50Oc: is not a column of the catalogue, which has: SRC_ID_IN", choice)
    assert "Did you mean `M500c`? Name the column with `mass:`" in message
    assert "c.f: zz: is not a column" in message
    assert "Did you mean `SRC_ID_IN`? Name the column with `identifier:`" in message


@pytest.mark.parametrize("name", ["M200c", "m_200", "Mvir", "M2500"])
def test_a_mass_of_another_overdensity_is_never_suggested_for_m500c(files: Files, name: str) -> None:
    files.columns[name] = files.columns.pop("M500c")
    message = refused(files.write("npz"), "no usual name of a mass")
    assert "Did you mean" not in message
    assert f"`{name}` looks like a mass of another overdensity: M500c has to be computed from it" in message


def test_a_study_whose_networks_take_a_redshift_that_is_not_there_is_told_both_ways_out(files: Files) -> None:
    del files.columns["z"]
    message = refused(files.write("fits"), r"no usual name of a redshift \(z, REDSHIFT, z_spec, photo_z, ")
    assert "which has: SRC_ID_IN, M500c, and the network takes the redshift" in message
    assert "pair" not in message
    assert message.endswith("Name the column with `redshift:` in a study or configuration, `--redshift` on the command "
                            "line. Networks with `redshift: none` need none.")  # fmt: skip


def test_a_column_of_text_is_no_mass(files: Files) -> None:
    files.columns["Name"] = np.array(["a"] * CLUSTERS)
    refused(files.write("lab"), "Name.*holds text, and the mass must be a number", ColumnNames(mass="Name"))


def test_a_catalogue_without_rows_or_tables_is_refused(files: Files) -> None:
    images, catalogue = files.write("fits")
    Table({name: column[:0] for name, column in files.columns.items()}).write(catalogue, overwrite=True)
    refused((images, catalogue), "c.fits: has no rows")
    refused((images, images), "i.fits: holds no table")


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


def test_an_npz_whose_array_header_is_damaged_says_so(files: Files) -> None:
    path, _ = files.write("npz")
    with np.load(path) as content, zipfile.ZipFile(files.folder / "d.npz", "w") as archive:
        for name in content:
            array = io.BytesIO()
            np.save(array, content[name])
            # An open bracket: numpy's reader of headers stumbles over it in a way of its own.
            archive.writestr(f"{name}.npy", array.getvalue().replace(b"6, 3)", b"6, 3("))
    refused((files.folder / "d.npz",) * 2, r"d\.npz: cannot be read as npz .*Copy the file again")


@pytest.mark.parametrize("part", ["images", "catalogue"])
def test_content_that_was_changed_after_writing_is_noticed(files: Files, part: str) -> None:
    convert(*files.write("lab"), files.folder / "survey")
    folder = files.folder / "survey"
    with fits.open(folder / f"{part}.fits", mode="update") as hdus:
        if part == "images":
            hdus[0].data[0, 0, 0, 0] += 1
        else:
            hdus[1].data["z"][0] += 0.01
    message = refused((folder / "images.fits", folder / "catalogue.fits"), "its content is not what was written")
    assert f"{part}.fits" in message


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


def test_where_nothing_can_be_written_the_remedy_is_not_to_free_space(files: Files) -> None:
    with pytest.raises(DataError, match="cannot be written .*Write to another folder, or make this one writable") as e:
        convert(*files.write("lab"), files.folder / "i.pickle" / "survey")
    assert "MiB are free" not in str(e.value)


def test_a_catalogue_that_is_a_pickle_is_refused(files: Files) -> None:
    images, _ = files.write("lab")
    refused((images, images), "is a pickle, and a catalogue is FITS, npz, feather or CSV")
    _, catalogue = files.write("lab")
    message = refused((catalogue, catalogue), "is a feather table; a sweep reads images from FITS or npz only")
    assert "convert" not in message  # which would not help


def test_images_without_a_catalogue_say_so_and_a_folder_or_an_npz_has_its_own(files: Files) -> None:
    images, catalogue = files.write("lab")
    with pytest.raises(
        DataError, match=r"i\.pickle: needs a catalogue: only an npz file holds its own.*too: --catalogue FILE"
    ):
        convert(images, None, files.folder / "survey")
    dataset = convert(images, catalogue, files.folder / "survey")
    again = convert(files.folder / "survey", None, files.folder / "s.npz")
    assert again.digest == dataset.digest == convert(files.folder / "s.npz", None, files.folder / "t").digest
