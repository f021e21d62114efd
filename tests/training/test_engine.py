"""The training package with real TensorFlow."""

import contextlib
import dataclasses
import gc
import itertools
import os
import subprocess
import sys
import weakref
import zipfile

import forking
import numpy as np
import pytest
from small_data import small_data
from small_study import CLUSTERS, small_plan

from clustersweep.study.events import Checkpoint, DamagedCheckpointError, Device, EpochEnd, Failed, Finished, Stopped
from clustersweep.study.task import Infeasible
from clustersweep.training.data import fit_scaling, prepare, transformed
from clustersweep.training.files.checkpoint import Progress, pack_state, pack_weights, unpack_state, unpack_weights
from clustersweep.training.network import NetworkSpec, layers, parameters
from clustersweep.training.spec import TrainingSpec

integration = pytest.mark.integration
SPEC = NetworkSpec(filters=4, dense_layers=2, dense_units=(8, 6), dropout=0.2)
TRAINING = TrainingSpec(epochs=5, patience=5, batch_size=16)


@pytest.fixture(scope="module")
def data():
    return small_data()


@pytest.fixture(scope="module")
def device_data(data):
    from clustersweep.training.device import configure_device
    from clustersweep.training.engine import DeviceData

    configure_device(1)
    return DeviceData(data)


@pytest.fixture(scope="module")
def trainer(device_data):
    from clustersweep.training.engine import Trainer

    return Trainer(SPEC, TRAINING, device_data)


def finished(events):
    last = list(events)[-1]
    assert isinstance(last, Finished), last
    return last


# --- scaling and checkpoints: no TensorFlow -----------------------------------------------------------------


def test_scaling_is_fitted_on_the_training_part_only():
    rng = np.random.default_rng(0)
    images = rng.poisson(5, (20, 4, 4, 2)).astype(np.uint16)
    log_mass, redshift = rng.normal(14, 0.3, 20), rng.uniform(0.1, 0.8, 20)
    one = prepare(images, log_mass, redshift, train=np.arange(10), validation=np.arange(10, 15), transform="log1p")
    images[10:] += 100
    other = prepare(images, log_mass, redshift, train=np.arange(10), validation=np.arange(10, 15), transform="log1p")
    assert one.scaling == other.scaling


@pytest.mark.parametrize("transform", ["none", "sqrt", "log1p"])
def test_scaled_training_images_have_zero_mean_and_unit_deviation_in_every_band(transform):
    images = np.random.default_rng(0).poisson((1, 30), (40, 5, 5, 2)).astype(np.uint16)
    scaling = fit_scaling(images, np.linspace(13, 15, 40), np.ones(40), transform, chunk=7)
    scaled = (transformed(images, transform) - np.array(scaling.band_mean)) / np.array(scaling.band_sd)
    assert scaled.mean(axis=(0, 1, 2)) == pytest.approx([0, 0], abs=1e-5)
    assert scaled.std(axis=(0, 1, 2)) == pytest.approx([1, 1], abs=1e-5)


def test_a_band_without_any_counts_is_scaled_to_zeros_not_to_nan():
    scaling = fit_scaling(np.zeros((4, 3, 3, 1), np.uint8), np.linspace(13, 14, 4), np.ones(4), "sqrt")
    assert scaling.band_sd == (1.0,)


def test_predicting_the_training_mean_gives_the_label_variance(data):
    expected = np.mean((data.validation_log_mass - data.train_log_mass.mean()) ** 2)
    assert data.label_variance == pytest.approx(expected)


def test_a_checkpoint_is_read_back_as_it_was_written():
    progress = Progress("key", 2, 1, 3.5, 0, ((0.3, 0.2), (0.25, 0.21)))
    arrays = [np.arange(3.0), np.ones((2, 2), np.float32)]
    packed = pack_state(progress, weights=arrays, best=arrays[::-1], optimizer=arrays)
    again, weights, best, optimizer = unpack_state(packed, "key")
    assert again == progress
    for series, expected in ((weights, arrays), (best, arrays[::-1]), (optimizer, arrays)):
        assert all(np.array_equal(a, b) for a, b in zip(series, expected, strict=True))


