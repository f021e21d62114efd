"""Images whose masses are to be predicted are read block by block and checked as those of a training."""

import numpy as np
import pytest
from astropy.io import fits
from observed import columns, counts, in_pieces_of, opened, refused, write_fits, write_npz, write_pickle
from small_model import BANDS

from clustersweep.survey.catalogue import Catalogue, ColumnNames
from clustersweep.survey.dataset import Dataset, images_digest
from clustersweep.survey.formats import fits as fitsfile
from clustersweep.survey.formats.all import read_source


@pytest.mark.parametrize("form", ["fits", "npz", "pickle"])
@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize("rebin", [1, 3])
@pytest.mark.parametrize("scale", [1, 1 / 3], ids=["counts", "smoothed"])
def test_blocks_hold_what_a_training_would_have_read(tmp_path, monkeypatch, form, piece, rebin, scale):
    images, table = counts(40), columns(40)
    images = images if scale == 1 else (images * scale).astype(np.float32)
    paths = {
        "fits": lambda: (write_fits(tmp_path / "s", images, table), None),
        "npz": lambda: (write_npz(tmp_path / "s.npz", images, table), None),
        "pickle": lambda: write_pickle(tmp_path, images, table),
    }[form]()
    in_pieces_of(monkeypatch, piece)
    source = opened(*paths)
    assert source.shape == images.shape
    assert source.bands_kev == (() if form == "pickle" else BANDS)
    assert np.array_equal(source.redshift, table["z"])
    assert np.array_equal(source.identifiers, table["SRC_ID_IN"])
    blocks = list(source.blocks(16, rebin))
    assert [len(block.images) for block in blocks] == [16, 16, 8]
    whole = Dataset(images, np.empty(0), np.empty(0), np.empty(0), (), "").rebinned(rebin)
    assert np.array_equal(np.concatenate([block.images for block in blocks]), whole.images.astype(np.float32))
    assert blocks[0].images.dtype == np.float32
    expected = [scale == 1 or not image.any() for image in images]
    assert np.concatenate([block.whole for block in blocks]).tolist() == expected


def test_identifiers_are_the_catalogues_else_the_images_else_the_rows(tmp_path):
    images, table = counts(5), columns(5)
    folder = write_fits(tmp_path / "s", images, table)
    table["Name"] = np.array(["a", "bb", "ccc", "d", "e"])
    fitsfile.write_catalogue(tmp_path / "other.fits", Catalogue("here", table))
    assert opened(folder, tmp_path / "other.fits", identifier="Name").identifiers.tolist() == table["Name"].tolist()
    alone = opened(folder / "images.fits", needs_redshift=False)
    assert (alone.catalogue, alone.redshift) == (None, None)
    assert alone.identifiers.tolist() == table["SRC_ID_IN"].tolist()
    np.savez(tmp_path / "i.npz", images=images)
    assert opened(tmp_path / "i.npz", needs_redshift=False).identifiers.tolist() == [0, 1, 2, 3, 4]


def test_masses_are_not_needed_and_the_redshift_is_that_of_a_training(tmp_path):
    images = counts(5)
    several = {"z": np.full(5, 0.1), "z_final": np.full(5, 0.2), "redshift_R": np.full(5, 0.3), "zspec": np.full(5, 9)}
    for names, chosen, expected in (
        (["redshift_R", "zspec"], None, 0.3),
        (["redshift_R", "z"], None, 0.1),
        (["redshift_R", "z"], "redshift_R", 0.3),
        (["z", "zspec"], "zspec", 9.0),
        (["z", "z_final", "m500_wl_final"], None, 0.2),  # as the pair of a training
    ):
        table = {name: several.get(name, np.full(5, 1e14)) for name in names}
        np.savez(tmp_path / "i.npz", images=images, **table)
        assert opened(tmp_path / "i.npz", redshift=chosen).redshift[0] == expected
    np.savez(tmp_path / "i.npz", images=images, kT=np.ones(5))
    assert opened(tmp_path / "i.npz", needs_redshift=False).redshift is None


def test_columns_of_the_models_configuration_and_identifiers_in_any_case_are_found_without_being_named(tmp_path):
    """`usual` names the columns of the training: they are tried first, and not missed."""
    table = {"NAME": np.array(["a", "b", "c", "d", "e"]), "z": np.full(5, 0.1), "zzz": np.full(5, 0.2)}
    np.savez(tmp_path / "i.npz", images=counts(5), **table)
    assert opened(tmp_path / "i.npz").identifiers.tolist() == table["NAME"].tolist()
    usual = ColumnNames(mass="mine", redshift="zzz", identifier="halo")
    found = opened(tmp_path / "i.npz", usual=usual)
    assert (found.redshift[0], found.identifiers[0]) == (0.2, "a")
    assert opened(tmp_path / "i.npz", usual=usual, redshift="z").redshift[0] == 0.1


