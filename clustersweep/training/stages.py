"""The stages of one seed: base, outliers, probabilistic, fine-tuning. Knows no files and no evaluation."""

import logging
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from clustersweep.study.events import (
    Checkpoint,
    DamagedCheckpointError,
    Device,
    EpochEnd,
    Failed,
    Finished,
    Stopped,
    failure_of,
)
from clustersweep.training.data import TrainingData
from clustersweep.training.device import device_in_use
from clustersweep.training.engine import DeviceData, Trainer
from clustersweep.training.ensemble import Ensemble
from clustersweep.training.evaluation.results import OutlierRegions, StageName, StageResult
from clustersweep.training.files.checkpoint import Arrays, progress_of, unpack_weights
from clustersweep.training.likelihood import unit_of
from clustersweep.training.model import derived_seed
from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import OutliersSpec, ProbabilisticSpec, TrainingSpec

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What is trained, stage after stage; a stage that is None is left out."""

    network: NetworkSpec
    training: TrainingSpec
    outliers: OutliersSpec | None = None
    probabilistic: ProbabilisticSpec | None = None

    @property
    def outputs(self) -> Literal[1, 2]:
        """Units of the last network's output: 2 where it has a variance."""
        return 2 if self.probabilistic else self.training.outputs

    def stages(self) -> tuple[tuple[StageName, TrainingSpec], ...]:
        """List the stages with how each is trained."""
        found: list[tuple[StageName, TrainingSpec]] = [("base", self.training)]
        if (outliers := self.outliers) is not None:
            again = replace(self.training, epochs=outliers.epochs, patience=outliers.patience)
            found.append(("outliers", replace(again, learning_rate=outliers.learning_rate)))
        if (own := self.probabilistic) is not None:
            likelihood = replace(self.training, loss="nll", patience=own.patience)
            found.append(("probabilistic", replace(likelihood, epochs=own.epochs, learning_rate=own.learning_rate)))
            if own.fine_tune_epochs:
                tuned = replace(likelihood, epochs=own.fine_tune_epochs, learning_rate=own.fine_tune_learning_rate)
                found.append(("fine_tune", tuned))
        return tuple(found)


@dataclass(frozen=True)
class StageBegan:
    """A stage of a seed begins; `epochs` is the most that it may take."""

    seed: int
    stage: StageName
    epochs: int

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.stage}: begins, at most {self.epochs} epochs"


@dataclass(frozen=True)
class StageEnded:
    """A stage of a seed ended; `found` when an earlier run had done it."""

    result: StageResult
    found: bool

    def __str__(self) -> str:
        result = self.result
        likelihood = "" if result.val_nll is None else f", val_nll {result.val_nll:.4f}"
        found = ", done before" if self.found else ""
        kept = "" if result.kept else ", not kept"
        at = f"at epoch {result.best_epoch} of {result.epochs}"
        return f"seed {result.seed}, {result.stage}: val_loss {result.val_loss:.4f}{likelihood} {at}{found}{kept}"


TrainingEvent = StageBegan | EpochEnd | StageEnded | Stopped | Failed
"""What a training tells while it runs."""


class StageStore(Protocol):
    """Where the stages of one seed are kept while and after they run."""

    def result(self, stage: StageName) -> tuple[StageResult, Arrays] | None:
        """Return a finished stage with the weights that the next one begins with."""

    def keep(self, result: StageResult, weights: Arrays) -> None:
        """Keep a finished stage."""

    def checkpoint(self, stage: StageName) -> bytes | None:
        """Return where an interrupted stage got to."""

    def keep_checkpoint(self, stage: StageName, state: bytes) -> None:
        """Keep how far a stage has come."""


@dataclass(frozen=True)
class _Begun:
    """What trains a stage: from which weights, with which seed, and on which regions."""

    trainer: Trainer
    seed: int
    start: Arrays | None
    regions: OutlierRegions | None = None


