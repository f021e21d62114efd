"""The stages of one seed: what each does to the weights, when it is kept, and going on after an interruption."""

import dataclasses
import json
import math

import numpy as np
import pytest
from small_data import small_data

from clustersweep.study.events import EpochEnd, Stopped
from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import OutliersSpec, ProbabilisticSpec, TrainingSpec

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NETWORK = NetworkSpec(filters=4, dense_layers=1, dense_units=(8,), redshift="head")
TRAINING = TrainingSpec(epochs=6, patience=6, batch_size=16, augmentation="dihedral")
OUTLIERS = OutliersSpec(bins=5, worst=1, epochs=4, patience=4)
PROBABILISTIC = ProbabilisticSpec(epochs=5, patience=5, fine_tune_epochs=3)


@pytest.fixture(scope="module")
def data():
    from clustersweep.training.device import configure_device

    configure_device(1)
    return small_data(120, 80)


@pytest.fixture(scope="module")
def stages(data):
    from clustersweep.training.stages import Recipe, Stages

    return Stages(Recipe(NETWORK, TRAINING, OUTLIERS, PROBABILISTIC), data)


class InMemory:
    """A store that forgets with the test."""

    def __init__(self):
        self.results, self.checkpoints = {}, {}

    def result(self, stage):
        return self.results.get(stage)

    def keep(self, result, weights):
        self.results[result.stage] = (result, weights)

    def checkpoint(self, stage):
        return self.checkpoints.get(stage)

    def keep_checkpoint(self, stage, state):
        self.checkpoints[stage] = state


def run(stages, seed=0, store=None, **options):
    """Run a seed; gives what was told and the weights."""
    told, running = [], stages.run(seed, store or InMemory(), **options)
    while True:
        try:
            told.append(next(running))
        except StopIteration as ended:
            return told, ended.value


@pytest.fixture(scope="module")
def whole(stages):
    store = InMemory()
    told, weights = run(stages, store=store)
    return told, weights, store


def test_every_stage_begins_tells_its_epochs_and_ends_in_order(whole):
    from clustersweep.training.stages import StageBegan, StageEnded

    told, _, _ = whole
    names = ["base", "outliers", "probabilistic", "fine_tune"]
    assert [(e.stage, e.epochs) for e in told if isinstance(e, StageBegan)] == list(
        zip(names, [6, 4, 5, 3], strict=True)
    )
    ended = [e.result for e in told if isinstance(e, StageEnded)]
    assert [r.stage for r in ended] == names
    assert sum(isinstance(e, EpochEnd) for e in told) == sum(r.epochs for r in ended)
    assert [r.val_nll is None for r in ended] == [True, True, False, False]


def test_the_base_stage_gives_the_numbers_of_a_sweeps_replicate(data, whole):
    from clustersweep.training.engine import DeviceData, Trainer

    replicate = list(Trainer(NETWORK, TRAINING, DeviceData(data)).replicate(0))[-1]
    assert whole[2].results["base"][0].curve == replicate.curve


def test_a_retraining_is_kept_only_if_it_improves_and_else_the_weights_go_back(whole, stages, data, monkeypatch):
    from clustersweep.training.stages import Recipe, Stages

    kept, _ = whole[2].results["outliers"]
    base, _ = whole[2].results["base"]
    assert kept.kept == (kept.val_loss < base.val_loss)
    worse = Stages(Recipe(NETWORK, TRAINING, dataclasses.replace(OUTLIERS, learning_rate=10.0)), data)
    store = InMemory()
    _, after = run(worse, store=store)
    assert not store.results["outliers"][0].kept
    assert all(np.array_equal(a, b) for a, b in zip(after, store.results["base"][1], strict=True))


def test_the_probabilistic_stage_begins_with_the_mean_of_the_stage_before_and_trains_the_head_alone(whole):
    _, mean = whole[2].results["outliers"]
    _, both = whole[2].results["probabilistic"]
    assert [w.shape for w in both[:-2]] == [w.shape for w in mean[:-2]]
    assert (both[-2].shape, both[-1].shape) == ((9, 2), (2,))
    assert all(np.array_equal(a, b) for a, b in zip(mean[:-4], both[:-4], strict=True))  # convolutions
    assert not np.array_equal(mean[-4], both[-4])  # the last hidden dense layer


def test_after_a_rejected_retraining_the_variance_begins_with_the_errors_of_the_kept_stage(data, monkeypatch):
    from clustersweep.training import stages as module
    from clustersweep.training.stages import Recipe, Stages

    begun, with_variance = [], module.with_variance

    def noted(weights, variance):
        begun.append(variance)
        return with_variance(weights, variance)

    monkeypatch.setattr(module, "with_variance", noted)
    store, wild = InMemory(), dataclasses.replace(OUTLIERS, learning_rate=10.0)
    run(Stages(Recipe(NETWORK, TRAINING, wild, PROBABILISTIC), data), store=store)
    base = store.results["base"][0]
    assert not store.results["outliers"][0].kept
    assert begun == [base.curve[base.best_epoch - 1][0] / data.scaling.log_mass_sd**2]


def test_a_second_unit_leaves_the_mean_alone_and_starts_at_the_given_variance():
    from clustersweep.training.likelihood import VARIANCE_FLOOR
    from clustersweep.training.stages import with_variance

    kernel, bias = np.ones((3, 1), np.float32), np.array([0.5], np.float32)
    wide, biases = with_variance([kernel, bias], 0.04)
    assert np.array_equal(wide, [[1, 0], [1, 0], [1, 0]])
    assert biases[0] == 0.5
    assert math.log1p(math.exp(biases[1])) + VARIANCE_FLOOR == pytest.approx(0.04, rel=1e-5)