@pytest.mark.parametrize("damage", [lambda b: b[:-30], lambda b: b"", lambda b: b[:200] + b"\0" * 9 + b[209:]])
def test_a_damaged_checkpoint_is_recognised(damage):
    packed = pack_state(Progress("key", 1, 1, 1.0, 0, ((1.0, 1.0),)), weights=[np.arange(99.0)], best=[], optimizer=[])
    with pytest.raises(DamagedCheckpointError):
        unpack_state(damage(packed), "key")


def test_whatever_bit_of_a_checkpoint_is_wrong_it_is_damaged_or_harmless():
    progress = Progress("key", 1, 1, 1.0, 0, ((1.0, 1.0),))
    packed = pack_state(progress, weights=[np.ones(3)], best=[np.ones(3)], optimizer=[np.ones(1)])
    for bit in range(0, 8 * len(packed), 3):
        changed = bytearray(packed)
        changed[bit // 8] ^= 1 << (bit % 8)
        with contextlib.suppress(DamagedCheckpointError):
            unpack_state(bytes(changed), "key")


def test_a_checkpoint_of_another_replicate_is_refused():
    packed = pack_state(Progress("key", 1, 1, 1.0, 0, ()), weights=[], best=[], optimizer=[])
    with pytest.raises(DamagedCheckpointError, match="belongs to replicate key, not to other"):
        unpack_state(packed, "other")


def test_weights_that_hold_a_pickle_are_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, weights_0=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DamagedCheckpointError, match="allow_pickle"):
        unpack_weights(path.read_bytes())
    assert all(
        np.array_equal(a, b) for a, b in zip(unpack_weights(pack_weights([np.ones(2)])), [np.ones(2)], strict=True)
    )


# --- Keras --------------------------------------------------------------------------------------------------


@integration
def test_shapes_and_parameters_of_keras_equal_the_arithmetic_for_every_shape_of_the_grid(device_data):
    """Filters and dense layers change sizes alone: they take turns, where the rest comes in every combination."""
    from clustersweep.training.engine import forget_networks
    from clustersweep.training.model import build_model

    checked = 0
    shapes = itertools.product((3, 5, 7), (1, 2, 3), ("valid", "same"), (1, 2))
    sizes = itertools.cycle([(10, 1), (30, 1), (30, 3), (10, 3), (10, 1)])  # five: no other number goes into it
    for (kernel, blocks, padding, stride), (filters, dense) in zip(shapes, sizes, strict=False):
        spec = NetworkSpec(
            filters=filters, kernel_size=kernel, conv_blocks=blocks, dense_layers=dense, padding=padding, stride=stride
        )
        planned = layers(spec, (50, 50, 10))
        if isinstance(planned, Infeasible):
            with pytest.raises(ValueError, match="does not fit"):
                build_model(spec, (50, 50, 10))
            continue
        model = build_model(spec, (50, 50, 10))
        assert [tuple(x.output.shape[1:]) for x in model.layers[1:]] == [x.output_shape for x in planned]
        assert model.count_params() == parameters(planned)
        checked += 1
    forget_networks()
    assert checked > 20


@integration
@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec(filters=2, convs_per_block=2, activation="tanh", pooling="average"),
        NetworkSpec(filters=2, activation="elu", dense_layers=0),
        NetworkSpec(filters=2, activation="gelu", padding="same", stride=2, pool_size=3),
    ],
)
def test_every_kind_of_network_and_optimizer_trains(device_data, spec):
    from clustersweep.training.engine import Trainer

    for optimizer in ("adam", "sgd", "rmsprop"):
        training = TrainingSpec(epochs=1, optimizer=optimizer, weight_decay=0.01)
        assert finished(Trainer(spec, training, device_data).replicate(0)).epochs == 1


