"""Prediction: from images in any format to a FITS table of masses, the same numbers however they are read."""

import dataclasses
import logging
import math
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import forking
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from command_line import type_here
from observed import (
    CLUSTERS,
    columns,
    counts,
    in_pieces_of,
    opened,
    refused,
    whole,
    write_fits,
    write_npz,
    write_pickle,
)
from small_model import BANDS, NETWORK, small_model

from clustersweep.survey.catalogue import Catalogue, ColumnNames, masses
from clustersweep.survey.dataset import Dataset, add_up
from clustersweep.survey.formats import fits as fitsfile
from clustersweep.survey.split import Split
from clustersweep.training.files.known_clusters import clusters_csv
from clustersweep.training.files.model_folder import write_model
from clustersweep.training.network import NetworkSpec
from clustersweep.training.predict import Summary, compare, predict

integration = pytest.mark.integration


# --- what is refused before TensorFlow is imported ----------------------------------------------------------


def test_images_of_another_shape_are_refused_with_the_shape_that_is_expected(tmp_path):
    source = opened(write_fits(tmp_path / "s", counts(5), columns(5)))
    model = small_model(image_shape=(6, 6, 3), rebin=3)
    match = "shape = 12 x 12 pixels x 3 bands: the model takes 18 x 18 pixels x 3 bands, and adds up squares of 3 x 3"
    assert "Give images made as those" in refused(match, predict, model, "d", source, tmp_path / "m.fits")
    model = small_model(rebin=2)
    message = refused("the model takes 24 x 24 pixels", predict, model, "d", source, tmp_path / "m.fits")
    assert "These are added up already: give the images before that." in message
    model = small_model(image_shape=(12, 12, 2), scaling=small_model().scaling, members=(), bands_kev=())
    refused("the model takes 12 x 12 pixels x 2 bands. Give", predict, model, "d", source, tmp_path / "m.fits")


def test_other_bands_and_bands_in_another_order_are_refused_and_unnamed_ones_warned_of(tmp_path, caplog):
    model, to = small_model(), tmp_path / "m.fits"
    for name, bands, match in (
        (
            "a",
            (BANDS[1], BANDS[0], BANDS[2]),
            "band 1 = 0.6 to 1 keV: the model's bands are these in another order: its",
        ),
        (
            "b",
            (*BANDS[:2], (1.0, 2.0)),
            "band 3 = 1 to 2 keV: the model was trained on other bands: its band 3 is 1 to 2.3",
        ),
    ):
        source = opened(write_fits(tmp_path / name, counts(5), columns(5), bands))
        refused(match, predict, model, "d", source, to)
    np.savez(tmp_path / "i.npz", images=counts(5), z=np.full(5, 0.3))
    (tmp_path / "there.fits").write_text("precious")
    with caplog.at_level(logging.WARNING):
        refused("is there already", predict, model, "d", opened(tmp_path / "i.npz"), tmp_path / "there.fits")
    assert not caplog.records


def test_the_table_never_replaces_what_is_precious(tmp_path):
    folder = write_fits(tmp_path / "s", counts(5), columns(5))
    source, model = opened(folder), small_model()
    (tmp_path / "there.fits").write_text("precious")
    for to, match in (
        (tmp_path / "there.fits", "there.fits: is there already. Write to another file, or replace it with --force"),
        (tmp_path / "m.csv", "m.csv: must end in .fits, as what is written is a FITS table. Give a name like .*m.fits"),
        (tmp_path / "m", "must end in .fits"),
        (folder, r"s: is a folder. Give a file, e\.g\. .*s/masses.fits"),
    ):
        refused(match, predict, model, "d", source, to)
    for to in (folder / "images.fits", folder / ".." / "s" / "catalogue.fits"):
        refused("is a file that is read. Write to another file", predict, model, "d", source, to, overwrite=True)
    assert (tmp_path / "there.fits").read_text() == "precious"


# --- predictions --------------------------------------------------------------------------------------------


