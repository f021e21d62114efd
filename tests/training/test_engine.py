"""The training package with real TensorFlow."""

import dataclasses
import zipfile

import numpy as np
import pytest
from small_study import CLUSTERS, small_plan

from clustersweep.study.events import Checkpoint, Device, EpochEnd, Failed, Finished, Stopped
from clustersweep.training.data import fit_scaling, transformed
from clustersweep.training.files.checkpoint import pack_state, unpack_state, unpack_weights
from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import TrainingSpec

integration = pytest.mark.integration
SPEC = NetworkSpec(filters=4, dense_layers=2, dense_units=(8, 6), dropout=0.2)
TRAINING = TrainingSpec(epochs=5, patience=5, batch_size=16)


@pytest.fixture(scope="module")
def trainer(device_data):
    from clustersweep.training.engine import Trainer

    return Trainer(SPEC, TRAINING, device_data)


def finished(events):
    last = list(events)[-1]
    assert isinstance(last, Finished), last
    return last


# --- Keras --------------------------------------------------------------------------------------------------


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


# --- one replicate ------------------------------------------------------------------------------------------


@integration
def test_a_network_learns_what_there_is_to_learn(data, device_data):
    from clustersweep.training.engine import Trainer

    spec = NetworkSpec(filters=4, dense_layers=1, dense_units=(16,))
    done = finished(Trainer(spec, TrainingSpec(epochs=60, patience=60), device_data).replicate(0))
    assert done.val_loss < 0.2 * data.label_variance


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