@integration
def test_relu_after_the_pooling_gives_what_relu_before_it_gives(device_data):
    from clustersweep.training.device import keras, tf
    from clustersweep.training.model import build_model, initial_weights

    spec = NetworkSpec(filters=3)
    after = build_model(spec, (12, 12, 3))
    weights = initial_weights(after, 5)
    for variable, value in zip(after.trainable_variables, weights, strict=True):
        variable.assign(value)
    image = tf.constant(np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32))
    convolution, pool = after.layers[1], after.layers[2]
    before = pool(keras.activations.relu(convolution(image)))
    assert np.array_equal(before, keras.activations.relu(pool(convolution(image))))


# --- one replicate ------------------------------------------------------------------------------------------


@integration
def test_a_network_learns_what_there_is_to_learn(data, device_data):
    from clustersweep.training.engine import Trainer

    spec = NetworkSpec(filters=4, dense_layers=1, dense_units=(16,))
    done = finished(Trainer(spec, TrainingSpec(epochs=60, patience=60), device_data).replicate(0))
    assert done.val_loss < 0.2 * data.label_variance


@integration
@pytest.mark.parametrize("redshift", ["head", "dense"])
def test_the_redshift_joins_before_the_output_or_before_the_dense_layers(data, redshift):
    from clustersweep.training.model import build_model

    model = build_model(NetworkSpec(filters=2, dense_layers=1, dense_units=(7,), redshift=redshift), data.image_shape)
    assert [tensor.shape[1:] for tensor in model.inputs] == [data.image_shape, (1,)]
    joined = model.get_layer("redshift").output.shape[-1]
    assert joined == (7 + 1 if redshift == "head" else 5 * 5 * 2 + 1)
    assert model.get_layer("output").kernel.shape == (8 if redshift == "head" else 7, 1)


@integration
def test_a_network_uses_the_redshift_that_it_is_given(data):
    """Masses that only the redshift tells: no image can help."""
    from clustersweep.training.engine import DeviceData, Trainer

    told = dataclasses.replace(
        data,
        train_log_mass=14 + (data.train_redshift - 0.4),
        validation_log_mass=14 + (data.validation_redshift - 0.4),
    )
    told = dataclasses.replace(
        told, scaling=fit_scaling(told.train_images, told.train_log_mass, told.train_redshift, "sqrt")
    )
    losses = {}
    for redshift in ("none", "head", "dense"):
        spec = NetworkSpec(filters=4, dense_layers=1, dense_units=(16,), redshift=redshift)
        trainer = Trainer(spec, TrainingSpec(epochs=60, patience=60, learning_rate=0.01), DeviceData(told))
        losses[redshift] = finished(trainer.replicate(0)).val_loss / told.label_variance
    assert losses["none"] > 0.5
    assert losses["head"] < 0.1
    assert losses["dense"] < 0.3


@integration
@pytest.mark.parametrize("augmentation", ["flip_rotate", "dihedral"])
def test_augmentation_changes_the_training_and_not_the_validation(device_data, augmentation):
    from clustersweep.training.engine import Trainer

    plain, augmented = (
        Trainer(SPEC, dataclasses.replace(TRAINING, augmentation=kind), device_data) for kind in ("none", augmentation)
    )
    assert finished(plain.replicate(0)).curve != finished(augmented.replicate(0)).curve
    weights = unpack_weights(finished(plain.replicate(0)).weights)
    assert plain.validation_loss(weights) == augmented.validation_loss(weights)


