"""The results as plain rows and values: results.csv, and a summary for JSON. Pure."""

import csv
import io
from collections.abc import Iterator

from clustersweep.report.sweep.verdict import r_squared, rmse
from clustersweep.study.objective import Metric
from clustersweep.study.results import (
    CompleteReplicate,
    FailedReplicate,
    ReplicateResult,
    SweepResults,
    TrialResult,
    TrialState,
)

Row = dict[str, object]


def fixed_columns(metric: Metric) -> tuple[str, ...]:
    """Return the columns after the number of the trial and the axes."""
    return (
        "supersedes", "trial_state", metric.value_column, "parameters", "seed", "state", metric.column,
        *metric.others, "best_epoch", "epochs_trained", "seconds", "resumed", "worker", "rule", "layer",
        "reason", "error", "device", "device_model", "threads", "precision", "deterministic", "same_as",
    )  # fmt: skip


def results_csv(results: SweepResults) -> bytes:
    """Write one row for each replicate, and one for each impossible combination.

    Losses have all their digits; what is not known is empty.
    """
    text = io.StringIO()
    names = ["trial", *results.axes, *fixed_columns(results.metric)]
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for trial in results.trials:
        for row in _rows(results, trial):
            writer.writerow({name: "" if value is None else value for name, value in row.items()})
    return text.getvalue().encode()


def _rows(results: SweepResults, trial: TrialResult) -> Iterator[Row]:
    common: Row = {
        "trial": trial.number,
        **trial.params,
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
    for seed in sorted({*results.seeds, *trial.replicates}):
        replicate = trial.replicates.get(seed)
        if replicate is None:
            yield {**common, "seed": seed, "state": TrialState.WAITING}
            continue
        yield {
            **common,
            "seed": seed,
            "state": replicate.state,
            "epochs_trained": replicate.epochs,
            "seconds": round(replicate.seconds, 3),
            "worker": replicate.worker,
            **_ended(replicate, results),
        }


def _ended(replicate: ReplicateResult, results: SweepResults) -> Row:
    metric, variance = results.metric, results.label_variance
    if isinstance(replicate, FailedReplicate):
        return {"resumed": 0, "error": " ".join(replicate.error.split())}  # one row, one line, for grep
    return {
        metric.column: replicate.value,
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
        "failed": [
            {"number": t.number, "params": dict(t.params)} for t in results.trials if t.state == TrialState.FAILED
        ],
    }  # fmt: skip


def _plain(trial: TrialResult) -> dict[str, object]:
    seeds = {str(r.seed): r.value for r in trial.complete_replicates}
    return {"number": trial.number, "params": dict(trial.params), "value": trial.value, "seeds": seeds}
