"""How a trial and its replicates are written as Optuna's params, attributes and notes, and read back."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from clustersweep.errors import StudyChangedError
from clustersweep.study.definition import changes, extends
from clustersweep.study.events import Device
from clustersweep.study.keys import Axis, Params, Scalar
from clustersweep.study.race import Entrant, Look, Race, Settled
from clustersweep.study.results import (
    CompleteReplicate,
    FailedReplicate,
    PausedReplicate,
    ReplicateResult,
    ReplicateState,
    StoppedAt,
    Trial,
    TrialResult,
)
from clustersweep.study.results import TrialState as State
from clustersweep.study.study import Study
from clustersweep.study.task import Infeasible, Task, same

# The study attribute with its definition, digest and seeds.
RECORD = "clustersweep"
# The study attribute with how long its launches took.
LAUNCHES = "launches"
# The study attribute with what predicting a constant gives.
VARIANCE = "label_variance"
# The study attribute with every code of one's own that it was launched with.
CODES = "codes"
# The attribute of a trial that a rung has stopped: where, and why.
STOPPED = "stopped"
# The study attribute with how far the race for further seeds is.
RACE = "race"
# The study attribute with the rules by which its launches stopped trials, and since when.
RULES = "rules"
# The key of a definition, and the attribute of its trials, that a trainer of one's own has raised to train anew.
VERSION = "version"
# The dashboard looks through all notes of a study for every one of its trials; the attribute says the same.
MAX_NOTES = 100
NOTE_PART = 2045  # characters; the dashboard cuts longer notes like this, for databases with short columns


@dataclass(frozen=True, kw_only=True)
class TrialUpdate:
    """What is changed of a trial that is not finished.

    Attributes:
        curve: Intermediate values by step.
        user_attributes: Attributes that the dashboard shows.
        system_attributes: Attributes that it does not.
        state: The state it gets in the end. One that is running already stays as it is when it is started.
        value: Its value, where it is complete.
    """

    curve: Mapping[int, float] = field(default_factory=dict)
    user_attributes: Mapping[str, Any] = field(default_factory=dict)
    system_attributes: Mapping[str, Any] = field(default_factory=dict)
    state: TrialState | None = None
    value: float | None = None


_STATES: dict[TrialState, State] = {
    TrialState.WAITING: State.WAITING,
    TrialState.RUNNING: State.RUNNING,
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.FAIL: State.FAILED,
    TrialState.PRUNED: State.INFEASIBLE,  # or stopped, where that attribute says so
}


def notes(impossible: Mapping[int, Infeasible]) -> dict[str, str | int]:
    """Return attributes of the study with which the dashboard shows why trials, by identity, are impossible.

    As its own `save_note` writes them, which takes over a second to import, and reads all notes before it writes one.
    """
    parts: dict[str, str | int] = {}
    for trial_id, why in itertools.islice(impossible.items(), MAX_NOTES):
        parts |= _note(trial_id, _infeasible_note(why))
    return parts


def stopped_note(trial_id: int, stopped: StoppedAt) -> dict[str, str | int]:
    """Return attributes of the study with which the dashboard shows why a trial was stopped; see `notes`."""
    text = (
        f"**Stopped early: {stopped.reason}.**\n\nIt keeps its checkpoints, and goes on where the rule is loosened.\n"
    )
    return _note(trial_id, text)


def _note(trial_id: int, text: str) -> dict[str, str | int]:
    parts = {
        f"dashboard:{trial_id}:note_str:{part}": text[start : start + NOTE_PART]
        for part, start in enumerate(range(0, len(text), NOTE_PART))
    }
    return {**parts, f"dashboard:{trial_id}:note_ver": 1}


def _infeasible_note(why: Infeasible) -> str:
    """Write the note that the dashboard shows beside an impossible combination (Markdown)."""
    if not why.trace:
        return f"**Impossible: {why.reason}.**\n\nRule `{why.rule}`; no worker was used.\n"
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


def replicate_attribute(result: ReplicateResult | PausedReplicate) -> dict[str, Any]:
    """Write what a replicate came to, or how far it is, as an attribute of its trial, which the dashboard shows."""
    # The same names for both, in this order, as they have been stored from the beginning.
    complete = result if isinstance(result, CompleteReplicate) else None
    failed = result if isinstance(result, FailedReplicate) else None
    fields: dict[str, Any] = {
        "seed": result.seed,
        "state": result.state.value,
        "value": None if isinstance(result, FailedReplicate) else result.value,
        "best_epoch": complete.best_epoch if complete else 0,
        "epochs": result.epochs,
        "seconds": result.seconds,
        "worker": result.worker,
        "error": failed.error if failed else "",
        "signature": failed.signature if failed else "",
        "resumed": complete.resumed if complete else 0,
    }
    if isinstance(result, PausedReplicate):
        fields["key"] = result.key
    if complete and complete.val_nll is not None:  # most networks have no variance
        fields["val_nll"] = complete.val_nll
    if complete and complete.devices:
        fields["devices"] = [vars(device) for device in complete.devices]
    if complete and complete.metrics:
        fields["metrics"] = dict(complete.metrics)
    if complete and complete.code:
        fields["code"] = complete.code
    return {f"seed:{result.seed}": fields}


def curve_attribute(result: ReplicateResult | PausedReplicate) -> dict[str, Any]:
    """Write a replicate's curve as a system attribute: the dashboard, which sends every other, does not send these."""
    return {f"curve:{result.seed}": result.curve}


