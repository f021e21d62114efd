"""How a trial and its replicates are written as Optuna's params, attributes and notes, and read back."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from clustersweep.errors import StudyChangedError
from clustersweep.study.definition import changes, extends, filled
from clustersweep.study.events import Device
from clustersweep.study.keys import Axis, Params, Scalar
from clustersweep.study.results import ReplicateResult, Trial, TrialResult
from clustersweep.study.results import TrialState as State
from clustersweep.study.study import Study
from clustersweep.study.task import Infeasible, Task, same

# The study attribute with its definition, digest and seeds.
RECORD = "clustersweep"
# The study attribute with how long its launches took.
LAUNCHES = "launches"
# The dashboard looks through all notes of a study for every one of its trials; the attribute says the same.
MAX_NOTES = 100
NOTE_PART = 2045  # characters; the dashboard cuts longer notes like this, for databases with short columns

_STATES: dict[TrialState, State] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "infeasible",
}


def notes(impossible: Mapping[int, Infeasible]) -> dict[str, str | int]:
    """Return attributes of the study with which the dashboard shows why trials, by identity, are impossible.

    As its own `save_note` writes them, which takes over a second to import, and reads all notes before it writes one.
    """
    parts: dict[str, str | int] = {}
    for trial_id, why in itertools.islice(impossible.items(), MAX_NOTES):
        note = _infeasible_note(why)
        for part, start in enumerate(range(0, len(note), NOTE_PART)):
            parts[f"dashboard:{trial_id}:note_str:{part}"] = note[start : start + NOTE_PART]
        parts[f"dashboard:{trial_id}:note_ver"] = 1
    return parts


def _infeasible_note(why: Infeasible) -> str:
    """Write the note that the dashboard shows beside an impossible combination (Markdown)."""
    trace = "\n".join(f"| {name} | {' x '.join(map(str, shape))} |" for name, shape in why.trace)
    return (
        f"**Impossible: {why.reason}.**\n\nRule `{why.rule}` at `{why.layer}`; no worker was used.\n\n"
        f"| layer | output |\n|---|---|\n{trace}\n| {why.layer} | impossible |\n"
    )


def distribution(axis: Axis, values: tuple[Scalar, ...]) -> BaseDistribution:
    """Return an axis's distribution from its type, so that the dashboard draws numbers as numbers.

    Optuna lets a range grow, but never a list of choices: those are all that the schema allows.
    """
    if axis.kind == "choice":
        return CategoricalDistribution(axis.choices)
    numbers = [value for value in values if not isinstance(value, str)]
    if axis.kind == "integer":
        return IntDistribution(int(min(numbers)), int(max(numbers)))
    return FloatDistribution(float(min(numbers)), float(max(numbers)))


def replicate_attribute(result: ReplicateResult) -> dict[str, Any]:
    """Write what a replicate came to as an attribute of its trial, which the dashboard shows."""
    # Not `asdict`, which copies the curve pair by pair.
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result) if field.name != "curve"}
    if fields["val_nll"] is None:
        del fields["val_nll"]  # most networks have no variance
    fields["devices"] = [vars(device) for device in result.devices]
    if not result.devices:
        del fields["devices"]
    return {f"seed:{result.seed}": fields}


def curve_attribute(result: ReplicateResult) -> dict[str, Any]:
    """Write a replicate's curve as a system attribute: the dashboard, which sends every other, does not send these."""
    return {f"curve:{result.seed}": result.curve}


def replicates(trial: FrozenTrial) -> dict[int, ReplicateResult]:
    """Read the replicates of a trial that have ended, by seed."""
    found = {}
    for name, fields in trial.user_attrs.items():
        if name.startswith("seed:"):
            key = f"curve:{fields['seed']}"  # among the user's attributes in studies that were stored first
            curve = tuple((a, b) for a, b in trial.system_attrs.get(key) or trial.user_attrs.get(key, ()))
            devices = tuple(Device(**device) for device in fields.get("devices", ()))
            found[int(fields["seed"])] = ReplicateResult(**{**fields, "curve": curve, "devices": devices})
    return dict(sorted(found.items()))


def waiting_trial(
    trial: Trial, done: Mapping[int, ReplicateResult], supersedes: int | None, spaces: Mapping[str, BaseDistribution]
) -> FrozenTrial:
    """Return a trial to be stored that is still to be trained."""
    attributes: dict[str, Any] = dict(trial.facts)
    if supersedes is not None:
        attributes["supersedes"] = supersedes
    curves: dict[str, Any] = {}
    for result in done.values():
        attributes |= replicate_attribute(result)
        curves |= curve_attribute(result)
    return create_trial(
        state=TrialState.WAITING, params=dict(trial.params), distributions=dict(spaces), user_attrs=attributes,
        system_attrs=curves,
    )  # fmt: skip


def infeasible_trial(params: Params, why: Infeasible, spaces: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """Return a trial to be stored that arithmetic has rejected."""
    return create_trial(
        state=TrialState.PRUNED,
        params=dict(params),
        distributions=dict(spaces),
        user_attrs={"infeasible": dataclasses.asdict(why)},
    )


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


def same_networks(
    task: type[Task], definition: Mapping[str, Any], trials: list[TrialResult]
) -> tuple[TrialResult, ...]:
    """Return the trials, those marked that are trained as an earlier one is."""
    possible = [trial for trial in trials if trial.infeasible is None]
    marked = {trial.number: trial for trial in trials}
    stored = task.of_definition(filled(task, definition))
    for place, of, why in same(stored, [trial.params for trial in possible]):
        trial = possible[place]
        marked[trial.number] = dataclasses.replace(trial, same_as=possible[of].number, same_why=why)
    return tuple(marked.values())


def require_extension(study: Study, record: dict[str, Any], defined: dict[str, Any]) -> None:
    """Refuse a definition that neither equals the stored one nor only adds to it."""
    removed = [seed for seed in record["seeds"] if seed not in study.seeds]
    task = type(study.task)
    if not removed and extends(task, record["definition"], defined):
        return
    lines = list(changes(task, record["definition"], defined))
    if removed:
        lines.append(f"seeds: {record['seeds']} -> {list(study.seeds)}")
    raise StudyChangedError(
        f"the study {study.name!r} is stored with another definition (stored -> file):\n  "
        + "\n  ".join(lines)
        + "\nMore values on an axis and more seeds extend a study; for any other change give it a new name "
        "(`study:`), and what is finished stays comparable."
    )
