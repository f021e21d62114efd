"""Every format round-trips: FITS, npz, and the lab's pickle with its feather or FITS catalogue."""

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.table import Table
from pyarrow import feather

from clustersweep.errors import DataError
from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.dataset import Dataset
from clustersweep.survey.formats.all import convert, read_source
from clustersweep.survey.formats.files import located
from clustersweep.survey.source import open_dataset, read_header
from clustersweep.survey.spec import DataSpec

SHAPE = (12, 6, 6, 3)
BANDS = ((0.25, 0.455), (0.455, 0.66), (0.66, 0.865))


def make_columns(clusters: int = SHAPE[0], mass: str = "M500c", redshift: str = "z") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {
        "SRC_ID_IN": rng.permutation(clusters) + 10**12,
        mass: 10 ** rng.uniform(13.0, 15.0, clusters),
        redshift: rng.uniform(0.05, 0.9, clusters),
        "Lx_soft": rng.uniform(1e42, 1e45, clusters),
        "Name": np.array([f"cluster {i}" for i in range(clusters)]),
    }


def make_counts(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(5).poisson(3.0, shape).astype(np.float64)


def write_lab_files(folder: Path, images: np.ndarray, columns: dict[str, np.ndarray]) -> tuple[Path, Path]:
    """Write what the lab has: lists of float64 arrays in a pickle, and a feather table."""
    content = {"cluster": columns["SRC_ID_IN"].tolist(), "gsm_3dImgs": list(images)}
    (folder / "images.pickle").write_bytes(pickle.dumps(content))
    feather.write_feather(pa.table(columns), folder / "catalogue.f")
    return folder / "images.pickle", folder / "catalogue.f"


def same(one: Dataset, other: Dataset) -> None:
    assert np.array_equal(one.images, other.images)
    assert one.images.dtype == other.images.dtype
    assert np.array_equal(one.log_mass, other.log_mass)
    assert np.array_equal(one.redshift, other.redshift)
    assert np.array_equal(one.identifiers, other.identifiers)
    assert one.digest == other.digest


@pytest.mark.parametrize("name", ["survey", "survey.npz"])
def test_what_a_killed_conversion_of_the_same_process_number_left_is_in_no_survey(tmp_path: Path, name: str) -> None:
    lab = write_lab_files(tmp_path, make_counts(), make_columns())
    left = tmp_path / f".{name}.partial-{os.getpid()}"  # in a container every process has the same number
    left.mkdir()
    (left / "half.fits").write_bytes(b"half")
    same(convert(*lab, tmp_path / name), read_source(*located(tmp_path / name), ColumnNames()).dataset)
    assert not left.exists()
    assert not list(tmp_path.rglob("half.fits"))


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


@pytest.mark.parametrize(
    ("mass", "redshift"), [("M500c", "z"), ("m500_wl_final", "z_final"), ("HALO_M500c", "redshift_R")]
)
def test_each_known_pair_of_columns_is_found(tmp_path: Path, mass: str, redshift: str) -> None:
    columns = make_columns(mass=mass, redshift=redshift)
    source = read_source(*write_lab_files(tmp_path, make_counts(), columns), ColumnNames())
    assert np.array_equal(source.dataset.log_mass, np.log10(columns[mass]))
    assert np.array_equal(source.dataset.redshift, columns[redshift])


def test_the_user_can_name_the_columns(tmp_path: Path) -> None:
    columns = make_columns() | {"Mvir": np.full(SHAPE[0], 3e14), "zspec": np.full(SHAPE[0], 0.3)}
    files = write_lab_files(tmp_path, make_counts(), columns)
    chosen = read_source(*files, ColumnNames(mass="Mvir", redshift="zspec", identifier="Name")).dataset
    assert np.allclose(chosen.log_mass, np.log10(3e14))
    assert np.allclose(chosen.redshift, 0.3)
    assert chosen.identifiers[2] == "cluster 2"
    one = read_source(*files, ColumnNames(mass="Mvir")).dataset
    assert np.array_equal(one.redshift, columns["z"])


def test_the_catalogue_may_be_fits_beside_the_pickle(tmp_path: Path) -> None:
    columns = make_columns()
    pickled, _ = write_lab_files(tmp_path, make_counts(), columns)
    Table(columns).write(tmp_path / "catalogue.fits")
    source = read_source(pickled, tmp_path / "catalogue.fits", ColumnNames())
    assert np.array_equal(source.dataset.log_mass, np.log10(columns["M500c"]))


def test_a_pickle_may_hold_one_cube_and_entries_that_are_arrays(tmp_path: Path) -> None:
    columns, images = make_columns(), make_counts()
    content = {"cluster": [np.array([i]) for i in columns["SRC_ID_IN"]], "gsm_3dImgs": images}
    (tmp_path / "p").write_bytes(pickle.dumps(content, 2))
    _, catalogue = write_lab_files(tmp_path, images, columns)
    assert np.array_equal(read_source(tmp_path / "p", catalogue, ColumnNames()).dataset.images, images)


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


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(("scale", "per_pixel"), [(1.0, 1), (1 / 3, 4)], ids=["counts", "smoothed"])
def test_reading_a_pickle_takes_at_most_one_and_a_half_times_the_result(
    tmp_path: Path, scale: float, per_pixel: int, protocol: int
) -> None:
    clusters = 1200
    images = make_counts((40, 50, 50, 10)) * scale
    content = {"cluster": list(range(clusters)), "gsm_3dImgs": [images[i % 40] + 0.0 for i in range(clusters)]}
    (tmp_path / "p").write_bytes(pickle.dumps(content, protocol))
    del content
    program = """
        import sys
        from pathlib import Path
        from clustersweep.survey.formats import lab
        # Not getrusage: what it says of the peak is inherited from the process that started this one.
        status = lambda: dict(line.split(":") for line in open("/proc/self/status"))
        peak = lambda: int(status()["VmHWM"].split()[0]) * 1024
        before = peak()
        images = lab.read_pickle(Path(sys.argv[1])).images
        print(images.nbytes, peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "p")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result, used = (int(number) for number in done.stdout.split())
    assert result == clusters * 50 * 50 * 10 * per_pixel
    assert used < 1.5 * result


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


def test_images_as_wide_as_they_have_bands_are_read_where_the_bands_are_named(tmp_path: Path) -> None:
    images = make_counts((12, 5, 3, 3))
    np.savez(tmp_path / "i.npz", images=images, **make_columns())
    with pytest.raises(DataError, match=r"looks like .*If it is right, name the bands: E_MIN01.*`bands_kev` in an npz"):
        read_source(tmp_path / "i.npz", tmp_path / "i.npz", ColumnNames())
    np.savez(tmp_path / "i.npz", images=images, bands_kev=np.array(BANDS), **make_columns())
    dataset = convert(tmp_path / "i.npz", None, tmp_path / "survey")
    assert dataset.image_shape == (5, 3, 3)
    folder = tmp_path / "survey"
    same(dataset, read_source(folder / "images.fits", folder / "catalogue.fits", ColumnNames()).dataset)


def test_the_catalogue_of_a_survey_is_found_beside_its_images(tmp_path: Path) -> None:
    convert(*write_lab_files(tmp_path, make_counts(), make_columns()), tmp_path / "survey")
    folder = tmp_path / "survey"
    assert located(folder / "images.fits") == (folder / "images.fits", folder / "catalogue.fits")