def replicate_update(result: ReplicateResult | PausedReplicate) -> TrialUpdate:
    """Return what is written of a trial when a replicate of it has ended, or got to a rung."""
    return TrialUpdate(user_attributes=replicate_attribute(result), system_attributes=curve_attribute(result))


def replicates(trial: FrozenTrial) -> tuple[dict[int, ReplicateResult], dict[int, PausedReplicate]]:
    """Read the replicates of a trial that have ended, and those that are at a rung, by seed."""
    ended: dict[int, ReplicateResult] = {}
    paused: dict[int, PausedReplicate] = {}
    every = {int(fields["seed"]): fields for name, fields in trial.user_attrs.items() if name.startswith("seed:")}
    for seed, fields in sorted(every.items()):
        key = f"curve:{seed}"  # among the user's attributes in studies that were stored first
        curve = tuple((a, b) for a, b in trial.system_attrs.get(key) or trial.user_attrs.get(key, ()))
        found = _replicate(fields, curve)
        if isinstance(found, PausedReplicate):
            paused[seed] = found
        else:
            ended[seed] = found
    return ended, paused


def _replicate(fields: Mapping[str, Any], curve: tuple[tuple[float, float], ...]) -> ReplicateResult | PausedReplicate:
    common = {name: fields[name] for name in ("seed", "epochs", "seconds", "worker")}
    if fields["state"] == ReplicateState.PAUSED:
        return PausedReplicate(**common, curve=curve, value=fields["value"], key=fields["key"])
    if fields["state"] == ReplicateState.FAILED:
        return FailedReplicate(
            **common, curve=curve, error=fields.get("error", ""), signature=fields.get("signature", "")
        )
    own = {name: fields[name] for name in ("value", "best_epoch")}
    own |= {name: fields[name] for name in ("metrics", "code") if name in fields}
    devices = tuple(Device(**device) for device in fields.get("devices", ()))
    return CompleteReplicate(
        **common, **own, curve=curve, resumed=fields.get("resumed", 0), val_nll=fields.get("val_nll"), devices=devices
    )


def stopped_update(stopped: StoppedAt) -> TrialUpdate:
    """Return what is written of a trial that a rung has stopped."""
    attributes = {STOPPED: {**dataclasses.asdict(stopped), "reason": stopped.reason}}
    return TrialUpdate(user_attributes=attributes, state=TrialState.PRUNED)


def race_attribute(race: Race) -> dict[str, Any]:
    """Write how far a race is as an attribute of its study."""
    looks = [
        {
            "seeds": look.seeds,
            "noise": _finite(look.noise),
            "margin": _finite(look.margin),
            "trials": [[one.trial, _finite(one.value), one.out] for one in look.entrants],
        }
        for look in race.looks
    ]
    return {"looks": looks, "left": list(race.left), "seeds": race.seeds, "settled": race.settled}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def race_of(attribute: Mapping[str, Any] | None) -> Race | None:
    """Read it."""
    if attribute is None:
        return None

    def number(value: float | None) -> float:
        return math.nan if value is None else value

    looks = tuple(
        Look(
            look["seeds"], number(look["noise"]), number(look["margin"]),
            tuple(Entrant(trial, number(value), out) for trial, value, out in look["trials"]),
        )
        for look in attribute["looks"]
    )  # fmt: skip
    settled = None if attribute["settled"] is None else Settled(attribute["settled"])
    return Race(looks, tuple(attribute["left"]), attribute["seeds"], settled)


