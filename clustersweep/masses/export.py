"""From a sweep's results to the training package: configuration, weights and provenance, proved by reloading."""

import itertools
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clustersweep.errors import StorageError
from clustersweep.files import require_unedited, write_atomically
from clustersweep.masses.task import masses_of
from clustersweep.provenance import stamp
from clustersweep.study.events import Device
from clustersweep.study.objective import ObjectiveSpec
from clustersweep.study.plan import Plan
from clustersweep.study.ranking import ties_of
from clustersweep.study.results import FailedReplicate, SweepResults, TrialResult, combination, loss_of
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.training.data import TrainingData
from clustersweep.training.files.configuration import (
    MOST_LISTED,
    Configuration,
    Evidence,
    FailedSeed,
    Tie,
    configuration_yaml,
    load_configuration,
)
from clustersweep.training.metric import VAL_LOSS
from clustersweep.training.spec import ProbabilisticSpec

# How closely, relative to it, the reloaded network must give the recorded loss: another machine may sum otherwise.
TOLERANCE = 1e-5
# The same where the loss was computed on another kind of device, or in TF32. Emulated, that moves it by up to 2e-4 on
# thousands of clusters and up to 7e-4 on thirty, in a test. Another seed's weights differ by percents.
OTHER_DEVICE_TOLERANCE = 3e-3
CONFIGURATION, MODEL, PROVENANCE = "config.yaml", "model.keras", "provenance.json"


@dataclass(frozen=True)
class Exported:
    """What was exported and why, and the proof."""

    configuration: Configuration
    evidence: Evidence
    proof: "Proof"
    folder: Path


@dataclass(frozen=True)
class Proof:
    """The validation loss that the sweep recorded, dex^2, beside that of the network which was read back.

    Attributes:
        recorded: What the sweep recorded.
        reloaded: What the network gives now.
        trained_on: What computed the recorded one; none where that was not recorded.
        recomputed_on: What computed it again.
    """

    recorded: float
    reloaded: float
    trained_on: tuple[Device, ...]
    recomputed_on: Device

    @property
    def tolerance(self) -> float:
        """How far the two may be apart, as a share of the recorded one."""
        devices = (*self.trained_on, self.recomputed_on)
        alike = len({device.kind for device in devices}) == 1 and {device.precision for device in devices} == {
            "float32"
        }
        return TOLERANCE if self.trained_on and alike else OTHER_DEVICE_TOLERANCE

    @property
    def holds(self) -> bool:
        """Whether the two are as close as they must be."""
        return abs(self.reloaded - self.recorded) <= self.tolerance * abs(self.recorded)

    def __str__(self) -> str:
        """Say what was compared, and how closely."""
        trained = " and ".join(dict.fromkeys(map(_how, self.trained_on))) or "a device that was not recorded"
        return (
            f"val_loss {self.recorded:.6f} recorded, {self.reloaded:.6f} reloaded, equal within {self.tolerance:g} of "
            f"it (trained on {trained}, recomputed on {_how(self.recomputed_on)})"
        )


def _how(device: Device) -> str:
    return f"{device.kind} in {device.precision}"


def export(
    plan: Plan,
    results: SweepResults,
    trial: TrialResult,
    rank: int,
    *,
    data: TrainingData,
    files: RunFolder,
    to: Path,
    force: bool = False,
) -> Exported:
    """Write `config.yaml`, `model.keras` and `provenance.json` into the folder `to`, and prove them.

    The weights are those of the trial's best replicate. The network is built again from `config.yaml`, takes
    its weights from `model.keras`, and must give the validation loss that the sweep recorded. Until it has, the
    folder's own files stay as they are.

    Args:
        plan: The study's plan.
        results: The study's results.
        trial: What to export.
        rank: Its rank.
        data: What it was trained on.
        files: Where the sweep left the weights.
        to: The folder; made if missing.
        force: Whether to replace a `config.yaml` that differs from what is written.

    Raises:
        ConfigurationError: A `config.yaml` is there that differs: a person may have edited it.
        StorageError: The weights are not on this machine, or the reloaded network gives another loss.
    """
    evidence = evidence_of(results, trial, rank, plan.study.objective)
    exported = configuration_of(plan, trial, data, seeds=results.seeds, evidence=evidence)
    text = configuration_yaml(exported)
    if not force:
        require_unedited(to / CONFIGURATION, text)
    # Imported here: this takes TensorFlow, which the other verbs do without.
    from clustersweep.study.events import DamagedCheckpointError
    from clustersweep.training.engine import DeviceData, Trainer
    from clustersweep.training.files.checkpoint import unpack_weights
    from clustersweep.training.model import load_weights, save_model

    best = trial.best_replicate(VAL_LOSS)
    planned = next(t for t in plan.trials if combination(t.params) == combination(trial.params))
    weights = read_weights(trial, plan.replicate(planned, best.seed).key, files)
    try:
        arrays = unpack_weights(weights)
    except DamagedCheckpointError as error:
        raise StorageError(
            f"the weights of trial {trial.number}, seed {best.seed}, below {files.path} are damaged ({error}). "
            "Restore them from a copy, or launch the study again under a new name"
        ) from None
    recorded = best.value
    with _all_or_nothing(to) as beside:
        write_atomically(beside / CONFIGURATION, text, what="configuration")
        read_back = load_configuration(beside / CONFIGURATION)
        network, outputs = read_back.network, read_back.training.outputs
        save_model(network, data.image_shape, arrays, beside / MODEL, outputs=outputs)
        again = load_weights(network, data.image_shape, beside / MODEL, outputs=outputs)
        trainer = Trainer(network, read_back.training, DeviceData(data))
        proof = Proof(recorded, trainer.validation_loss(again), best.devices, trainer.device)
        if not proof.holds:
            raise StorageError(
                f"the exported network gives a validation loss of {proof.reloaded!r}, the sweep recorded {recorded!r}, "
                f"and they must be equal within {proof.tolerance:g} of it: the weights or the data are not those of "
                "the sweep. Launch the study again under a new name"
            )
        provenance = json.dumps(_provenance(plan, results) | {"verified": _verified(proof, best.seed)}, indent=2)
        write_atomically(beside / PROVENANCE, provenance.encode())
    return Exported(exported, evidence, proof, to)


