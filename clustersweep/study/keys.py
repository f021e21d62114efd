"""The keys of a study file that every task has, and which keys of a task may be axes. Reads no file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

Scalar = int | float | str
Params = Mapping[str, Scalar]

KEYS: Mapping[str, str] = {
    "study": "Name of the study, also in Optuna: letters, digits, '.', '_' and '-'.",
    "search_space": "The axes: any scalar key of `network` or `training`, each with the values to try.",
    "seeds": "Each combination is trained once with each of these.",
    "objective": "What makes one trial better than another.",
    "objective.metric": "val_loss: mean squared error of log10 M500c on the validation part, in dex^2.",
    "objective.over_seeds": "How the values of a trial's seeds become one.",
    "stop_early": "Successive halving over epochs stops worse trials; it may be changed, and taken away, at any time.",
    "stop_early.rungs": "Epochs after which trials are compared; auto: 1, 3, 10, 30, ... from 2 % of the training on.",
    "stop_early.keep": "Share of the trials that a rung keeps at least.",
    "stop_early.spare_ties": "Keep also what the noise of the seeds cannot tell from the best trial of the rung.",
    "stop_early.noise": "Standard deviation of a trial's value over seeds, where it is known; else from the seeds.",
    "extra_seeds": "The best trials get further seeds, until they can be told apart; it may be changed at any time.",
    "extra_seeds.at_most": "Seeds of a trial, those of the study included.",
    "extra_seeds.budget": "Share of what the sweep has cost that the further seeds may cost.",
    "resources": "What each worker gets; it does not decide what the results mean.",
    "resources.cpus_per_worker": "CPU threads of a worker.",
    "resources.gpus_per_worker": "Share of a GPU for a worker, at most 1; auto: spread over the GPUs that there are.",
    "resources.deterministic": "On GPUs: reruns on one GPU give the same bits, more slowly. CPUs always do.",
}


@dataclass(frozen=True)
class Axis:
    """A scalar key that may be an axis.

    Attributes:
        section: Where it stands in the study file.
        annotation: The type of one value, with its constraints.
        kind: How its values are ordered: as whole numbers, as numbers, or not at all.
        choices: All values that the schema allows, for a choice; else empty.
    """

    section: str
    annotation: Any
    kind: Literal["integer", "number", "choice"]
    choices: tuple[Scalar, ...] = ()


def axis_of(values: Sequence[Scalar]) -> Axis:
    """Return the axis that values make, where any name may be one: words, and true and false, are choices."""
    if any(isinstance(value, str | bool) for value in values):
        return Axis("search_space", str, "choice", tuple(values))
    whole = all(isinstance(value, int) for value in values)
    return Axis("search_space", int if whole else float, "integer" if whole else "number")


def axes_of(**sections: type) -> dict[str, Axis]:
    """Return the scalar keys of sections of a study file, given as dataclasses by name."""
    found: dict[str, Axis] = {}
    for section, spec in sections.items():
        plain = get_type_hints(spec)
        for name, annotation in get_type_hints(spec, include_extras=True).items():
            if get_origin(plain[name]) is Literal:
                found[name] = Axis(section, annotation, "choice", get_args(plain[name]))
            elif plain[name] in (int, float):
                found[name] = Axis(section, annotation, "integer" if plain[name] is int else "number")
    return found