@integration
@pytest.mark.parametrize(
    "changes",
    [{}, {"outputs": 1, "constant_sd": (0.2, 0.3), "network": NetworkSpec(filters=2, redshift="dense")}],
    ids=["likelihood", "mean"],
)
@pytest.mark.parametrize("form", ["fits", "npz", "pickle"])
def test_the_table_holds_what_the_whole_data_set_at_once_would_give(tmp_path, monkeypatch, trained, changes, form):
    images, table, model = counts(), columns(), trained(**changes)
    paths = {
        "fits": lambda: (write_fits(tmp_path / "s", images, table), None),
        "npz": lambda: (write_npz(tmp_path / "s.npz", images, table), None),
        "pickle": lambda: write_pickle(tmp_path, images, table),
    }[form]()
    in_pieces_of(monkeypatch, 13)
    summary = predict(model, "digest", opened(*paths), tmp_path / "m.fits")
    said, read = whole(model, images, table["z"]), Table.read(tmp_path / "m.fits")
    assert np.array_equal(read["identifier"], table["SRC_ID_IN"])
    assert np.array_equal(read["redshift"], table["z"])
    assert np.array_equal(read["counts"], images.sum(axis=(1, 2, 3)))
    assert np.array_equal(read["log_mass"], said.log_mass)
    assert np.array_equal(read["log_mass_sd_raw"], said.sd)
    assert np.array_equal(read["log_mass_sd"], said.sd * 1.25)
    assert np.array_equal(read["log_mass_seed_sd"], said.member_log_mass.std(axis=0))
    assert np.array_equal(read["M500c"], 10**said.log_mass)
    assert np.allclose(np.log10(read["M500c_upper"]) - read["log_mass"], read["log_mass_sd"])
    assert np.allclose(read["log_mass"] - np.log10(read["M500c_lower"]), read["log_mass_sd"])
    assert summary.clusters == CLUSTERS
    assert summary.log_mass == (said.log_mass.min(), np.median(said.log_mass), said.log_mass.max())
    assert summary.median_sd == np.median(said.sd * 1.25)
    assert summary.without_mass == 0


@integration
def test_the_result_is_the_same_to_the_last_bit_in_whatever_pieces_the_file_is_read(tmp_path, monkeypatch, trained):
    model, folder = trained(rebin=2, image_shape=(6, 6, 3)), write_fits(tmp_path / "s", counts(), columns())
    tables = []
    for piece in (1, 100, 257, 10_000):
        in_pieces_of(monkeypatch, piece)
        predict(model, "d", opened(folder), tmp_path / f"{piece}.fits")
        tables.append(fits.getdata(tmp_path / f"{piece}.fits", 1).tobytes())
    assert len(set(tables)) == 1
    from clustersweep.survey.source import open_dataset
    from clustersweep.survey.spec import DataSpec

    table = columns() | {"M500c": np.full(CLUSTERS, 1e14)}
    spec = DataSpec(images=write_fits(tmp_path / "t", counts(), table) / "images.fits",
                    catalogue=tmp_path / "t" / "catalogue.fits", rebin=2)  # fmt: skip
    training = open_dataset(spec, tmp_path)
    said = whole(model, training.images, training.redshift)
    assert np.array_equal(said.log_mass, Table.read(tmp_path / "1.fits")["log_mass"])


@integration
def test_images_alone_are_enough_for_a_network_that_takes_no_redshift(tmp_path, trained):
    model = trained(network=NetworkSpec(filters=2), counts_range=(0.0, 1e6))
    folder = write_fits(tmp_path / "s", counts(), columns())
    summary = predict(model, "d", opened(folder / "images.fits", needs_redshift=False), tmp_path / "m.fits")
    read, header = Table.read(tmp_path / "m.fits"), fits.getheader(tmp_path / "m.fits", 1)
    assert "redshift" not in read.colnames
    assert np.isfinite(read["log_mass"]).all()
    assert set(read["flag"]) == {4}  # there is no redshift, though the network wants none
    assert header["NFLAG4"] == header["NFLAG"] == summary.flagged == CLUSTERS
    assert read["identifier"].tolist() == columns()["SRC_ID_IN"].tolist()
    with_redshifts = predict(model, "d", opened(folder), tmp_path / "n.fits")
    assert "redshift" in Table.read(tmp_path / "n.fits").colnames
    assert with_redshifts.log_mass == summary.log_mass


@integration
def test_images_that_do_not_name_their_bands_are_warned_of_once(tmp_path, trained, caplog):
    np.savez(tmp_path / "i.npz", images=counts(5), z=np.full(5, 0.3))
    with caplog.at_level(logging.WARNING):
        predict(trained(), "d", opened(tmp_path / "i.npz"), tmp_path / "m.fits")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("clustersweep")] == [
        f"{tmp_path / 'i.npz'}: does not name its bands; they must be the model's, 0.3 to 2.3 keV"
    ]


