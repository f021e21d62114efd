"""From a study to a plan: every combination, feasible or not, in the order of work, with what it costs.

What `plan` prints is the very object that `launch` executes.
"""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clustersweep.errors import Problem, StudyError
from clustersweep.files import json_digest
from clustersweep.study.definition import Definition, definition, replicate_key
from clustersweep.study.keys import Params
from clustersweep.study.results import Replicate, Trial
from clustersweep.study.stopping import Ladder, StopEarly, expected_epochs
from clustersweep.study.study import Study
from clustersweep.study.task import Infeasible, same


@dataclass(frozen=True)
class Plan:
    """What a launch will do.

    Attributes:
        study: What was asked for.
        header: What is known of the data (`study.task.DataHeader`).
        definition: The study's canonical definition; None while the data's digest is unknown.
        digest: Digest of the definition; None likewise.
        trials: Feasible combinations, longest first.
        infeasible: The others, each with the reason, in the order of the grid.
    """

    study: Study
    header: Any
    definition: Definition | None
    digest: str | None
    trials: tuple[Trial, ...]
    infeasible: tuple[tuple[Params, Infeasible], ...]

    @functools.cached_property
    def same(self) -> tuple[tuple[Params, Params, str], ...]:
        """Feasible combinations that are trained as another one is, with that one, and why; in the grid's order."""
        axes = self.study.axes
        places = {axis: {value: place for place, value in enumerate(values)} for axis, values in axes.items()}
        grid = sorted(self.trials, key=lambda t: [places[axis][t.params[axis]] for axis in axes])
        found = same(self.study.task, [trial.params for trial in grid])
        return tuple((grid[place].params, grid[of].params, why) for place, of, why in found)

    @functools.cached_property
    def rungs(self) -> tuple[int, ...]:
        """Epochs after which trials are compared where the study stops early; none where it does not."""
        rule, most = self.study.stop_early, max((trial.epochs for trial in self.trials), default=0)
        if rule is None:
            return ()
        if rule.rungs != "auto" and most == 1:  # a trainer of one's own that has not said how many epochs it has
            return rule.rungs
        return rule.below(most)

    def epochs_ahead(self, epochs: int, done: int) -> float:
        """Return how many of a training's epochs are to come beyond those done, if rungs keep their share only."""
        rule = self.study.stop_early or StopEarly()
        return expected_epochs(self.rungs, rule.keep, epochs, done)

    @functools.cached_property
    def alike(self) -> Mapping[int, int]:
        """The place of each trial with that of the first one that is trained as it is."""
        found = {place: place for place in range(len(self.trials))}
        return found | {place: of for place, of, _ in same(self.study.task, [trial.params for trial in self.trials])}

    def ladder(self) -> Ladder:
        """Return the rungs of the study, for trials by their place in the plan, of which nothing is trained yet."""
        alike = self.alike if self.rungs else {place: place for place in range(len(self.trials))}
        rule, objective = self.study.stop_early or StopEarly(), self.study.objective
        metric = self.study.metric
        return Ladder(rule, self.rungs, alike, self.study.seeds, metric=metric, over_seeds=objective.over_seeds)

    @property
    def combinations(self) -> int:
        """Number of points of the search space."""
        return len(self.trials) + len(self.infeasible)

    @property
    def replicates(self) -> int:
        """Number of trainings: feasible combinations times seeds."""
        return len(self.trials) * len(self.study.seeds)

    @property
    def work(self) -> tuple[tuple[Trial, int], ...]:
        """Every trial with the number of its seeds, in the order of work."""
        return tuple((trial, len(self.study.seeds)) for trial in self.trials)

    def replicate(self, trial: Trial, seed: int) -> Replicate:
        """Return one training of a trial, with the key that its files carry."""
        if self.header.digest is None:
            raise ValueError("a plan whose data were not read has no replicates")
        return Replicate(trial, seed, replicate_key(self.study, self.header.digest, trial.params, seed))


@dataclass(frozen=True)
class Left:
    """What of a plan a launch would train, beside what is stored.

    Attributes:
        work: Every trial with replicates to train and their number, in the order of work.
        finished: Replicates that are stored and complete, or stopped early.
        stopped: Those of them that are stopped early.
        new: Combinations, impossible ones included, that are not stored yet.
        new_seeds: Seeds that the stored study has not.
    """

    work: tuple[tuple[Trial, int], ...]
    finished: int
    new: int
    new_seeds: int
    stopped: int = 0

    @property
    def replicates(self) -> int:
        """Trainings that are left."""
        return sum(seeds for _, seeds in self.work)


def make_plan(study: Study, header: Any) -> Plan:
    """Lay out the grid. Pure arithmetic: reads nothing and imports nothing heavy.

    Args:
        study: What is asked for.
        header: What its task's `header` gave.
    """
    axes = study.axes
    trials: list[Trial] = []
    infeasible: list[tuple[Params, Infeasible]] = []
    for values in itertools.product(*axes.values()):
        params = dict(zip(axes, values, strict=True))
        found = study.task.candidate(params, header)
        if isinstance(found, Infeasible):
            infeasible.append((params, found))
        else:
            trials.append(Trial(**vars(found), params=params))
    trials.sort(key=lambda trial: -trial.cost_flops)  # stable: equal costs stay in the order of the grid
    stored = definition(study, header.digest) if header.digest is not None else None
    digest = json_digest(stored) if stored is not None else None
    return Plan(study, header, stored, digest, tuple(trials), tuple(infeasible))


def require_feasible(plan: Plan, where: str) -> None:
    """Refuse a plan in which nothing can be trained, or of which nothing could be stopped although it is asked for.

    Raises:
        StudyError: With the commonest reason.
    """
    if plan.trials:
        stopping = plan.study.stop_early
        if stopping is not None and not plan.rungs:
            raise StudyError([_no_rungs(plan, stopping, where)])
        return
    _, first = plan.infeasible[0]
    what, remedy = plan.study.task.all_impossible(plan.header)
    all_of_them = "the only combination is" if plan.combinations == 1 else f"all {plan.combinations} combinations are"
    rule = f"{all_of_them} impossible for {what} (first: {first.reason})"
    raise StudyError([Problem(where, "search_space", "", rule, remedy)])


def _no_rungs(plan: Plan, rule: StopEarly, where: str) -> Problem:
    most = max(trial.epochs for trial in plan.trials)
    if rule.rungs == "auto":
        why = "must be a list here: a trainer of your own has not said how many epochs it trains"
        if most > 1 or plan.study.task.costs_known:
            why = f"has no rung below {most} epochs, which is all that is trained"
        return Problem(where, "stop_early.rungs", "auto", why, "Write, for instance, `rungs: [3, 10, 30]`.")
    told = f"[{', '.join(map(str, rule.rungs))}]"
    why = f"has no rung before the end of the longest training, {most} epochs"
    return Problem(where, "stop_early.rungs", told, why, "Write earlier ones, or `auto`.")
