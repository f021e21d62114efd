"""The race for further seeds among the best trials of a plan: who takes part, at what cost, what is to be trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from clustersweep.study.events import DIVERGED
from clustersweep.study.plan import Plan
from clustersweep.study.race import Race, run_race
from clustersweep.study.ranking import learned_nothing
from clustersweep.study.results import CompleteReplicate, FailedReplicate, PausedReplicate, ReplicateResult, Trial
from clustersweep.study.stopping import Ladder

Standing = tuple[Mapping[int, ReplicateResult], Mapping[int, PausedReplicate]]
"""A trial's replicates that are not trained any more, and those that are at a rung, by seed."""
_NOTHING: Standing = {}, {}


@dataclass(frozen=True)
class Finalists:
    """How far the race is.

    Attributes:
        race: What was seen, trials by their place in the plan.
        wanted: The seeds that trials are to have now, those of the study included, by place; none once it is settled.
    """

    race: Race
    wanted: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


def further_seeds(plan: Plan, number: int) -> tuple[int, ...]:
    """Return so many seeds: the study's, then the next integers that it has not."""
    seeds = plan.study.seeds
    first = max(seeds) + 1
    return (*seeds, *range(first, first + number - len(seeds)))


def finalists(
    plan: Plan,
    ladder: Ladder,
    standing: Mapping[int, Standing],
    label_variance: float | None,
) -> Finalists | None:
    """Find how far the race is; None where the study has none, or its sweep is not over yet.

    Args:
        plan: What the trials belong to.
        ladder: Which of them were stopped.
        standing: Where each of them stands, by place.
        label_variance: What predicting a constant gives; None where that is not known.
    """
    rule, seeds = plan.study.extra_seeds, plan.study.seeds
    if rule is None or not plan.trials:
        return None
    for place in range(len(plan.trials)):
        if ladder.stopped_at(place) is None and not set(seeds) <= set(standing.get(place, _NOTHING)[0]):
            return None
    every = further_seeds(plan, max(rule.at_most, len(seeds)))
    values: dict[int, list[float]] = {}
    costs: dict[int, float] = {}
    spent = 0.0
    taken: set[int] = set()
    for place, trial in enumerate(plan.trials):
        own, paused = standing.get(place, _NOTHING)
        studied = [own[seed] for seed in seeds if seed in own]
        spent += _epoch_flops(trial) * sum(one.epochs for one in (*studied, *paused.values()))
        kind = plan.alike[place]
        if kind in taken or not _takes_part(own, seeds, label_variance):
            continue
        taken.add(kind)
        values[place] = []
        for seed in every:
            one = own.get(seed)
            if not isinstance(one, CompleteReplicate):
                break
            values[place].append(one.value)
        costs[place] = _epoch_flops(trial) * sum(one.epochs for one in studied) / len(studied)
    if not values:
        return None
    race = run_race(
        values, costs, rule, plan.study.metric,
        first=len(seeds), spent=spent, over_seeds=plan.study.objective.over_seeds,
    )  # fmt: skip
    return Finalists(race, {place: every[: race.seeds] for place in race.left} if race.seeds else {})


def _takes_part(own: Mapping[int, ReplicateResult], seeds: tuple[int, ...], label_variance: float | None) -> bool:
    """Say whether a trial may win: all its seeds are complete and learned something, and no further one diverged."""
    studied = [own.get(seed) for seed in seeds]
    further = [one for seed, one in own.items() if seed not in seeds]
    return all(
        isinstance(one, CompleteReplicate) and not learned_nothing(one.value, label_variance) for one in studied
    ) and not any(isinstance(one, FailedReplicate) and one.signature == DIVERGED for one in further)


def _epoch_flops(trial: Trial) -> float:
    return trial.cost_flops / trial.epochs