@integration
@pytest.mark.parametrize("piece", [1, 1000])
def test_smoothed_images_and_a_model_of_counts_do_not_go_together_nor_the_reverse(
    tmp_path, monkeypatch, trained, piece
):
    images, table = counts().astype(np.float32), columns()
    images[7, 0, 0, 0] = 0.5
    in_pieces_of(monkeypatch, piece)
    smoothed, to = opened(write_fits(tmp_path / "s", images, table)), tmp_path / "m.fits"
    match = "fractions in cluster 7: the model was trained on whole counts, and these have another transform: smoothed"
    assert "Give the counts themselves" in refused(match, predict, trained(), "d", smoothed, to)
    own = opened(write_fits(tmp_path / "c", counts(), table))
    match = "whole numbers in all of the first 300: the model was trained on images that are no whole counts, and these"
    refused(match, predict, trained(is_counts=False), "d", own, to)
    assert not list(tmp_path.glob("*.fits")) + list(tmp_path.glob(".*"))
    predict(trained(is_counts=False), "d", smoothed, to)
    assert fits.getheader(to, 1).get("TUNIT10") is None  # their sum is no number of counts


@integration
def test_whatever_goes_wrong_on_the_way_no_table_appears_and_an_old_one_stays(tmp_path, trained):
    folder = write_fits(tmp_path / "s", counts(), columns())
    with fits.open(folder / "images.fits", mode="update") as hdus:
        hdus[0].data[299, 0, 0, 0] += 1  # which only the last block shows
    (tmp_path / "m.fits").write_text("old")
    refused("its content is not what was written", predict, trained(), "d", opened(folder), tmp_path / "m.fits",
            overwrite=True)  # fmt: skip
    assert (tmp_path / "m.fits").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.fits", "s"]
    (tmp_path / "file").write_text("x")
    refused("cannot be written", predict, trained(), "d", opened(write_fits(tmp_path / "t", counts(), columns())),
            tmp_path / "file" / "m.fits")  # fmt: skip


