"""From the results of a trainer of one's own: the best combination, what it was trained by, and where from."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clustersweep.files import require_unedited, write_atomically
from clustersweep.own.task import OwnTask
from clustersweep.provenance import stamp
from clustersweep.study.definition import replicate_key
from clustersweep.study.ranking import Ties, ties_of
from clustersweep.study.results import SweepResults, TrialResult, loss_of
from clustersweep.study.study import Study
from clustersweep.sweep.run_folder import RunFolder

BEST, SAVED, PROVENANCE, CODE = "best.yaml", "saved.bin", "provenance.json", "code"
HEAD = (
    "# The best combination of a sweep, as `clustersweep export` wrote it: params and settings are what the function\n"
    "# was given, code/ is what it was, saved.bin what its best seed gave to `run.save` last.\n\n"
)


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        folder: Where.
        trial: Which trial.
        rank: Its rank.
        of: Of how many.
        near: What the noise of the seeds cannot tell from it.
        saved: Whether `run.save` was called in its best seed.
        code: Digest of the code that is beside it; empty where that is not kept on this machine.
    """

    folder: Path
    trial: TrialResult
    rank: int
    of: int
    near: Ties
    saved: bool
    code: str


def export(
    study: Study,
    results: SweepResults,
    trial: TrialResult,
    rank: int,
    *,
    files: RunFolder,
    to: Path,
    force: bool = False,
) -> Exported:
    """Write `best.yaml`, `provenance.json`, the code, and what `run.save` gave last, into the folder `to`.

    Args:
        study: The study.
        results: Its results.
        trial: What to export.
        rank: Its rank.
        files: Where the sweep left the code and the states.
        to: The folder; made if missing.
        force: Whether to replace a `best.yaml` that differs from what is written.

    Raises:
        ConfigurationError: A `best.yaml` is there that differs: a person may have edited it.
        StorageError: The folder cannot be written to.
    """
    best = trial.best_replicate(results.metric)
    near = ties_of(results, trial)
    saved = files.weights(replicate_key(study, "", trial.params, best.seed))
    code = _code(study, best.code, files)
    content = {**_described(study, results, trial, near), "rank": rank, "of": len(results.distinct())}
    content |= {"code": {"digest": best.code, "files": sorted(code)}}
    if saved is not None:
        content |= {"saved": {"file": SAVED, "seed": best.seed, "bytes": len(saved)}}
    text = (HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)).encode()
    if not force:
        require_unedited(to / BEST, text)
    for name, source in code.items():
        write_atomically(to / CODE / name, source, what="code")
    if saved is not None:
        write_atomically(to / SAVED, saved, what="saved state")
    else:
        (to / SAVED).unlink(missing_ok=True)  # of another trial that was exported here
    provenance = {"study": results.study, "study_digest": results.digest, **stamp()}
    if results.race is not None and results.race.text:
        provenance["settled"] = results.race.text
    write_atomically(to / PROVENANCE, json.dumps(provenance, indent=2).encode())
    write_atomically(to / BEST, text, what="best combination")
    return Exported(to, trial, rank, len(results.distinct()), near, saved is not None, best.code if code else "")


def _described(study: Study, results: SweepResults, trial: TrialResult, near: Ties) -> dict[str, Any]:
    """Say what was best, and how sure that is, as plain values."""
    task, metric = study.task, results.metric
    if not isinstance(task, OwnTask):
        raise TypeError(f"the study {study.name} names no function")
    seeds = {
        replicate.seed: {metric.name: replicate.value, **replicate.metrics, "best_epoch": replicate.best_epoch}
        for replicate in trial.complete_replicates
    }
    judged: dict[str, Any] = {"metric": metric.name, "direction": metric.direction, "over_seeds": results.over_seeds}
    judged |= {"unit": metric.unit} if metric.unit else {}
    return {
        "study": results.study,
        "study_digest": results.digest,
        "task": task.task,
        "version": task.version,
        "params": dict(trial.params),
        "settings": task.settings,
        "objective": judged,
        "value": loss_of(trial),
        "seeds": seeds,
        "trial": trial.number,
        "margin": None if math.isnan(near.margin) else near.margin,
        "ties": [{"trial": tie.number, "value": loss_of(tie), "params": dict(tie.params)} for tie in near.trials],
    }


def _code(study: Study, digest: str, files: RunFolder) -> Mapping[str, bytes]:
    """Return the code that trained a replicate, from where its launch kept it, or as it still is; else nothing."""
    kept = files.read_code(digest)
    code = study.task.code
    return code.files if not kept and code is not None and code.digest == digest else kept