@integration
@pytest.mark.parametrize("augmentation", ["flip_rotate", "dihedral"])
def test_an_augmented_replicate_gives_the_same_bits_again_and_from_a_checkpoint(device_data, augmentation):
    from clustersweep.training.engine import Trainer

    trainer = Trainer(SPEC, dataclasses.replace(TRAINING, epochs=3, augmentation=augmentation), device_data)
    events = list(trainer.replicate(1, key="k", checkpoint_every_s=0))
    whole, first = events[-1], next(e for e in events if isinstance(e, Checkpoint))
    list(trainer.replicate(2))
    assert finished(trainer.replicate(1, key="k")).curve == whole.curve
    assert finished(trainer.replicate(1, key="k", checkpoint=first.state)).curve == whole.curve


@integration
def test_dihedral_views_are_the_eight_symmetries_of_the_square_alike_often_and_each_image_on_its_own():
    from clustersweep.training.augmentation import Augmentation

    image = np.arange(16.0, dtype=np.float32).reshape(4, 4, 1)
    augmentation = Augmentation("dihedral", image.shape)
    augmentation.begin_epoch(3, 1)
    views = np.asarray(augmentation(np.repeat(image[None], 4000, axis=0)))
    found, count = np.unique(views.reshape(4000, -1), axis=0, return_counts=True)
    turned = [np.rot90(flip, turns) for flip in (image, image[::-1]) for turns in range(4)]
    assert {tuple(row) for row in found} == {tuple(view.ravel()) for view in turned}
    assert count.min() > 400  # of 500 expected


@integration
def test_images_that_are_not_square_are_mirrored_and_never_transposed():
    from clustersweep.training.augmentation import Augmentation

    augmentation = Augmentation("dihedral", (2, 3, 1))
    augmentation.begin_epoch(0, 1)
    views = np.asarray(augmentation(np.repeat(np.arange(6.0, dtype=np.float32).reshape(1, 2, 3, 1), 200, axis=0)))
    assert len(np.unique(views.reshape(200, -1), axis=0)) == 4


@integration
def test_rotations_reach_a_tenth_of_a_turn_and_keep_the_centre():
    from clustersweep.training.augmentation import Augmentation

    image = np.zeros((41, 41, 1), np.float32)
    image[20, 20], image[20, 35] = 5, 9  # the centre, and a source 15 pixels to its right
    augmentation = Augmentation("flip_rotate", image.shape)
    augmentation.begin_epoch(0, 1)
    views = np.array(augmentation(np.repeat(image[None], 400, axis=0)))[..., 0]
    assert (views[:, 20, 20] > 4).all()
    views[:, 18:23, 18:23] = 0
    rows, columns = np.divmod(views.reshape(400, -1).argmax(axis=1), 41)
    angles = np.degrees(np.arctan2(rows - 20, np.abs(columns - 20)))
    assert np.abs(angles).max() < 39
    assert np.abs(angles).max() > 30
    assert (columns < 20).mean() == pytest.approx(0.5, abs=0.1)


@integration
def test_a_likelihood_is_trained_and_told_beside_the_mean_squared_error(data, device_data):
    from clustersweep.training.engine import Trainer
    from clustersweep.training.ensemble import Ensemble

    trainer = Trainer(SPEC, TrainingSpec(epochs=12, patience=12, loss="nll"), device_data)
    events = list(trainer.replicate(0))
    done = events[-1]
    assert done.nll_curve[-1][1] < done.nll_curve[0][1]
    assert done.val_nll == min(val for _, val in done.nll_curve) == done.nll_curve[done.best_epoch - 1][1]
    assert done.val_loss == done.curve[done.best_epoch - 1][1]
    assert [e.val_nll for e in events if isinstance(e, EpochEnd)] == [val for _, val in done.nll_curve]
    ensemble = Ensemble(SPEC, data.scaling, data.image_shape, [unpack_weights(done.weights)], outputs=2)
    said = ensemble(data.validation_images, data.validation_redshift)
    error = said.log_mass - data.validation_log_mass
    assert np.mean(error**2) == pytest.approx(done.val_loss, rel=1e-5)
    nll = np.log(said.sd) + error**2 / (2 * said.sd**2) + 0.5 * np.log(2 * np.pi)
    assert np.mean(nll) == pytest.approx(done.val_nll, rel=1e-4)