@integration
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, trained):
    model = trained(image_shape=(16, 16, 3), network=NetworkSpec(filters=2, dense_units=(4,), dense_layers=1))
    write_model(model, tmp_path / "model")
    block = np.random.default_rng(1).poisson(1.0, (2000, 16, 16, 3)).astype(np.float32)
    for clusters in (6_000, 42_000):
        shape = (clusters, 16, 16, 3)
        pieces = (block + 0 for _ in range(clusters // 2000))
        to_write = fitsfile.ImagesToWrite(pieces, shape, block.dtype, BANDS, np.arange(clusters), {})
        fitsfile.write_images(tmp_path / f"{clusters}.fits", to_write)
    program = """
        import sys
        from pathlib import Path
        from clustersweep.survey.catalogue import ColumnNames
        from clustersweep.survey.observations import open_observations
        from clustersweep.training.files.model_folder import read_model
        from clustersweep.training.predict import predict
        peak = lambda: int(dict(line.split(":") for line in open("/proc/self/status"))["VmHWM"].split()[0])
        folder = Path(sys.argv[1])
        for clusters in (6_000, 42_000):
            source = open_observations(folder / f"{clusters}.fits", None, ColumnNames(), needs_redshift=False)
            predict(*read_model(folder / "model"), source, folder / f"m{clusters}.fits", threads=1)
            print(peak())
    """
    done = forking.run(["-c", textwrap.dedent(program), tmp_path], os.environ, 100.0)
    assert done.returncode == 0, done.stderr
    few, many = (int(line) / 1024 for line in done.stdout.split())
    assert len(Table.read(tmp_path / "m42000.fits")) == 42_000
    whole_mib = 36_000 * 16 * 16 * 3 * 4 / 2**20
    assert whole_mib > 100
    assert many - few < 0.5 * whole_mib


# --- as typed -----------------------------------------------------------------------------------------------


@pytest.fixture
def typed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return type_here


@integration
def test_predict_as_typed_prints_what_came_of_it(typed, tmp_path, trained):
    table = columns()
    table["z"][0], table["z"][1] = 0.9, -1
    digest = write_model(trained(counts_range=(0.0, 1e6)), tmp_path / "model")
    write_fits(tmp_path / "survey", counts(), table)
    words = ["predict", "model", "survey", "--to", "out/masses.fits", "--threads", 1]
    code, out, err = typed(*words)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"out/masses.fits: 300 clusters, model {digest}"
    assert lines[1].startswith("log10 M500c / Msun   1")
    assert lines[2].startswith("median uncertainty   0.")
    from clustersweep.training.device import device_in_use

    assert f"Computed on {device_in_use('float32')}." in " ".join(
        Table.read(tmp_path / "out" / "masses.fits").meta["comments"]
    )
    assert lines[3:] == [
        "without a mass       1",
        f"computed on          {device_in_use('float32')}",
        "flagged              2",
        "  flag 1             1: redshift outside the training part's, 0.1 to 0.8",
        "  flag 4             1: no redshift, hence no mass",
        "seen in training     cannot be told: an earlier version wrote the model",
    ]
    assert len(Table.read(tmp_path / "out" / "masses.fits")) == CLUSTERS
    code, out, err = typed(*words)
    assert (code, out) == (2, "")
    assert "out/masses.fits: is there already. Write to another file, or replace it with --force" in err
    assert typed(*words, "--force")[0] == 0


@integration
def test_known_masses_are_compared_with_the_predicted_ones(typed, tmp_path, trained):
    table = columns() | {"M500c": 10 ** np.random.default_rng(4).normal(14, 0.3, CLUSTERS)}
    write_model(trained(counts_range=(0.0, 1e6)), tmp_path / "model")
    write_fits(tmp_path / "survey", counts(), table)
    code, out, _ = typed("predict", "model", "survey", "--to", "m.fits", "--threads", 1, "--mass", "M500c")
    assert code == 0
    masses = Table.read(tmp_path / "m.fits")
    error = np.asarray(masses["log_mass"]) - np.log10(table["M500c"])
    inside = np.mean(np.abs(error) <= np.asarray(masses["log_mass_sd"]))
    inside_before = np.mean(np.abs(error) <= np.asarray(masses["log_mass_sd_raw"]))
    assert inside_before != inside
    assert "Against the known masses of 300 clusters" in out
    assert "no known or no predicted mass" not in out
    assert re.search(rf"RMSE \[dex\] +{np.sqrt(np.mean(error**2)):.3f} ", out)
    shares = f"{inside:.1%} ({inside_before:.1%} before recalibration)"
    assert f"truth within 1 sigma: {shares}, 68.3% ± 2.7% is honest" in out


@integration
def test_rows_outside_what_the_model_was_trained_on_are_counted_in_and_told(typed, tmp_path, trained):
    table = columns() | {"M500c": 10 ** np.random.default_rng(4).normal(14, 0.3, CLUSTERS)}
    table["z"] = np.where(np.arange(CLUSTERS) < 20, 1.5, 0.3)
    write_model(trained(counts_range=(0.0, 1e6)), tmp_path / "model")
    write_fits(tmp_path / "survey", counts(), table)
    words = ["predict", "model", "survey", "--to", "m.fits", "--threads", 1, "--mass", "M500c"]
    code, out, _ = typed(*words)
    assert code == 0
    masses = Table.read(tmp_path / "m.fits")
    error = np.asarray(masses["log_mass"]) - np.log10(table["M500c"])
    assert re.search(rf"RMSE \[dex\] +{np.sqrt(np.mean(error**2)):.3f} ", out)
    without = np.sqrt(np.mean(error[20:] ** 2))
    assert (
        "\n20 with flag 1 or 2, outside what the model was trained on, are counted in; without them the RMSE is "
        f"{without:.3f} dex\n"
    ) in out
    table["z"] = np.full(CLUSTERS, 0.3)
    write_fits(tmp_path / "inside", counts(), table)
    words[2:5] = "inside", "--to", "i.fits"
    assert "counted in" not in typed(*words)[1]


@pytest.fixture
def schooled(trained, tmp_path):
    """A model that was trained with the first 100 clusters of `counts()`, validated with 50 and tested with 30."""
    images = counts()
    parts = Split(np.arange(100), np.arange(100, 150), np.arange(150, 180))
    nothing = np.zeros(len(images))
    survey = Dataset(add_up(images, 2), nothing, nothing, np.arange(len(images)), BANDS, "d")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "clusters.csv").write_bytes(clusters_csv(survey, parts))
    model = trained(counts_range=(0.0, 1e6), rebin=2, image_shape=(6, 6, 3))
    write_model(model, tmp_path / "model", ("clusters.csv",))
    return images


@integration
def test_clusters_of_the_training_are_known_again_in_any_order_type_and_selection_and_told(
    typed, tmp_path, schooled, caplog
):
    order = np.random.default_rng(5).permutation(CLUSTERS)[:200]
    names = np.array(["train"] * 100 + ["validation"] * 50 + ["test"] * 30 + [""] * 120)[order]
    table = {name: column[order] for name, column in columns().items()}
    table["M500c"] = np.full(200, 1e14)
    write_fits(tmp_path / "survey", schooled[order].astype(np.uint32), table)
    words = ["predict", "model", "survey", "--to", "m.fits", "--threads", 1, "--mass", "M500c"]
    code, out, _ = typed(*words)
    assert code == 0
    number = {name: int((names == name).sum()) for name in ("train", "validation", "test", "")}
    taught = number["train"] + number["validation"]
    assert (
        f"seen in training     {taught + number['test']}: {number['train']} train, {number['validation']} validation, "
        f"{number['test']} test (column `part`)\n"
    ) in out
    assert (
        f"survey/images.fits: {taught} of 200 clusters are of the model's own training and validation parts, and their "
        "masses look better than those of others. Judge the model by those whose `part` is test or empty\n"
    ) in caplog.text
    assert f"Against the known masses of {200 - taught} clusters" in out
    assert f"\n{taught} of 200 trained or validated the model, and are left out\n" in out
    assert "no known or no predicted" not in out
    assert np.array_equal(np.asarray(Table.read(tmp_path / "m.fits")["part"].filled("")).astype(str), names)
    header = fits.getheader(tmp_path / "m.fits", 1)
    assert [header[key] for key in ("NTRAIN", "NVALID", "NTEST")] == list(number.values())[:3]
    assert "part: rows of train and validation had a say in the model" in str(header["COMMENT"])


@integration
def test_clusters_that_no_training_saw_are_no_reason_for_a_warning(typed, tmp_path, schooled, caplog):
    write_fits(tmp_path / "test", schooled[150:180], {name: column[150:180] for name, column in columns().items()})
    write_fits(tmp_path / "new", schooled[180:], {name: column[180:] for name, column in columns().items()})
    code, out, err = typed("predict", "model", "test", "--to", "t.fits", "--threads", 1)
    assert (code, err) == (0, "")
    assert "seen in training     30: 30 test (column `part`)\n" in out
    code, out, err = typed("predict", "model", "new", "--to", "n.fits", "--threads", 1)
    assert (code, err) == (0, "")
    assert "seen in training" not in out
    assert "look better" not in caplog.text


@pytest.fixture
def named(trained, tmp_path):
    """A model that was trained with the first 100 of the clusters, under the names of their catalogue."""
    images, table = counts(), columns()
    nothing = np.zeros(len(images))
    survey = Dataset(images, nothing, nothing, table["SRC_ID_IN"], BANDS, "d")
    (tmp_path / "model").mkdir()
    parts = Split(np.arange(80), np.arange(80, 90), np.arange(90, 100))
    (tmp_path / "model" / "clusters.csv").write_bytes(clusters_csv(survey, parts))
    write_model(trained(counts_range=(0.0, 1e6)), tmp_path / "model", ("clusters.csv",))
    fits.PrimaryHDU(images).writeto(tmp_path / "i.fits")
    Table(table).write(tmp_path / "c.fits")
    return Table(table)


@integration
def test_a_catalogue_in_another_order_than_known_images_is_refused_with_the_first_row_and_the_remedy(
    typed, tmp_path, named
):
    words = ["predict", "model", "i.fits", "--to", "m.fits", "--threads", 1, "--catalogue"]
    assert typed(*words, "c.fits").code == 0
    order = np.r_[0, 1, np.random.default_rng(3).permutation(np.arange(2, CLUSTERS))]
    named[order].write(tmp_path / "shuffled.fits")
    words[4] = "n.fits"
    done = typed(*words, "shuffled.fits")
    wrong = int((order[:100] != np.arange(100)).sum())
    row = int(np.flatnonzero(order != np.arange(CLUSTERS))[0])
    own, was = named["SRC_ID_IN"][order[row]], named["SRC_ID_IN"][row]
    assert done.code == 2
    assert (
        f"shuffled.fits: SRC_ID_IN = {own} in row {row}: the model knows the image of this row from its training, as "
        f"{was}. So it is with {wrong} of 100 such rows: the rows are in another order than the images. Sort the "
        "catalogue in the order of the images. If SRC_ID_IN is not what named the clusters of the training, name "
        "another column with --identifier."
    ) in " ".join(done.err.split())
    assert not (tmp_path / "n.fits").exists()
    named["other"] = np.arange(CLUSTERS) + 5000
    named[order].write(tmp_path / "shuffled.fits", overwrite=True)
    assert typed(*words, "shuffled.fits", "--identifier", "other").code == 0


@integration
def test_a_catalogue_that_shares_some_names_with_the_training_is_warned_of_as_it_may_count_otherwise(
    typed, tmp_path, named, caplog
):
    named["SRC_ID_IN"] = named["SRC_ID_IN"][np.random.default_rng(3).permutation(CLUSTERS)] + 50
    named.write(tmp_path / "c.fits", overwrite=True)
    done = typed("predict", "model", "i.fits", "--catalogue", "c.fits", "--to", "m.fits", "--threads", 1)
    assert done.code == 0
    said = " ".join(caplog.text.split())
    assert "images that the model knows from its training stand beside another cluster's name" in said
    assert "This is not refused, as some of their names are not in this catalogue, and it may count otherwise" in said


def test_only_clusters_with_a_known_and_a_predicted_mass_are_compared():
    predicted, sd = np.array([14.0, 14.2, np.nan, 14.4, 14.1]), np.full(5, 0.2)
    summary = Summary(5, predicted=predicted, sd=sd)
    found = compare(summary, np.array([14.15, 14.2, 14.0, np.nan, 14.5]), 2.0)
    assert (found.metrics.number, found.after.number, found.before.number) == (3, 3, 3)
    assert found.metrics.rmse.value == pytest.approx(np.sqrt((0.15**2 + 0.4**2) / 3))
    assert [part.coverage[0].observed for part in (found.before, found.after)] == pytest.approx([1 / 3, 2 / 3])
    assert compare(summary, np.array([np.nan, np.nan, 14.0, np.nan, np.nan]), 2.0) is None
    assert compare(summary, np.array([14.15, *[np.nan] * 4]), 2.0).metrics.number == 1
    assert found.outside == 0
    summary.outside = np.array([True, False, True, True, False])
    found = compare(summary, np.array([14.15, 14.2, 14.0, np.nan, 14.5]), 2.0)
    assert (found.outside, found.metrics.number) == (1, 3)
    assert found.rmse_inside == pytest.approx(np.sqrt(0.4**2 / 2))
    summary.outside[:] = True
    assert math.isnan(compare(summary, np.array([14.15, 14.2, 14.0, np.nan, 14.5]), 2.0).rmse_inside)


@integration
def test_comparing_asks_for_no_more_than_predicting_does(typed, tmp_path, trained):
    write_model(trained(network=NetworkSpec(filters=2), counts_range=(0.0, 1e6)), tmp_path / "model")
    table = columns() | {"M500c": 10 ** np.random.default_rng(4).normal(14, 0.3, CLUSTERS)}
    table["M500c"][:3] = np.nan, 0, -1e14
    without = {name: column for name, column in table.items() if name != "z"}
    write_fits(tmp_path / "without", counts(), without)
    table["z"][7] = np.nan
    write_fits(tmp_path / "missing", counts(), table)
    for number, name in enumerate(("without", "missing")):
        words = ["predict", "model", name, "--to", f"{number}.fits", "--threads", 1, "--mass", "M500c"]
        code, out, err = typed(*words)
        assert (code, err) == (0, "")
        assert "Against the known masses of 297 clusters" in out
        assert "\n3 of 300 have no known or no predicted mass\n" in out


@pytest.mark.parametrize(
    ("column", "match"),
    [
        (
            np.array(["a"] * 5),
            "c: mass = .*: holds text, and the mass must be a number. Name another column with `--ma",
        ),
        (
            np.array([np.nan, 0, -1, np.inf, np.nan]),
            "c: mass = nan, .*: must hold positive masses in solar masses, and",
        ),
    ],
)
def test_a_column_that_cannot_be_masses_is_refused(column, match):
    refused(match, masses, Catalogue("c", {"mass": column}), ColumnNames(mass="mass"))
    refused(
        "masss: is not a column .*Did you mean `mass`", masses, Catalogue("c", {"mass": column}), ColumnNames("masss")
    )
    other = Catalogue("c", {"x": np.ones(2)})
    refused(r"no usual name of a mass \(M500c, .*\) is in the cat", masses, other, ColumnNames())


def test_known_masses_that_are_not_there_are_missed_before_anything_is_predicted(typed, tmp_path):
    write_model(small_model(network=dataclasses.replace(NETWORK, redshift="none")), tmp_path / "model")
    write_fits(tmp_path / "survey", counts(5), columns(5))
    words = ["predict", "model", "survey", "--to", "m.fits", "--mass", "M500c"]
    code, _, err = typed(*words)
    assert (code, "M500c: is not a column of the catalogue" in err) == (2, True)
    (tmp_path / "survey" / "images.fits").rename(tmp_path / "alone.fits")
    words[2] = "alone.fits"
    code, _, err = typed(*words)
    assert code == 2
    assert "--mass: M500c: names a column of the catalogue, and there is none. Give it with --catalogue" in err
    assert not (tmp_path / "m.fits").exists()


def test_what_cannot_be_predicted_exits_2_and_says_why(typed, tmp_path):
    write_model(small_model(network=NETWORK), tmp_path / "model")
    images, catalogue = write_pickle(tmp_path, counts(5), columns(5))
    for words, said in (
        (["nowhere", images], "error: nowhere: there is no such folder"),
        (["model", "none.fits"], "error: none.fits: there is no such file"),
        (["model", images], "i.pickle: needs a catalogue: the network takes the redshift"),
        (["model", images, "--catalogue", catalogue, "--redshift", "zz"], "Did you mean `z`?"),
        (
            ["model", images, "--catalogue", catalogue, "--identifier", "id"],
            "c.f: id: is not a column of the catalogue",
        ),
        (["model", images, "--catalogue", images], "is a pickle, and a catalogue is FITS, npz, feather or CSV"),
    ):
        code, out, err = typed("predict", *words, "--to", "m.fits")
        assert (code, out) == (2, "")
        assert said in err
        assert "Traceback" not in err
    assert typed("predict", "model", images)[0] == 2  # without --to
    (tmp_path / "model" / "model.json").write_text("{}")
    code, _, err = typed("predict", "model", images, "--catalogue", catalogue, "--to", "m.fits")
    assert (code, "must be clustersweep-model" in err) == (2, True)


@integration
def test_a_malicious_pickle_of_images_does_nothing(typed, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    write_model(small_model(), tmp_path / "model")
    _, catalogue = write_pickle(tmp_path, counts(5), columns(5))
    (tmp_path / "evil.pickle").write_bytes(pickle.dumps({"cluster": [1, 2], "gsm_3dImgs": [counts(1)[0], Evil()]}))
    code, _, err = typed("predict", "model", "evil.pickle", "--catalogue", catalogue, "--to", "m.fits")
    assert code == 2
    assert "evil.pickle: is refused" in err
    assert not (tmp_path / "ran").exists()


@integration
def test_ctrl_c_exits_130_and_leaves_nothing_behind(tmp_path, trained, children):
    write_model(trained(network=NetworkSpec(filters=40, redshift="head", convs_per_block=3)), tmp_path / "model")
    write_fits(tmp_path / "s", counts(60_000), columns(60_000))
    command = [sys.executable, "-m", "clustersweep", "predict", "model", "s", "--to", "m.fits", "--threads", "1"]
    process = children(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not [path for path in tmp_path.glob(".m.fits.partial-*") if path.stat().st_size > 5760]:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert "interrupted: nothing was written" in err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "s"]


def test_predicting_refuses_without_importing_tensorflow(tmp_path):
    write_model(small_model(), tmp_path / "model")
    write_fits(tmp_path / "s", counts(5, pixels=13), columns(5))
    script = (
        "import sys\nfrom clustersweep.cli import main\n"
        "sys.argv = ['clustersweep', 'predict', 'model', 's', '--to', 'm.fits']\n"
        "try: main.main()\nexcept SystemExit as end: print(end.code, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert "the model takes 12 x 12 pixels x 3 bands" in done.stderr