def read_weights(trial: TrialResult, key: str, files: RunFolder) -> bytes:
    """Return the weights of a trial's best replicate, whose key is given.

    Raises:
        StorageError: They are not on this machine.
    """
    weights = files.weights(key)
    if weights is None:
        seed = trial.best_replicate(VAL_LOSS).seed
        raise StorageError(
            f"the weights of trial {trial.number}, seed {seed}, are not below {files.path}. They "
            "stay on the machine that launched the sweep: export there, with the same --home"
        )
    return weights


def _verified(proof: Proof, seed: int) -> dict[str, Any]:
    return {
        "recorded_val_loss": proof.recorded,
        "reloaded_val_loss": proof.reloaded,
        "seed": seed,
        "tolerance": proof.tolerance,
        "trained_on": [vars(device) for device in proof.trained_on],
        "recomputed_on": vars(proof.recomputed_on),
    }


@contextmanager
def _all_or_nothing(to: Path) -> Iterator[Path]:
    """Return a folder inside `to` for the files of an export, which take their places if all went well."""
    new = not to.exists()
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=to) as beside:
            yield Path(beside)
            # The proof of earlier files goes first and that of the new ones comes last: it never stands beside others.
            (to / PROVENANCE).unlink(missing_ok=True)
            for name in (CONFIGURATION, MODEL, PROVENANCE):
                (Path(beside) / name).replace(to / name)
    except OSError as error:
        raise StorageError(f"{to} cannot be written to: {error.strerror or error}. Choose another --to") from None
    finally:
        if new:
            with suppress(OSError):  # it holds files where all went well
                to.rmdir()


def configuration_of(
    plan: Plan, trial: TrialResult, data: TrainingData, *, seeds: tuple[int, ...], evidence: Evidence
) -> Configuration:
    """Return the training configuration of a trial: its network and training, and then a variance for every mass."""
    network, training = masses_of(plan.study).specs(trial.params)
    return Configuration(
        network=network,
        training=training,
        probabilistic=ProbabilisticSpec() if training.loss == "mse" else None,  # a likelihood has its variance
        data=masses_of(plan.study).data,
        data_digest=plan.header.digest,
        image_shape=plan.header.image_shape,
        split=masses_of(plan.study).split,
        scaling=data.scaling,
        seeds=seeds,
        evidence=evidence,
    )


def evidence_of(results: SweepResults, trial: TrialResult, rank: int, objective: ObjectiveSpec) -> Evidence:
    """Say why this trial: its results, what the noise cannot tell from it, and what failed and was not ranked."""
    near = ties_of(results, trial)
    failed = (
        FailedSeed(trial=other.number, seed=replicate.seed, reason=replicate.signature)
        for other in results.trials
        for replicate in other.replicates.values()
        if isinstance(replicate, FailedReplicate)
    )
    ties = (Tie(trial=t.number, value=loss_of(t)) for t in near.distinct)
    complete = {replicate.seed: replicate.value for replicate in trial.complete_replicates}
    found = {seed: complete.get(seed) for seed in sorted({*results.seeds, *complete})}
    return Evidence(
        study=results.study,
        study_digest=results.digest,
        trial=trial.number,
        params=dict(trial.params),
        rank=rank,
        of=len(results.distinct()),
        objective=f"{objective.over_seeds} of {objective.metric} over the seeds, dex^2",
        value=loss_of(trial),
        seeds=found,
        weights_of_seed=trial.best_replicate(VAL_LOSS).seed,
        margin=None if math.isnan(near.margin) else near.margin,
        ties=tuple(itertools.islice(ties, MOST_LISTED)),
        failed_seeds=tuple(itertools.islice(failed, MOST_LISTED)),
        same_network=tuple(t.number for t in near.same[:MOST_LISTED]),
    )


def _provenance(plan: Plan, results: SweepResults) -> dict[str, Any]:
    known = {"study": results.study, "study_digest": results.digest, "data_digest": plan.header.digest}
    if results.race is not None and results.race.text:
        known["settled"] = results.race.text
    return known | stamp()
