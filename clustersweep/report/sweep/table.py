"""The results as plain rows and values: results.csv, and a summary for JSON. Pure."""

import csv
import io
from collections.abc import Iterator

from clustersweep.report.sweep.verdict import r_squared, rmse
from clustersweep.study.objective import Metric
from clustersweep.study.results import (
    CompleteReplicate,
    FailedReplicate,
    PausedReplicate,
    ReplicateResult,
    SweepResults,
    TrialResult,
    TrialState,
)

Row = dict[str, object]


# The columns that every table has beside the axes and the metric.
_BEFORE = ("supersedes", "trial_state")
_SEED = ("parameters", "seed", "state")
_AFTER = (
    "best_epoch", "epochs_trained", "seconds", "resumed", "worker", "rule", "layer", "reason", "error", "device",
    "device_model", "threads", "precision", "deterministic", "same_as",
)  # fmt: skip
_TAKEN = {"trial", *_BEFORE, *_SEED, *_AFTER, "code"}


def fixed_columns(metric: Metric) -> tuple[str, ...]:
    """Return the columns after the number of the trial and the axes."""
    return (*_BEFORE, metric.value_column, *_SEED, _metric_column(metric), *metric.others, *_AFTER)


def _metric_column(metric: Metric) -> str:
    """Return the column of the metric, which may be called as one of those that every table has."""
    return f"metric {metric.column}" if metric.column in _TAKEN else metric.column


def results_csv(results: SweepResults) -> bytes:
    """Write one row for each replicate, and one for each impossible combination.

    Losses have all their digits; what is not known is empty.
    """
    text = io.StringIO()
    fixed = fixed_columns(results.metric)
    names = ["trial", *map(_axis_column, results.axes), *fixed, *_own_columns(results)]
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for trial in results.trials:
        for row in _rows(results, trial):
            writer.writerow({name: "" if value is None else value for name, value in row.items()})
    return text.getvalue().encode()


def _axis_column(axis: str) -> str:
    """Return the column of an axis, likewise."""
    return f"axis {axis}" if axis in _TAKEN else axis


def _own_columns(results: SweepResults) -> list[str]:
    """Return the columns of what trainers of one's own told beside their metric; none where there were none."""
    ended = [replicate for trial in results.trials for replicate in trial.complete_replicates]
    names = dict.fromkeys(name for replicate in ended for name in replicate.metrics)
    taken = {*_TAKEN, *fixed_columns(results.metric), *results.axes}
    return [*(name for name in names if name not in taken), *(["code"] if any(r.code for r in ended) else [])]


def _rows(results: SweepResults, trial: TrialResult) -> Iterator[Row]:
    common: Row = {
        "trial": trial.number,
        **{_axis_column(axis): value for axis, value in trial.params.items()},
        "supersedes": trial.supersedes,
        "trial_state": trial.state,
        results.metric.value_column: trial.value,
        "parameters": trial.parameters,
        "same_as": trial.same_as,
    }
    if trial.infeasible is not None:
        why = trial.infeasible
        yield {**common, "state": TrialState.INFEASIBLE, "rule": why.rule, "layer": why.layer, "reason": why.reason}
        return
    if trial.stopped is not None:
        common["reason"] = trial.stopped.reason
    for seed in sorted({*results.seeds, *trial.replicates, *trial.paused}):
        replicate = trial.replicates.get(seed) or trial.paused.get(seed)
        if replicate is None:
            yield {**common, "seed": seed, "state": TrialState.WAITING}
            continue
        yield {
            **(replicate.metrics if isinstance(replicate, CompleteReplicate) else {}),
            **common,
            "seed": seed,
            "state": replicate.state,
            "epochs_trained": replicate.epochs,
            "seconds": round(replicate.seconds, 3),
            "worker": replicate.worker,
            **_ended(replicate, results),
        }


def _ended(replicate: ReplicateResult | PausedReplicate, results: SweepResults) -> Row:
    metric, variance = results.metric, results.label_variance
    if isinstance(replicate, PausedReplicate):
        return {_metric_column(metric): replicate.value}
    if isinstance(replicate, FailedReplicate):
        return {"resumed": 0, "error": " ".join(replicate.error.split())}  # one row, one line, for grep
    return {
        "code": replicate.code,
        _metric_column(metric): replicate.value,
        "rmse_dex": rmse(replicate.value) if metric.square_of else None,
        "r2": r_squared(replicate.value, variance) if variance else None,
        "val_nll": replicate.val_nll,
        "best_epoch": replicate.best_epoch,
        "resumed": replicate.resumed,
        **_devices(replicate),
    }


def _devices(replicate: CompleteReplicate) -> Row:
    """Return what computed a replicate; of several, each, in their order."""
    names = {"device": "kind", "device_model": "model", "threads": "threads", "precision": "precision"}
    names["deterministic"] = "deterministic"
    return {
        column: "; ".join(dict.fromkeys(str(getattr(device, name)) for device in replicate.devices)) or None
        for column, name in names.items()
    }


def summary(results: SweepResults) -> dict[str, object]:
    """Return the results as plain values for JSON; `best` is None while no trial is complete."""
    ranked = results.ranked()
    return {
        "study": results.study,
        "digest": results.digest,
        "best": _plain(ranked[0]) if ranked else None,
        "trials": [_plain(trial) for trial in ranked],
        "infeasible": [
            {"number": t.number, "params": dict(t.params), "rule": t.infeasible.rule, "layer": t.infeasible.layer,
             "trace": [[name, list(shape)] for name, shape in t.infeasible.trace]}
            for t in results.trials if t.infeasible is not None
        ],
        "stopped": [
            {"number": t.number, "params": dict(t.params), "rung": t.stopped.epoch, "rank": t.stopped.rank,
             "among": t.stopped.among, "value": t.stopped.value}
            for t in results.trials if t.stopped is not None
        ],
        "failed": [
            {"number": t.number, "params": dict(t.params)} for t in results.trials if t.state == TrialState.FAILED
        ],
    }  # fmt: skip


def _plain(trial: TrialResult) -> dict[str, object]:
    seeds = {str(r.seed): r.value for r in trial.complete_replicates}
    return {"number": trial.number, "params": dict(trial.params), "value": trial.value, "seeds": seeds}