@integration
def test_an_interrupted_likelihood_goes_on_to_the_same_bits(device_data):
    from clustersweep.training.engine import Trainer

    trainer = Trainer(SPEC, TrainingSpec(epochs=4, patience=4, loss="nll", augmentation="dihedral"), device_data)
    events = list(trainer.replicate(1, key="k", checkpoint_every_s=0))
    second = [e for e in events if isinstance(e, Checkpoint)][1]
    again = finished(trainer.replicate(1, key="k", checkpoint=second.state))
    assert (again.curve, again.nll_curve) == (events[-1].curve, events[-1].nll_curve)


@integration
def test_the_head_alone_can_be_trained_and_the_rest_stays_as_it_was(device_data):
    from clustersweep.training.engine import Trainer
    from clustersweep.training.model import initial_weights

    trainer = Trainer(SPEC, TRAINING, device_data, head_only=True)
    start = initial_weights(trainer._model, 5)
    after = unpack_weights(finished(trainer.replicate(0, start=start)).weights)
    changed = [not np.array_equal(a, b) for a, b in zip(after, start, strict=True)]
    names = [f"{v.path}" for v in trainer._variables]
    assert {n.split("/")[0] for n, c in zip(names, changed, strict=True) if c} == {"dense2", "output"}


@integration
def test_clusters_of_weight_zero_are_not_learned_from(data, device_data):
    from clustersweep.training.engine import Trainer

    only_first = np.where(np.arange(len(data.train_log_mass)) < 30, 2.0, 0.0)
    spec = TrainingSpec(epochs=3, patience=3, batch_size=60, optimizer="sgd")
    weighted = finished(Trainer(SPEC, spec, device_data, row_weights=only_first).replicate(0))
    alike = finished(Trainer(SPEC, spec, device_data, row_weights=np.ones(60)).replicate(0))
    plain = finished(Trainer(SPEC, spec, device_data).replicate(0))
    assert alike.val_loss == pytest.approx(plain.val_loss, rel=1e-5)
    assert weighted.val_loss != pytest.approx(plain.val_loss, rel=1e-3)


@integration
def test_a_replicate_tells_every_epoch_and_ends_with_the_best(trainer):
    events = list(trainer.replicate(0))
    epochs = [e for e in events if isinstance(e, EpochEnd)]
    done = events[-1]
    assert [e.epoch for e in epochs] == [1, 2, 3, 4, 5]
    assert done.curve == tuple((e.loss, e.val_loss) for e in epochs)
    assert done.val_loss == min(e.val_loss for e in epochs)
    assert epochs[done.best_epoch - 1].val_loss == done.val_loss
    assert done.resumed == 0


@integration
def test_the_loss_is_the_mean_squared_error_of_log_mass_in_dex2(data, device_data, trainer):
    from clustersweep.training.model import build_model

    done = finished(trainer.replicate(0))
    model = build_model(SPEC, data.image_shape)
    for variable, value in zip(model.trainable_variables, unpack_weights(done.weights), strict=True):
        variable.assign(value)
    scaling = data.scaling
    inputs = (transformed(data.validation_images, "sqrt") - scaling.band_mean) / np.array(scaling.band_sd)
    predicted = np.asarray(model(inputs.astype(np.float32)))[:, 0] * scaling.log_mass_sd + scaling.log_mass_mean
    assert done.val_loss == pytest.approx(np.mean((predicted - data.validation_log_mass) ** 2), rel=1e-4)


@integration
def test_a_replicate_gives_the_same_bits_whatever_was_trained_before_it(device_data, trainer):
    from clustersweep.training.engine import Trainer

    first = finished(Trainer(SPEC, TRAINING, device_data).replicate(7))
    list(trainer.replicate(3))
    assert finished(trainer.replicate(7)).curve == first.curve
    assert finished(trainer.replicate(8)).curve != first.curve


