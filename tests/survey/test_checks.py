"""What does not hold between images and catalogue is refused with the rows concerned."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from pyarrow import feather
from survey_files import BANDS, CLUSTERS, Files, make_columns, make_counts, refused, same

from clustersweep.errors import DataError
from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.formats.all import convert, read_source


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
