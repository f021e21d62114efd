"""Training from a configuration to a model folder: what is written, going on, and what is refused."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from clustersweep.errors import ConfigurationError, DataError, NothingCompleteError
from clustersweep.survey.source import open_dataset
from clustersweep.survey.spec import DataSpec, SimulateSpec
from clustersweep.survey.split import make_split
from clustersweep.training.files.configuration import Configuration, load_configuration
from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import OutliersSpec, ProbabilisticSpec, TrainingSpec

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DATA = DataSpec(simulate=SimulateSpec(clusters=160, seed=3, pixels=12))
CONFIGURATION = Configuration(
    network=NetworkSpec(filters=4, dense_layers=1, dense_units=(8,), redshift="head"),
    training=TrainingSpec(epochs=4, patience=4, batch_size=32, augmentation="dihedral"),
    outliers=OutliersSpec(bins=4, worst=1, epochs=2, patience=2),
    probabilistic=ProbabilisticSpec(epochs=3, patience=3),
    data=DATA,
    seeds=(0, 1),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    from clustersweep.training.device import configure_device

    configure_device(1)
    return open_dataset(DATA, tmp_path_factory.mktemp("surveys"))


def run(configuration, dataset, folder, **options):
    from clustersweep.training.train import train

    return train(configuration, dataset, folder, provenance={"commit": "none"}, **options)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / "model"
    return run(CONFIGURATION, dataset, folder), folder


def timeless(path):
    """Everything in a metrics file that does not depend on the clock."""
    metrics = json.loads(path.read_text())
    for part in (*metrics["stages"], *metrics["members"].values()):
        part.pop("seconds")
    return metrics


def test_a_training_leaves_a_folder_with_all_that_it_came_to(trained):
    _, folder = trained
    names = {"clusters.csv", "config.yaml", "model.json", "metrics.json", "predictions.csv", "weights", "work"}
    assert {path.name for path in folder.iterdir()} == names
    assert {path.name for path in (folder / "weights").iterdir()} == {"seed-0.npz", "seed-1.npz"}
    assert not list((folder / "work").glob("*checkpoint*"))


def test_the_written_configuration_is_the_given_one_with_what_the_data_said(trained, dataset):
    written = load_configuration(trained[1] / "config.yaml")
    assert written.data_digest == dataset.digest
    assert written.image_shape == (12, 12, 10)
    assert written.scaling is not None
    without = dataclasses.replace(written, data_digest=None, image_shape=None, scaling=None)
    assert without == CONFIGURATION


def test_the_model_says_what_the_training_found(trained, dataset):
    from clustersweep.training.ensemble import Ensemble
    from clustersweep.training.files.model_folder import read_model

    done, folder = trained
    model, digest = read_model(folder)
    assert digest == done.digest
    split = make_split(len(dataset), CONFIGURATION.split)
    ensemble = Ensemble(model.network, model.scaling, model.image_shape, model.members, outputs=model.outputs)
    said = ensemble(dataset.images[split.test], dataset.redshift[split.test])
    assert np.array_equal(said.log_mass, done.test.predicted)
    assert np.array_equal(said.sd, done.test.sd)
    assert model.redshift_range == (dataset.redshift[split.train].min(), dataset.redshift[split.train].max())


def test_every_cluster_outside_the_training_part_is_in_the_predictions_once(trained, dataset):
    done, folder = trained
    rows = list(csv.DictReader((folder / "predictions.csv").read_text().splitlines()))
    split = make_split(len(dataset), CONFIGURATION.split)
    for part, expected in (("validation", split.validation), ("test", split.test)):
        assert [int(row["row"]) for row in rows if row["part"] == part] == expected.tolist()
    error = [float(r["log_mass"]) - float(r["log_mass_true"]) for r in rows if r["part"] == "test"]
    assert np.sqrt(np.mean(np.square(error))) == pytest.approx(done.evaluation.test.rmse.value, rel=1e-4)
    assert {"log_mass_seed_0", "log_mass_seed_1", "log_mass_sd"} <= set(rows[0])


@pytest.mark.parametrize(("pixels", "central"), [(50, 44), (51, 45), (12, 4), (5, 1), (2, 4)])
def test_the_centre_is_a_circle_whose_radius_is_a_share_of_the_width(pixels, central, monkeypatch):
    from clustersweep.survey import dataset as module
    from clustersweep.training.train import _clusters

    monkeypatch.setattr(module, "CHUNK_BYTES", pixels**2 * 2 * 3)  # three images at a time
    images = np.ones((7, pixels, pixels, 2), np.uint8) * np.arange(1, 8, dtype=np.uint8)[:, None, None, None]
    survey = module.Dataset(images, np.arange(7.0), np.arange(7.0), np.arange(7), (), "")
    rows = np.array([6, 0, 3, 2])
    found = _clusters(survey, rows)
    assert found.counts.tolist() == (2 * pixels**2 * (rows + 1)).tolist()
    assert found.central_counts.tolist() == (2 * central * (rows + 1)).tolist()


def test_two_trainings_of_two_seeds_give_identical_numbers(trained, dataset, tmp_path):
    run(CONFIGURATION, dataset, tmp_path / "again")
    assert timeless(tmp_path / "again" / "metrics.json") == timeless(trained[1] / "metrics.json")
    for name in ("predictions.csv", "weights/seed-0.npz", "weights/seed-1.npz"):
        assert (tmp_path / "again" / name).read_bytes() == (trained[1] / name).read_bytes()


def test_an_interrupted_training_goes_on_from_its_checkpoint_to_the_same_numbers(trained, dataset, tmp_path):
    from clustersweep.study.events import EpochEnd

    told = []
    for epochs in (3, 4, 3, 5, 99):  # interrupted four times, in several stages of both seeds
        asked = iter([False] * (epochs - 1) + [True] * 99)
        ended = run(
            CONFIGURATION, dataset, tmp_path / "model", on_event=told.append, stop=lambda asked=asked: next(asked)
        )
        if ended is not None:
            break
        assert not (tmp_path / "model" / "model.json").exists()
    assert sum(isinstance(event, EpochEnd) for event in told) == 2 * (4 + 2 + 3)  # none twice
    assert timeless(tmp_path / "model" / "metrics.json") == timeless(trained[1] / "metrics.json")


def test_a_finished_training_is_not_done_again(trained, dataset):
    from clustersweep.training.stages import StageEnded

    told = []
    again = run(CONFIGURATION, dataset, trained[1], on_event=told.append)
    assert len(told) == 6
    assert all(isinstance(event, StageEnded) and event.found for event in told)
    assert again.digest == trained[0].digest


def test_a_damaged_stage_is_trained_again_to_the_same_numbers(trained, dataset, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained[1], folder)
    (folder / "work" / "outliers-1.npz").write_bytes(b"damaged")
    again = run(CONFIGURATION, dataset, folder)
    assert again.test.predicted.tolist() == trained[0].test.predicted.tolist()


def test_a_folder_of_another_configuration_is_refused(trained, dataset):
    other = dataclasses.replace(CONFIGURATION, outliers=None)
    with pytest.raises(
        DataError,
        match="holds the training of another configuration: `outliers` of its config.yaml differ. Choose another fol",
    ):
        run(other, dataset, trained[1])


def test_a_folder_of_fewer_seeds_grows_and_trains_only_the_new_ones(trained, dataset, tmp_path):
    from clustersweep.study.events import EpochEnd

    folder, told = tmp_path / "model", []
    run(dataclasses.replace(CONFIGURATION, seeds=(0,)), dataset, folder)
    grown = run(CONFIGURATION, dataset, folder, on_event=told.append)
    assert sum(isinstance(event, EpochEnd) for event in told) == 4 + 2 + 3
    assert np.array_equal(grown.test.predicted, trained[0].test.predicted)
    with pytest.raises(DataError, match="`seeds` of its config.yaml differ"):
        run(dataclasses.replace(CONFIGURATION, seeds=(0,)), dataset, folder)


def test_a_configuration_that_failed_can_be_mended_in_its_folder_and_no_checkpoint_of_it_is_used(dataset, tmp_path):
    folder = tmp_path / "model"
    wild = dataclasses.replace(CONFIGURATION, training=TrainingSpec(epochs=20, optimizer="sgd", learning_rate=1000))
    with pytest.raises(NothingCompleteError, match="Change the configuration and train again"):
        run(wild, dataset, folder)
    (folder / "work" / "base-0.checkpoint.npz").write_bytes(b"of the failed one")
    run(CONFIGURATION, dataset, folder, stop=lambda: True)
    assert load_configuration(folder / "config.yaml").training == CONFIGURATION.training
    assert (folder / "work" / "base-0.checkpoint.npz").read_bytes() != b"of the failed one"


def test_a_persons_own_configuration_is_never_overwritten(dataset, tmp_path):
    from clustersweep.training.files.configuration import configuration_yaml

    own = configuration_yaml(CONFIGURATION)
    (tmp_path / "config.yaml").write_bytes(own)
    with pytest.raises(DataError, match="holds the training of another configuration: .*`scaling`"):
        run(CONFIGURATION, dataset, tmp_path)
    assert (tmp_path / "config.yaml").read_bytes() == own


def test_a_network_that_the_images_are_too_small_for_is_refused_and_leaves_no_folder(dataset, tmp_path):
    deep = dataclasses.replace(CONFIGURATION, network=NetworkSpec(kernel_size=7, conv_blocks=3))
    with pytest.raises(
        ConfigurationError, match="network: a 7 x 7 kernel does not fit .* Choose a smaller kernel_size"
    ):
        run(deep, dataset, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_that_holds_something_else_is_refused(dataset, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="is there already and holds no training. Choose another folder with --to"):
        run(CONFIGURATION, dataset, tmp_path)
    with pytest.raises(DataError, match="is there already and holds no training"):
        run(CONFIGURATION, dataset, tmp_path / "letter.txt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_digest": "0123"}, "data.digest = 0123: is not the digest of the data, which is .* Give the data"),
        ({"image_shape": (50, 50, 10)}, r"data.image_shape = \[50, 50, 10\]: is not the shape of the images, which is"),
    ],
)
def test_data_other_than_the_configurations_are_refused(dataset, tmp_path, change, message):
    with pytest.raises(ConfigurationError, match=message):
        run(dataclasses.replace(CONFIGURATION, **change), dataset, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_edited_scaling_is_refused(trained, dataset, tmp_path):
    written = load_configuration(trained[1] / "config.yaml")
    edited = dataclasses.replace(written, scaling=dataclasses.replace(written.scaling, log_mass_mean=13.0))
    with pytest.raises(ConfigurationError, match="scaling: is not what the training part of these data gives"):
        run(edited, dataset, tmp_path / "model")
    assert run(written, dataset, Path(trained[1])).digest == trained[0].digest


def test_a_network_without_a_variance_has_its_validation_error_as_uncertainty(dataset, tmp_path):
    plain = dataclasses.replace(CONFIGURATION, outliers=None, probabilistic=None, seeds=(0,))
    done = run(plain, dataset, tmp_path / "model")
    assert done.model.outputs == 1
    assert done.test.sd == pytest.approx(np.full(32, np.sqrt(done.stages[0].val_loss)))
    assert done.evaluation.validation.mse.value == pytest.approx(done.stages[0].val_loss, rel=1e-5)


def test_a_seed_that_fails_is_left_out_and_said_and_when_all_fail_there_is_no_model(dataset, tmp_path, monkeypatch):
    wild = TrainingSpec(epochs=20, optimizer="sgd", learning_rate=1000)
    with pytest.raises(
        NothingCompleteError, match=r"every seed failed \(seed 0: the loss is not finite .*seed 1: the loss"
    ):
        run(dataclasses.replace(CONFIGURATION, training=wild), dataset, tmp_path / "wild")
    from clustersweep.training import engine

    first = engine.initial_weights
    monkeypatch.setattr(
        engine, "initial_weights", lambda model, seed: [w * (np.nan if seed == 1 else 1) for w in first(model, seed)]
    )
    done = run(dataclasses.replace(CONFIGURATION, outliers=None, probabilistic=None), dataset, tmp_path / "one")
    assert done.model.seeds == (0,)
    assert "the loss is not finite" in done.failed[1]
    assert "the loss is not finite" in json.loads((tmp_path / "one" / "metrics.json").read_text())["failed"]["1"]


def test_the_test_part_has_no_influence_on_the_model(trained, dataset, tmp_path):
    """Test clusters with other images and masses: the networks and the recalibration stay the same."""
    split = make_split(len(dataset), CONFIGURATION.split)
    images, log_mass = dataset.images.copy(), dataset.log_mass.copy()
    images[split.test], log_mass[split.test] = 0, 10.0
    other = run(CONFIGURATION, dataclasses.replace(dataset, images=images, log_mass=log_mass), tmp_path / "model")
    assert other.model.recalibration == trained[0].model.recalibration
    for one, two in zip(other.model.members, trained[0].model.members, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_predicting_for_the_survey_that_trained_the_model_tells_which_rows_were_the_test_part(trained, dataset):
    from clustersweep.survey.split import make_split
    from clustersweep.training.files.known_clusters import PARTS
    from clustersweep.training.files.model_folder import read_clusters

    found, _ = read_clusters(trained[1]).recognised(dataset.images.astype(np.float32))
    split = make_split(len(dataset), CONFIGURATION.split)
    for number, part in enumerate(PARTS):
        assert np.flatnonzero(found == number).tolist() == sorted(getattr(split, part))