@integration
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_an_interrupted_replicate_gives_the_same_bits_from_every_checkpoint(device_data, optimizer):
    from clustersweep.training.engine import Trainer

    trainer = Trainer(SPEC, TrainingSpec(epochs=4, patience=4, optimizer=optimizer), device_data)
    events = list(trainer.replicate(1, key="k", checkpoint_every_s=0))
    whole, saved = events[-1], [e for e in events if isinstance(e, Checkpoint)]
    assert [c.epoch for c in saved] == [1, 2, 3, 4]
    for checkpoint in saved:
        list(trainer.replicate(2))
        again = finished(trainer.replicate(1, key="k", checkpoint=checkpoint.state))
        assert (again.curve, again.val_loss, again.resumed) == (whole.curve, whole.val_loss, 1)
        for a, b in zip(unpack_weights(again.weights), unpack_weights(whole.weights), strict=True):
            assert np.array_equal(a, b)


@integration
def test_a_damaged_checkpoint_or_one_of_another_network_means_starting_again(device_data, trainer):
    from clustersweep.training.engine import Trainer

    whole = finished(trainer.replicate(1, key="k"))
    other = Trainer(NetworkSpec(filters=2), TRAINING, device_data)
    foreign = next(e for e in other.replicate(1, key="k", checkpoint_every_s=0) if isinstance(e, Checkpoint))
    for state in (b"damaged", foreign.state):
        again = finished(trainer.replicate(1, key="k", checkpoint=state))
        assert (again.curve, again.resumed) == (whole.curve, 0)


@integration
def test_a_replicate_that_is_asked_to_stop_hands_over_a_checkpoint_first(trainer):
    events = list(trainer.replicate(0, stop=lambda: True))
    assert [type(e) for e in events] == [EpochEnd, Checkpoint, Stopped]


def test_a_replicate_that_is_asked_for_an_epoch_stops_there_and_goes_on_to_the_same_bits(trainer):
    *_, whole = trainer.replicate(3)
    *_, saved, stopped = trainer.replicate(3, until=2)
    assert isinstance(stopped, Stopped)
    assert (saved.epoch, saved.curve) == (2, whole.curve[:2])
    *_, end = trainer.replicate(3, checkpoint=saved.state)
    assert (end.curve, end.weights) == (whole.curve, whole.weights)
    *_, again, _ = trainer.replicate(3, checkpoint=saved.state, until=1)  # it is there already: one epoch, and again
    assert again.epoch == 3


@integration
def test_checkpoints_are_no_more_frequent_than_asked(trainer):
    assert not any(isinstance(e, Checkpoint) for e in trainer.replicate(0, checkpoint_every_s=1000))


@integration
def test_patience_ends_a_replicate_and_the_best_weights_are_kept(device_data):
    from clustersweep.training.engine import Trainer

    training = TrainingSpec(epochs=500, patience=2, learning_rate=0.05)
    trainer = Trainer(NetworkSpec(filters=2), training, device_data)
    done = finished(trainer.replicate(0))
    assert done.epochs == done.best_epoch + 2 < 500
    assert trainer.validation_loss(unpack_weights(done.weights)) == done.val_loss


@integration
def test_a_loss_that_is_not_finite_fails_the_replicate_with_a_remedy(device_data):
    from clustersweep.training.engine import Trainer

    trainer = Trainer(NetworkSpec(filters=2), TrainingSpec(epochs=30, optimizer="sgd", learning_rate=1000), device_data)
    failed = list(trainer.replicate(0))[-1]
    assert isinstance(failed, Failed)
    assert failed.signature == "NonFiniteLoss"
    assert "the loss is not finite in epoch" in failed.message
    assert "a lower learning_rate may help" in failed.message