class Stages:
    """Trains seeds through all stages of a recipe; networks are compiled once for all seeds."""

    def __init__(self, recipe: Recipe, data: TrainingData) -> None:
        self._recipe, self._data = recipe, data
        self._device_data = DeviceData(data)
        self._trainers: dict[StageName, Trainer] = {}
        self._judge: Ensemble | None = None
        self._told_of_devices = False

    def run(
        self,
        seed: int,
        store: StageStore,
        *,
        checkpoint_every_s: float = 10.0,
        stop: Callable[[], bool] = lambda: False,
    ) -> Generator[TrainingEvent, None, Arrays | None]:
        """Train one seed, and tell what happens; returns its weights, None where it failed or was stopped."""
        weights: Arrays | None = None
        previous: StageResult | None = None  # whose weights these are
        for stage, spec in self._recipe.stages():
            found = store.result(stage)
            checkpoint = None if found else store.checkpoint(stage)
            self._compare(found[0].devices if found else _devices_of(checkpoint, f"{stage}-{seed}"), spec)
            if found is None:
                yield StageBegan(seed, stage, spec.epochs)
                try:
                    begun = self._begin(stage, spec, seed, weights, previous)
                except Exception as error:  # whatever breaks one seed must not end the others
                    yield failure_of(error)
                    return None
                finished = yield from _run(
                    begun.trainer.replicate(
                        begun.seed,
                        start=begun.start,
                        key=f"{stage}-{seed}",
                        checkpoint=checkpoint,
                        checkpoint_every_s=checkpoint_every_s,
                        stop=stop,
                    ),
                    store,
                    stage,
                )
                if finished is None:
                    return None
                done = self._ended(stage, seed, finished, begun.regions, weights=weights, previous=previous)
                store.keep(*done)
            else:
                done = found
            yield StageEnded(done[0], found=found is not None)
            result, weights = done
            if result.kept:
                previous = result
        return weights

    def _compare(self, before: tuple[Device, ...], spec: TrainingSpec) -> None:
        """Say, once, that what is there was computed on something else than what computes now."""
        here = device_in_use(spec.precision)
        others = [device for device in before if device != here]
        if others and not self._told_of_devices:
            self._told_of_devices = True
            _log.warning(
                "this goes on with what was computed on %s; it computes on %s: the last digits may differ from those "
                "of a training in one go",
                others[-1],
                here,
            )

    def _begin(
        self, stage: StageName, spec: TrainingSpec, seed: int, weights: Arrays | None, previous: StageResult | None
    ) -> "_Begun":
        """Build what trains a stage, from the weights that the stage before left."""
        network, data = self._recipe.network, self._device_data
        # The base stage draws as a replicate of a sweep does, so that it gives the numbers that the sweep recorded.
        own_seed = seed if stage == "base" else derived_seed(seed, stage)
        if stage == "outliers" and weights is not None and self._recipe.outliers is not None:
            regions = outlier_regions(self._data.validation_log_mass, self._errors(weights), self._recipe.outliers)
            weight = row_weights(self._data.train_log_mass, regions, self._recipe.outliers.weight)
            return _Begun(Trainer(network, spec, data, row_weights=weight), own_seed, weights, regions)
        if stage not in self._trainers:
            self._trainers[stage] = Trainer(network, spec, data, head_only=stage == "probabilistic")
        if stage == "probabilistic" and weights is not None and previous is not None:
            # The variance begins as that of the training errors, for every cluster alike.
            square = previous.curve[previous.best_epoch - 1][0]
            weights = with_variance(weights, square / self._data.scaling.log_mass_sd**2)
        return _Begun(self._trainers[stage], own_seed, weights)

    def _ended(
        self,
        stage: StageName,
        seed: int,
        finished: Finished,
        regions: OutlierRegions | None,
        *,
        weights: Arrays | None,
        previous: StageResult | None,
    ) -> tuple[StageResult, Arrays]:
        """Decide whether a stage is kept; gives what it came to, and the weights to go on with."""
        trained = unpack_weights(finished.weights)
        kept = previous is None or stage == "probabilistic" or _improves(finished, previous)
        if regions is not None:
            regions = replace(regions, after=_binned(self._data.validation_log_mass, self._errors(trained), regions))
        result = StageResult(
            stage=stage,
            seed=seed,
            kept=kept,
            val_loss=finished.val_loss,
            val_nll=finished.val_nll,
            best_epoch=finished.best_epoch,
            epochs=finished.epochs,
            seconds=finished.seconds,
            curve=finished.curve,
            nll_curve=finished.nll_curve,
            regions=regions,
            devices=finished.devices,
        )
        return result, trained if kept or weights is None else weights

    def _errors(self, weights: Arrays) -> NDArray[np.float64]:
        """Predicted minus true log10 M500c of the validation part, dex, `(cluster,)`."""
        data, recipe = self._data, self._recipe
        if self._judge is None:  # one for all seeds: each would compile anew
            outputs = recipe.training.outputs
            self._judge = Ensemble(
                recipe.network, data.scaling, data.image_shape, [], outputs=outputs, constant_sd=[1.0]
            )
        self._judge.members = [weights]
        return self._judge(data.validation_images, data.validation_redshift).log_mass - data.validation_log_mass


