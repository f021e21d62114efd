"""From a sweep's results to the training package: configuration, weights and provenance, proved by reloading."""

import dataclasses
import importlib.metadata
import json
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from clustersweep import __version__
from clustersweep.errors import NothingCompleteError, StorageError
from clustersweep.home import write_atomically
from clustersweep.plan import Plan
from clustersweep.run_folder import RunFolder
from clustersweep.study import specs_for
from clustersweep.training.data import TrainingData
from clustersweep.trial import SweepResults, TrialResult, combination

FORMAT, VERSION = "clustersweep-training", 1
PACKAGES = ("clustersweep", "tensorflow", "keras", "numpy", "optuna", "ray", "astropy", "scikit-learn")
# How closely the reloaded network must give the recorded loss: another machine may sum in another order.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Exported:
    """What was exported: the trial, its rank, the seed whose weights they are, and the proof."""

    trial: TrialResult
    rank: int
    seed: int
    recorded_loss: float
    reloaded_loss: float
    folder: Path


def choose(results: SweepResults, *, rank: int = 1, number: int | None = None) -> tuple[TrialResult, int]:
    """Choose a complete trial by its rank or by its number; gives it with its rank.

    Raises:
        NothingCompleteError: There is no such complete trial.
    """
    ranked = results.ranked()
    if not ranked:
        raise NothingCompleteError(
            f"no trial of {results.study!r} is complete, so there is nothing to export. Launch the study first"
        )
    if number is not None:
        for place, trial in enumerate(ranked, start=1):
            if trial.number == number:
                return trial, place
        raise NothingCompleteError(
            f"trial {number} of {results.study!r} is not complete (or was superseded). "
            "`clustersweep report` lists those that are"
        )
    if not 1 <= rank <= len(ranked):
        raise NothingCompleteError(
            f"rank {rank} asked for, but {results.study!r} has {len(ranked)} complete trials. "
            f"Give a rank from 1 to {len(ranked)}"
        )
    return ranked[rank - 1], rank


def export(
    plan: Plan, results: SweepResults, trial: TrialResult, rank: int, data: TrainingData, files: RunFolder, to: Path
) -> Exported:
    """Write `config.yaml`, `model.keras` and `provenance.json` into the folder `to`, and prove them.

    The weights are those of the trial's best replicate. The network is built again from `config.yaml`, takes
    its weights from `model.keras`, and must give the validation loss that the sweep recorded.

    Raises:
        StorageError: The weights are not on this machine, or the reloaded network gives another loss.
    """
    # Imported here: this takes TensorFlow, which the other verbs do without.
    from clustersweep.training.checkpoint import DamagedCheckpointError, unpack_weights
    from clustersweep.training.engine import DeviceData, Trainer
    from clustersweep.training.model import load_weights, save_model

    best = trial.best_replicate
    planned = next(t for t in plan.trials if combination(t.params) == combination(trial.params))
    weights = files.weights(plan.replicate(planned, best.seed).key)
    if weights is None:
        raise StorageError(
            f"the weights of trial {trial.number}, seed {best.seed}, are not below {files.path}. They stay on the "
            "machine that launched the sweep: export there, with the same --home"
        )
    config = _config(plan, results, trial, rank, data)
    try:
        arrays = unpack_weights(weights)
    except DamagedCheckpointError as error:
        raise StorageError(
            f"the weights of trial {trial.number}, seed {best.seed}, below {files.path} are damaged ({error}). "
            "Restore them from a copy, or launch the study again under a new name"
        ) from None
    write_atomically(to / "config.yaml", (HEADER + yaml.safe_dump(config, sort_keys=False)).encode())
    network, training = specs_for(plan.study, trial.params)
    try:
        save_model(network, data.image_shape, arrays, to / "model.keras")
    except OSError as error:
        raise StorageError(f"{to / 'model.keras'} cannot be written: {error.strerror}. Choose another --to") from None
    device_data = DeviceData(data)
    reloaded = Trainer(network, training, device_data).validation_loss(
        load_weights(network, data.image_shape, to / "model.keras")
    )
    recorded = best.value or 0.0
    if abs(reloaded - recorded) > TOLERANCE * abs(recorded):
        raise StorageError(
            f"the exported network gives a validation loss of {reloaded!r}, the sweep recorded {recorded!r}: the "
            "weights or the data are not those of the sweep. Launch the study again under a new name"
        )
    proof = {"recorded_val_loss": recorded, "reloaded_val_loss": reloaded, "seed": best.seed}
    provenance = json.dumps(_provenance(plan, results) | {"verified": proof}, indent=2)
    write_atomically(to / "provenance.json", provenance.encode())
    return Exported(trial, rank, best.seed, recorded, reloaded, to)


HEADER = "# Written by `clustersweep export`. What the keys mean: README.md, `The exported configuration`.\n"


def _config(plan: Plan, results: SweepResults, trial: TrialResult, rank: int, data: TrainingData) -> dict[str, Any]:
    study = plan.study
    network, training = specs_for(study, trial.params)
    source = {name: str(value) if isinstance(value, Path) else value for name, value in _given(study.data).items()}
    return {
        "format": FORMAT,
        "version": VERSION,
        "network": _plain(network),
        "training": _plain(training),
        "data": source | {"digest": plan.header.digest, "image_shape": list(plan.header.image_shape)},
        "split": _plain(study.split),
        "scaling": _plain(data.scaling),
        "seeds": list(results.seeds),
        "evidence": {
            "study": results.study,
            "study_digest": results.digest,
            "trial": trial.number,
            "params": dict(trial.params),
            "rank": rank,
            "of": len(results.ranked()),
            "objective": f"{study.objective.over_seeds} of {study.objective.metric} over the seeds, dex^2",
            "value": trial.value,
            "seeds": {seed: r.value for seed, r in trial.replicates.items()},
            "weights_of_seed": trial.best_replicate.seed,
        },
    }


def _provenance(plan: Plan, results: SweepResults) -> dict[str, Any]:
    return {
        "study": results.study,
        "study_digest": results.digest,
        "data_digest": plan.header.digest,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Give the versions of what decides the numbers."""
    return {name: _version(name) for name in PACKAGES}


def commit() -> str | None:
    """Give the commit that clustersweep runs from, `+` appended where files differ from it; None outside git."""
    here = Path(__file__).resolve().parent
    try:
        run = {"cwd": here, "capture_output": True, "text": True, "timeout": 10, "check": True}
        head: str = subprocess.run(["git", "rev-parse", "HEAD"], **run).stdout.strip()  # type: ignore[call-overload]
        changed = subprocess.run(["git", "status", "--porcelain", "."], **run).stdout.strip()  # type: ignore[call-overload]
        return head + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _version(name: str) -> str:
    if name == "clustersweep":
        return __version__
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _given(spec: Any) -> dict[str, Any]:
    return {name: value for name, value in _plain(spec).items() if value is not None}


def _plain(spec: Any) -> dict[str, Any]:
    """Give a specification as what YAML can write: no tuples."""
    plain: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(spec).items()
    }
    return plain