def version_attribute(definition: Mapping[str, Any]) -> dict[str, int]:
    """Return the attribute that trials have where a study's definition has a version."""
    return {VERSION: definition[VERSION]} if VERSION in definition else {}


def of_version(definition: Mapping[str, Any], trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return those trials that belong to a definition: a version that was raised begins with none."""
    wanted = version_attribute(definition).get(VERSION)
    return [trial for trial in trials if trial.user_attrs.get(VERSION) == wanted]


def waiting_trial(
    trial: Trial,
    done: Iterable[ReplicateResult | PausedReplicate],
    supersedes: int | None,
    spaces: Mapping[str, BaseDistribution],
    version: Mapping[str, int],
) -> FrozenTrial:
    """Return a trial to be stored that is still to be trained."""
    attributes: dict[str, Any] = {**trial.facts, **version}
    if supersedes is not None:
        attributes["supersedes"] = supersedes
    curves: dict[str, Any] = {}
    for result in done:
        attributes |= replicate_attribute(result)
        curves |= curve_attribute(result)
    return create_trial(
        state=TrialState.WAITING, params=dict(trial.params), distributions=dict(spaces), user_attrs=attributes,
        system_attrs=curves,
    )  # fmt: skip


def infeasible_trial(
    params: Params, why: Infeasible, spaces: Mapping[str, BaseDistribution], version: Mapping[str, int]
) -> FrozenTrial:
    """Return a trial to be stored that arithmetic has rejected."""
    return create_trial(
        state=TrialState.PRUNED,
        params=dict(params),
        distributions=dict(spaces),
        user_attrs={"infeasible": dataclasses.asdict(why), **version},
    )


def trial_result(trial: FrozenTrial) -> TrialResult:
    """Read a trial."""
    why = trial.user_attrs.get("infeasible")
    if why is not None:
        trace = tuple((name, tuple(shape)) for name, shape in why["trace"])
        why = Infeasible(why["rule"], why["layer"], trace, why["reason"])
    stopped = trial.user_attrs.get(STOPPED) if trial.state == TrialState.PRUNED else None
    ended, paused = replicates(trial)
    return TrialResult(
        number=trial.number,
        params=dict(trial.params),
        state=_STATES[trial.state] if stopped is None else State.STOPPED,
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        replicates=ended,
        infeasible=why,
        supersedes=trial.user_attrs.get("supersedes"),
        parameters=trial.user_attrs.get("parameters"),
        paused=paused,
        stopped=None if stopped is None else StoppedAt(**{k: v for k, v in stopped.items() if k != "reason"}),
    )


def marked_alike(task: Task, trials: list[TrialResult]) -> tuple[TrialResult, ...]:
    """Return the trials, those marked that are trained as an earlier one is."""
    possible = [trial for trial in trials if trial.infeasible is None]
    marked = {trial.number: trial for trial in trials}
    for place, of, why in same(task, [trial.params for trial in possible]):
        trial = possible[place]
        marked[trial.number] = dataclasses.replace(trial, same_as=possible[of].number, same_why=why)
    return tuple(marked.values())


def require_same_code(
    study: Study, record: Mapping[str, Any], defined: Mapping[str, Any], trials: Iterable[TrialResult]
) -> None:
    """Refuse code of one's own that is another than that which the stored study was launched with last.

    Args:
        study: As the file has it now.
        record: What is stored of it.
        defined: Its definition now.
        trials: Those of this definition that are stored; where none was begun, any code will do.

    Raises:
        StudyChangedError: It has changed, and the version is the same.
    """
    code, stored, version = study.task.code, record.get("code"), record["definition"].get(VERSION, 1)
    if code is None or stored in (None, code.digest) or defined.get(VERSION) != version:
        return
    if all(trial.state in (State.WAITING, State.INFEASIBLE) for trial in trials):
        return
    raise StudyChangedError(
        f"the code of the study {study.name!r} has changed since it was launched: {code.words} has the digest "
        f"{code.digest}, it had {stored}. Where that changes the numbers, raise `version: {version}` to "
        f"{version + 1}, and all is trained anew; where it does not, launch with --same-code, which is recorded. "
        f"What it was is kept in `code/{stored}` of the study's run folder"
    )


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
