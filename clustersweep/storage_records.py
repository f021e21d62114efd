"""How a trial and its replicates are written as Optuna's params, attributes and notes, and read back."""

import dataclasses
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from clustersweep.errors import StudyChangedError
from clustersweep.network import Infeasible
from clustersweep.study import Study, axis_choices, axis_kind, changes, extends
from clustersweep.trial import ReplicateResult, Scalar, TrialResult
from clustersweep.trial import TrialState as State

# The study attribute with its definition, digest and seeds.
RECORD = "clustersweep"

_STATES: dict[TrialState, State] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "infeasible",
}


def infeasible_note(why: Infeasible) -> str:
    """Write the note that the dashboard shows beside an impossible combination (Markdown)."""
    trace = "\n".join(f"| {name} | {' x '.join(map(str, shape))} |" for name, shape in why.trace)
    return (
        f"**Impossible: {why.reason}.**\n\nRule `{why.rule}` at `{why.layer}`; no worker was used.\n\n"
        f"| layer | output |\n|---|---|\n{trace}\n| {why.layer} | impossible |\n"
    )


def distribution(name: str, values: tuple[Scalar, ...]) -> BaseDistribution:
    """Give an axis's distribution from its type, so that the dashboard draws numbers as numbers.

    Optuna lets a range grow, but never a list of choices: those are all that the schema allows.
    """
    kind = axis_kind(name)
    if kind == "choice":
        return CategoricalDistribution(axis_choices(name))
    numbers = [value for value in values if not isinstance(value, str)]
    if kind == "integer":
        return IntDistribution(int(min(numbers)), int(max(numbers)))
    return FloatDistribution(float(min(numbers)), float(max(numbers)))


def replicate_attributes(result: ReplicateResult) -> dict[str, Any]:
    """Write a replicate as two attributes: the dashboard's table stays readable beside the long curve."""
    fields = dataclasses.asdict(result)
    curve = [list(pair) for pair in fields.pop("curve")]
    if fields["val_nll"] is None:
        del fields["val_nll"]  # most networks have no variance
    return {f"curve:{result.seed}": curve, f"seed:{result.seed}": fields}


def replicates(trial: FrozenTrial) -> dict[int, ReplicateResult]:
    """Read the replicates of a trial that have ended, by seed."""
    found = {}
    for name, fields in trial.user_attrs.items():
        if name.startswith("seed:"):
            curve = tuple((a, b) for a, b in trial.user_attrs.get(f"curve:{fields['seed']}", ()))
            found[int(fields["seed"])] = ReplicateResult(**fields, curve=curve)
    return dict(sorted(found.items()))


def trial_result(trial: FrozenTrial) -> TrialResult:
    """Read a trial."""
    why = trial.user_attrs.get("infeasible")
    if why is not None:
        trace = tuple((name, tuple(shape)) for name, shape in why["trace"])
        why = Infeasible(why["rule"], why["layer"], trace, why["reason"])
    return TrialResult(
        number=trial.number,
        params=dict(trial.params),
        state=_STATES[trial.state],
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        replicates=replicates(trial),
        infeasible=why,
        supersedes=trial.user_attrs.get("supersedes"),
        parameters=trial.user_attrs.get("parameters"),
    )


def require_extension(study: Study, record: dict[str, Any], defined: dict[str, Any]) -> None:
    """Refuse a definition that neither equals the stored one nor only adds to it."""
    removed = [seed for seed in record["seeds"] if seed not in study.seeds]
    if not removed and extends(record["definition"], defined):
        return
    lines = list(changes(record["definition"], defined))
    if removed:
        lines.append(f"seeds: {record['seeds']} -> {list(study.seeds)}")
    raise StudyChangedError(
        f"the study {study.name!r} is stored with another definition (stored -> file):\n  "
        + "\n  ".join(lines)
        + "\nMore values on an axis and more seeds extend a study; for any other change give it a new name "
        "(`study:`), and what is finished stays comparable."
    )