def test_fine_tuning_is_kept_only_if_the_likelihood_improves(whole):
    store = whole[2]
    (tuned, _), (before, _) = store.results["fine_tune"], store.results["probabilistic"]
    assert tuned.kept == (tuned.val_nll < before.val_nll)


def test_outlier_regions_are_the_bins_of_mass_with_the_largest_errors(whole):
    from clustersweep.training.stages import outlier_regions, row_weights

    log_mass = np.linspace(13, 15, 100)
    error = np.where(log_mass > 14.6, 0.5, 0.1)
    regions = outlier_regions(log_mass, error, OutliersSpec(bins=10, worst=2))
    assert regions.worst == (8, 9)
    assert (regions.outliers, regions.others) == (20, 80)
    assert regions.before[9] == pytest.approx(0.25)
    weights = row_weights(np.array([12.0, 13.5, 14.9, 16.0]), regions, 3.0)
    assert weights == pytest.approx(np.array([1, 1, 3, 3]) / 2)


def test_what_a_shelf_holds_is_not_trained_again(stages, whole):
    from clustersweep.training.stages import StageEnded

    told, weights = run(stages, store=whole[2])
    assert [type(e) for e in told] == [StageEnded] * 4
    assert all(e.found for e in told)
    assert all(np.array_equal(a, b) for a, b in zip(weights, whole[1], strict=True))


def test_an_interrupted_seed_goes_on_to_the_same_bits_in_whatever_stage_it_was(stages, whole):
    for stop_after in (3, 9, 12, 16):  # epochs: one of each stage
        store, asked = InMemory(), iter([False] * (stop_after - 1) + [True] * 99)
        told, weights = run(stages, store=store, stop=lambda asked=asked: next(asked))
        assert isinstance(told[-1], Stopped)
        assert weights is None
        _, weights = run(stages, store=store)
        assert all(np.array_equal(a, b) for a, b in zip(weights, whole[1], strict=True))


def test_another_seed_gives_another_network(stages, whole):
    _, weights = run(stages, seed=1)
    assert not np.array_equal(weights[-2], whole[1][-2])


def test_a_stage_is_read_back_from_json_as_it_was_written(whole):
    from clustersweep.training.evaluation.results import result_from, result_json

    for result, _ in whole[2].results.values():
        assert result_from(json.loads(json.dumps(result_json(result)))) == result


def test_a_seed_that_diverges_is_told_and_ends_without_weights(data):
    from clustersweep.study.events import Failed
    from clustersweep.training.stages import Recipe, Stages

    wild = TrainingSpec(epochs=20, optimizer="sgd", learning_rate=1000)
    told, weights = run(Stages(Recipe(NETWORK, wild), data))
    assert isinstance(told[-1], Failed)
    assert weights is None


def test_whatever_breaks_a_stage_is_told_as_the_seeds_failure(data, monkeypatch):
    from clustersweep.study.events import Failed
    from clustersweep.training import stages as module
    from clustersweep.training.stages import Recipe, Stages

    def refuse(*arguments, **options):
        raise MemoryError("no memory for this network\nand more")

    monkeypatch.setattr(module, "Trainer", refuse)
    told, weights = run(Stages(Recipe(NETWORK, TRAINING), data))
    assert isinstance(told[-1], Failed)
    assert (told[-1].signature, told[-1].message) == ("ResourceExhaustedError", "no memory for this network")
    assert weights is None


def test_likelihood_and_squared_error_agree_on_what_the_recipe_ends_with():
    from clustersweep.training.stages import Recipe

    nll = dataclasses.replace(TRAINING, loss="nll")
    assert [
        Recipe(NETWORK, t, None, p).outputs for t, p in ((TRAINING, None), (TRAINING, PROBABILISTIC), (nll, None))
    ] == [1, 2, 2]


def test_each_event_prints_as_one_short_line_and_its_repr_leaves_curves_and_weights_out():
    from clustersweep.study.events import Checkpoint, Failed, Finished
    from clustersweep.training.evaluation.results import StageResult
    from clustersweep.training.stages import StageBegan, StageEnded

    curve = tuple((0.1, 0.2) for _ in range(300))
    ended = StageResult("base", 3, True, 0.0612, -0.31, 7, 300, 12.5, curve, curve)
    events = {
        StageBegan(3, "base", 300): "seed 3, base: begins, at most 300 epochs",
        EpochEnd(7, 0.05, 0.0612, 1.25): "epoch 7: loss 0.0500, val_loss 0.0612, 1.2 s",
        EpochEnd(7, 0.05, 0.0612, 1.25, -0.31): "epoch 7: loss 0.0500, val_loss 0.0612, val_nll -0.3100, 1.2 s",
        StageEnded(ended, False): "seed 3, base: val_loss 0.0612, val_nll -0.3100 at epoch 7 of 300",
        StageEnded(dataclasses.replace(ended, kept=False, val_nll=None), True):
            "seed 3, base: val_loss 0.0612 at epoch 7 of 300, done before, not kept",
        Stopped(): "stopped, with a checkpoint",
        Failed("NonFiniteLoss", "the loss is nan", "Traceback\\n" * 50): "failed: NonFiniteLoss: the loss is nan",
        Checkpoint(7, b"x" * 9999): "checkpoint after epoch 7",
        Finished(0.0612, 7, 300, 12.5, curve, 0, b"x" * 9999):
            "finished: val_loss 0.0612 at epoch 7 of 300, 12.5 s",
    }  # fmt: skip
    assert {event: str(event) for event in events} == events
    assert max(len(repr(event)) for event in events) < 250