def test_a_redshift_that_is_needed_and_missing_is_explained(tmp_path):
    images, table = counts(5), columns(5)
    folder = write_fits(tmp_path / "s", images, {"SRC_ID_IN": table["SRC_ID_IN"], "zz": table["z"]})
    message = refused(
        r"catalogue.fits: z: no usual name of a redshift \(z, REDSHIFT, .*\) is in the catalogue", opened, folder
    )
    assert (
        "which has: SRC_ID_IN, zz, and the network takes the redshift. Did you mean `zz`? Name the column with "
        "`--redshift` on the command line, " in message
    )
    refused(
        r"images.fits: needs a catalogue: the network takes the redshift. Name .*--catalogue FILE\. "
        "A model whose network has `redshift: none` needs no catalogue",
        opened,
        folder / "images.fits",
    )
    message = refused(
        "zspec: is not a column of the catalogue, which has: SRC_ID_IN, zz", opened, folder, redshift="zspec"
    )
    message = refused("Name.*`--identifier`", opened, folder, needs_redshift=False, identifier="id")
    for option in ("redshift", "identifier"):
        match = f"images.fits: needs a catalogue: --{option} names a column of it"
        said = refused(match, opened, folder / "images.fits", needs_redshift=False, **{option: "z"})
        assert "redshift: none" not in said
    np.savez(tmp_path / "i.npz", images=images)
    refused("i.npz: needs a catalogue: the network takes the redshift", opened, tmp_path / "i.npz")
    np.savez(tmp_path / "i.npz", images=images, z=np.array(["a"] * 5))
    refused("z = .*: holds text, and the redshift must be a number. Name another column", opened, tmp_path / "i.npz")


def test_catalogues_that_do_not_belong_to_the_images_are_refused(tmp_path):
    images, table = counts(5), columns(5)
    folder = write_fits(tmp_path / "s", images, table)
    fitsfile.write_catalogue(tmp_path / "short.fits", Catalogue("", {k: v[:4] for k, v in table.items()}))
    refused("holds 5 images, and the catalogue has 4 rows", opened, folder, tmp_path / "short.fits")
    fitsfile.write_catalogue(tmp_path / "mixed.fits", Catalogue("", {k: v[::-1] for k, v in table.items()}))
    refused("SRC_ID_IN: is in another order than the images: row 0 is", opened, folder, tmp_path / "mixed.fits")
    with fits.open(folder / "catalogue.fits", mode="update") as hdus:
        hdus[1].data["z"][0] += 0.01
    refused("catalogue.fits: digest = .*: its content is not what was written", opened, folder)


def test_sources_that_are_none_are_refused(tmp_path):
    refused("none.fits: there is no such file", opened, tmp_path / "none.fits")
    refused("images.fits: there is no such file", opened, tmp_path, needs_redshift=False)
    _, catalogue = write_pickle(tmp_path, counts(5), columns(5))
    refused("c.f: is a feather table", opened, catalogue, catalogue)
    np.savez(tmp_path / "i.npz", images=np.moveaxis(counts(5), 3, 1), z=np.ones(5))
    refused(r"it looks like \(cluster, band, height, width\)", opened, tmp_path / "i.npz")


@pytest.mark.parametrize("piece", [1, 2, 1000])
def test_bad_pixels_are_named_by_row_all_at_once_in_whatever_pieces(tmp_path, monkeypatch, piece):
    images = counts(20).astype(np.float64)
    images[3, 0, 0, 0], images[11, 1, 1, 1], images[19, 2, 2, 2], images[17, 0, 0, 0] = np.nan, -1, np.inf, np.nan
    np.savez(tmp_path / "i.npz", images=images)
    in_pieces_of(monkeypatch, piece)
    source = opened(tmp_path / "i.npz", needs_redshift=False)
    message = refused("NaN pixels in cluster 3, 17: must be finite", lambda: list(source.blocks(4, 1)))
    assert "negative pixels in cluster 11:" in message
    assert "infinite pixels in cluster 19:" in message


def test_images_that_changed_since_they_were_written_are_noticed_and_a_wider_type_is_not_a_change(tmp_path):
    images, table = counts(20), columns(20)
    folder = write_fits(tmp_path / "s", images, table)
    digest = images_digest(images)
    assert opened(folder).digest == digest
    assert len(list(opened(folder).blocks(8, 1))) == 3
    with fits.open(folder / "images.fits") as hdus:
        header, data = hdus[0].header.copy(), hdus[0].data
        for dtype in (np.int16, np.float64):
            fits.PrimaryHDU(data.astype(dtype), header).writeto(tmp_path / "wide.fits", overwrite=True)
            wide = opened(tmp_path / "wide.fits", needs_redshift=False)
            assert wide.digest == digest
            assert len(list(wide.blocks(8, 1))) == 3
        data[19, 0, 0, 0] += 1
        fits.PrimaryHDU(data, header).writeto(tmp_path / "changed.fits")
    changed = opened(tmp_path / "changed.fits", needs_redshift=False)
    refused("changed.fits: digest = .*: its content is not what was written", lambda: list(changed.blocks(8, 1)))


def test_a_column_that_holds_no_redshifts_is_refused_before_anything_is_predicted(tmp_path):
    table = columns(40)
    table["LAMBDA"] = np.linspace(10, 90, 40)
    survey = write_fits(tmp_path / "s", counts(40), table)
    match = "LAMBDA: holds no redshifts, .* between 14 and 86. Columns that look like some: z. Name another column"
    refused(match, opened, survey, redshift="LAMBDA")
    assert opened(survey).redshift.max() < 1


def test_the_source_of_a_prediction_is_read_as_that_of_a_training(tmp_path):
    images, table = counts(9), columns(9) | {"M500c": np.full(9, 1e14)}
    folder = write_fits(tmp_path / "s", images, table)
    training = read_source(folder / "images.fits", folder / "catalogue.fits", ColumnNames()).dataset
    source = opened(folder)
    assert np.array_equal(source.redshift, training.redshift)
    assert np.array_equal(source.identifiers, training.identifiers)
    assert source.bands_kev == training.bands_kev