@integration
def test_whatever_breaks_a_replicate_is_told_and_does_not_end_the_worker(trainer):
    failed = list(trainer.replicate("no seed"))[-1]
    assert isinstance(failed, Failed)
    assert "Traceback" in failed.trace
    assert isinstance(list(trainer.replicate(0))[-1], Finished)


@integration
def test_no_seed_of_the_small_network_dies_because_labels_and_output_are_centred(data, trainer):
    assert all(finished(trainer.replicate(seed)).val_loss < data.label_variance * 1.5 for seed in range(10))


@integration
def test_a_saved_model_is_read_back_by_its_weights_alone(data, tmp_path, trainer):
    from clustersweep.training.model import load_weights, save_model

    weights = unpack_weights(finished(trainer.replicate(0)).weights)
    path = tmp_path / "model.keras"
    save_model(SPEC, data.image_shape, weights, path)
    assert zipfile.is_zipfile(path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
    for a, b in zip(load_weights(SPEC, data.image_shape, path), weights, strict=True):
        assert np.array_equal(a, b)


@integration
@pytest.mark.parametrize(("error", "signature"), [(ValueError, "ValueError"), (MemoryError, "ResourceExhaustedError")])
def test_a_network_that_cannot_be_built_fails_its_replicate_and_not_its_worker(
    data, monkeypatch, tmp_path, error, signature
):
    from clustersweep.training import engine
    from clustersweep.workers.protocol import InProcessWorkers

    plan = small_plan(tmp_path)
    workers = InProcessWorkers(CLUSTERS, data)

    def refuse(*arguments):
        raise error("no room for this network\nand more")

    monkeypatch.setattr(engine, "build_model", refuse)
    workers.start("worker-1", plan.replicate(plan.trials[0], 0), None)
    told = [event for _ in range(3) for _, event in workers.events(0)]
    assert isinstance(told[-1], Failed)
    assert (told[-1].signature, told[-1].message) == (signature, "no room for this network")
    assert workers.idle() == ("worker-1",)


@pytest.mark.gpu
def test_a_workers_share_of_a_gpu_is_capped_before_the_first_operation():
    script = (
        "from clustersweep.training.device import configure_device, tf\n"
        "configure_device(1, 0.25)\n"
        "tf.zeros(1)\n"
        "limits = [d for d in tf.config.list_logical_devices('GPU')]\n"
        "assert limits, 'no GPU'\n"
        "print(tf.config.get_logical_device_configuration(tf.config.list_physical_devices('GPU')[0])[0].memory_limit)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) > 0


@integration
def test_a_replicate_says_what_computed_it_also_after_it_went_on_elsewhere(trainer, device_data):
    from clustersweep.cpus import cpu_model
    from clustersweep.training.engine import Trainer

    here = Device("CPU", cpu_model(), 1, "float32", deterministic=True)
    assert finished(trainer.replicate(0)).devices == (here,)
    *_, checkpoint, stopped = trainer.replicate(0, key="k", stop=lambda: True)
    assert isinstance(stopped, Stopped)
    elsewhere = Trainer(SPEC, TRAINING, device_data)
    elsewhere.device = Device("GPU", "NVIDIA A100", 1, "tf32", deterministic=True)
    done = finished(elsewhere.replicate(0, key="k", checkpoint=checkpoint.state))
    assert done.devices == (here, elsewhere.device)
    assert str(elsewhere.device) == "GPU NVIDIA A100, 1 thread, tf32"


@integration
def test_what_computed_the_epochs_of_an_older_versions_checkpoint_stays_open(trainer):
    *_, checkpoint, _ = trainer.replicate(0, key="k", stop=lambda: True)
    progress, weights, best, optimizer = unpack_state(checkpoint.state, "k")
    older = dataclasses.replace(progress, devices=())
    state = pack_state(older, weights=weights, best=best, optimizer=optimizer)
    assert finished(trainer.replicate(0, key="k", checkpoint=state)).devices == ()


@integration
def test_each_trainer_sets_its_own_precision_before_each_epoch_and_masses_are_computed_in_float32(data, device_data):
    from clustersweep.training.device import tf
    from clustersweep.training.engine import Trainer
    from clustersweep.training.ensemble import Ensemble

    allowed = tf.config.experimental.tensor_float_32_execution_enabled
    trainers = [Trainer(SPEC, dataclasses.replace(TRAINING, precision=p), device_data) for p in ("tf32", "float32")]
    running = [trainer.replicate(0) for trainer in trainers]
    seen, losses = [], []
    for _ in range(2):
        for one in running:
            losses.append(next(one).val_loss)
            seen.append(allowed())
    assert seen == [True, False, True, False]
    assert losses[0::2] == losses[1::2]  # a CPU has no TF32
    next(running[0])
    weights = [variable.numpy() for variable in trainers[0]._variables]
    for compute in (
        lambda: trainers[1].validation_loss(weights),
        lambda: Ensemble(SPEC, data.scaling, data.image_shape, [weights], outputs=1, constant_sd=[0.1])(
            data.validation_images, data.validation_redshift
        ),
    ):
        tf.config.experimental.enable_tensor_float_32_execution(True)
        compute()
        assert not allowed()


@integration
def test_a_gpus_sums_have_one_order_unless_that_is_switched_off_and_cpus_are_left_alone():
    script = (
        "from clustersweep.training.device import configure_device, tf\n"
        "from tensorflow.python.framework.config import is_op_determinism_enabled as deterministic\n"
        "configure_device(1)\n"
        "on_cpu = deterministic()\n"
        "tf.config.list_physical_devices = lambda kind: ['a GPU']\n"
        "tf.config.experimental.set_memory_growth = lambda gpu, grows: None\n"
        "configure_device(1, 1.0, deterministic=False)\n"
        "off = deterministic()\n"
        "configure_device(1, 1.0)\n"
        "print(on_cpu, off, deterministic())\n"
    )
    done = forking.run(["-c", script], os.environ, 120.0)
    assert done.stdout.split() == ["False", "False", "True"], done.stderr


def aligned(shape, value=0):
    """An array of counts whose memory begins where TensorFlow wants it, as Ray's do."""
    memory = np.full(np.prod(shape) + 64, value, np.uint16)
    start = (-memory.ctypes.data % 64) // memory.itemsize
    return memory[start : start + np.prod(shape)].reshape(shape)


@integration
def test_an_array_that_tensorflow_can_take_is_not_copied_even_if_it_is_read_only():
    from clustersweep.training.device import shared_tensor, tf

    array = aligned((2, 3, 4))
    read_only = array.view()
    read_only.flags.writeable = False
    tensor = shared_tensor(read_only)
    assert (tensor.shape, tensor.dtype) == ((2, 3, 4), tf.uint16)
    array[1, 2, 3] = 7
    assert int(tensor[1, 2, 3]) == 7
    assert int(tf.function(lambda: tf.gather(tensor, [1]))()[0, 2, 3]) == 7


@integration
def test_the_memory_of_a_shared_array_lives_as_long_as_its_tensor_and_no_longer():
    from clustersweep.training.device import shared_tensor

    array = aligned((2, 3, 4), value=5)
    tensor, memory = shared_tensor(array), weakref.ref(array.base)
    del array
    gc.collect()
    assert memory() is not None
    assert np.array_equal(tensor.numpy(), np.full((2, 3, 4), 5))
    del tensor
    gc.collect()
    assert memory() is None


@integration
@pytest.mark.parametrize("array", [np.arange(7, dtype=np.uint8)[1:], np.arange(24.0).reshape(4, 6).T, np.zeros((0, 3))])
def test_an_array_that_tensorflow_cannot_take_is_copied(array):
    from clustersweep.training.device import shared_tensor

    assert np.array_equal(shared_tensor(array).numpy(), array)