def outlier_regions(log_mass: NDArray[np.float64], error: NDArray[np.float64], spec: OutliersSpec) -> OutlierRegions:
    """Find the bins of mass with the largest mean squared error; bins hold equally many clusters.

    Args:
        log_mass: True log10 M500c of the validation part, `(cluster,)`.
        error: Predicted minus true, dex, `(cluster,)`.
        spec: Number of bins, and how many of them are outlier regions.
    """
    edges = tuple(np.quantile(log_mass, np.linspace(0, 1, spec.bins + 1)).tolist())
    empty = OutlierRegions(edges, (), (), (), 0, 0)
    before = _binned(log_mass, error, empty)
    order = sorted(range(spec.bins), key=lambda number: -before[number] if math.isfinite(before[number]) else math.inf)
    worst = tuple(sorted(order[: spec.worst]))
    inside = int(np.isin(_bins(log_mass, edges), worst).sum())
    return replace(empty, worst=worst, before=before, outliers=inside, others=len(log_mass) - inside)


def row_weights(log_mass: NDArray[np.float64], regions: OutlierRegions, weight: float) -> NDArray[np.float64]:
    """Return each training cluster's weight in the loss: `weight` times as much inside the regions, 1 on average.

    The outermost bins reach beyond the validation part's lightest and heaviest cluster.
    """
    inside = np.isin(_bins(log_mass, regions.edges), regions.worst)
    weights = np.where(inside, weight, 1.0)
    return np.asarray(weights / weights.mean(), np.float64)


def with_variance(weights: Arrays, variance: float) -> Arrays:
    """Return the output of a network a second unit for the variance; the mean stays what it was.

    Args:
        weights: Of a network with one output; its kernel `(unit, 1)` and bias `(1,)` come last.
        variance: What the new unit says of every cluster at first, of the standardised label.
    """
    *rest, kernel, bias = weights
    wide = np.concatenate([kernel, np.zeros_like(kernel)], axis=1)
    return [*rest, wide, np.array([bias[0], unit_of(variance)], bias.dtype)]


def _devices_of(checkpoint: bytes | None, key: str) -> tuple[Device, ...]:
    """Return what computed the epochs of a checkpoint; none where it does not say."""
    if checkpoint is None:
        return ()
    try:
        return progress_of(checkpoint, key).devices
    except DamagedCheckpointError:
        return ()


def _run(events: Iterator[Any], store: StageStore, stage: StageName) -> Generator[TrainingEvent, None, Finished | None]:
    """Pass on what a stage tells, and keep its checkpoints; gives its end, None where it has none."""
    for event in events:
        match event:
            case Checkpoint():
                store.keep_checkpoint(stage, event.state)
            case Finished():
                return event
            case EpochEnd() | Stopped() | Failed():
                yield event
    return None


def _improves(finished: Finished, previous: StageResult) -> bool:
    """Say whether a retraining lowered what is trained: the likelihood where there is a variance, else the error."""
    if finished.val_nll is not None and previous.val_nll is not None:
        return finished.val_nll < previous.val_nll
    return finished.val_loss < previous.val_loss


def _bins(log_mass: NDArray[np.float64], edges: tuple[float, ...]) -> NDArray[np.int64]:
    return np.clip(np.searchsorted(edges, log_mass, side="right") - 1, 0, len(edges) - 2)


def _binned(log_mass: NDArray[np.float64], error: NDArray[np.float64], regions: OutlierRegions) -> tuple[float, ...]:
    """Mean squared error of each bin, dex^2; NaN where a bin is empty."""
    bins, count = _bins(log_mass, regions.edges), len(regions.edges) - 1
    number = np.bincount(bins, minlength=count)
    with np.errstate(invalid="ignore"):
        return tuple((np.bincount(bins, error**2, minlength=count) / number).tolist())
