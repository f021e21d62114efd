"""What a launch does with a plan, given what is stored of it: which trials it adds, and which it continues. Pure.

`Storage` reads what is stored, asks this, and carries it out.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from clustersweep.study.events import DIVERGED
from clustersweep.study.finalists import Finalists, Standing, finalists
from clustersweep.study.keys import Params, Scalar
from clustersweep.study.plan import Left, Plan
from clustersweep.study.race import Race
from clustersweep.study.results import (
    CompleteReplicate,
    FailedReplicate,
    PausedReplicate,
    ReplicateResult,
    Trial,
    TrialResult,
    TrialState,
    combination,
)
from clustersweep.study.stopping import Ladder
from clustersweep.study.task import Infeasible

Newest = Mapping[tuple[tuple[str, Scalar], ...], TrialResult]
"""The newest stored trial of every combination."""


@dataclass(frozen=True)
class OpenWork:
    """A feasible combination with work left.

    Attributes:
        trial: What to train.
        done: Replicates that stay as they are stored, by seed.
        missing: Seeds to train, if no rung stops them; none where only the trial's end was never written.
        paused: Those of them that have got to a rung, by seed.
        continues: Number of the stored trial that goes on; None: one has to be added.
        supersedes: Number of the finished trial that the added one goes on from; None where there is none.
        later: It was stopped, and only what a rung has still to decide tells whether it goes on.
        seeds: All that it is to have: the study's, and further ones for the best trials.
    """

    trial: Trial
    done: Mapping[int, ReplicateResult]
    missing: tuple[int, ...]
    continues: int | None = None
    supersedes: int | None = None
    paused: Mapping[int, PausedReplicate] = field(default_factory=dict)
    later: bool = False
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reconciled:
    """What is to be done about a plan.

    Attributes:
        impossible: Combinations that arithmetic rejects, to be stored, with the reason; in the order of the grid.
        work: Combinations with work left, in the order of the plan.
        race: How far the race for further seeds is, trials by their number; None where there is none yet.
    """

    impossible: tuple[tuple[Params, Infeasible], ...]
    work: tuple[OpenWork, ...]
    race: Race | None = None

    @property
    def seeds(self) -> tuple[tuple[Trial, int], ...]:
        """Every trial with work left and how many seeds of it are to be trained."""
        return tuple((open_work.trial, len(open_work.missing)) for open_work in self.work)


def reconcile(
    plan: Plan, stored: Newest, *, retry_failed: bool = True, label_variance: float | None = None
) -> Reconciled:
    """Compare a plan with what is stored.

    Finished trials stay as they are. One that lacks seeds, or failed, or that no rung stops any more, is gone on from
    by a new trial, which takes over its complete replicates; one that is not finished goes on itself.

    Args:
        plan: What is wanted.
        stored: What there is.
        retry_failed: Train failed replicates once more; False: they stay failed.
        label_variance: What predicting a constant gives, where that is known: what learned nothing gets no more seeds.
    """
    impossible = tuple((params, why) for params, why in plan.infeasible if combination(params) not in stored)
    standing = {
        name: (_stay(found, plan, retry_failed=retry_failed), found.paused)
        for name, found in stored.items()
        if found.infeasible is None
    }
    ladder = climb(plan, standing)
    names = [combination(trial.params) for trial in plan.trials]
    places = {place: standing[name] for place, name in enumerate(names) if name in standing}
    race = finalists(plan, ladder, places, label_variance) or Finalists(Race((), ()))
    work = (
        _open_work(plan, place, stored.get(name), standing.get(name, ({}, {})), ladder=ladder, race=race)
        for place, name in enumerate(names)
    )
    numbers = {place: stored[name].number for place, name in enumerate(names) if name in stored}
    told = race.race.renumbered(numbers) if race.race.looks else None
    return Reconciled(impossible, tuple(found for found in work if found is not None), told)


def climb(plan: Plan, standing: Mapping[tuple[tuple[str, Scalar], ...], Standing]) -> Ladder:
    """Return the rungs of a plan as far as they are decided by where its trials stand; by combination."""
    ladder = plan.ladder()
    if plan.rungs:
        for place, trial in enumerate(plan.trials):
            ended, paused = standing.get(combination(trial.params), ({}, {}))
            for seed in plan.study.seeds:
                if seed in ended:
                    failed = isinstance(ended[seed], FailedReplicate)
                    ladder.take(place, seed, curve_of(ended[seed]), ended=True, failed=failed)
                elif seed in paused:
                    ladder.take(place, seed, curve_of(paused[seed]), ended=False)
    return ladder


def curve_of(replicate: ReplicateResult | PausedReplicate) -> tuple[float, ...]:
    """Return the metric after every epoch, as rungs compare it."""
    if isinstance(replicate, CompleteReplicate) and not replicate.curve:  # of an older version
        return (*[math.nan] * (replicate.best_epoch - 1), replicate.value)
    return tuple(value for _, value in replicate.curve)


def _stay(stored: TrialResult, plan: Plan, *, retry_failed: bool) -> Mapping[int, ReplicateResult]:
    """Return the replicates of a trial that are not trained again.

    Where trials are stopped by comparison, one that diverged is a result, too: it puts its trial last.
    """
    return {
        seed: one
        for seed, one in stored.replicates.items()
        if isinstance(one, CompleteReplicate) or not retry_failed or (plan.rungs and one.signature == DIVERGED)
    }


def _open_work(
    plan: Plan, place: int, stored: TrialResult | None, standing: Standing, *, ladder: Ladder, race: Finalists
) -> OpenWork | None:
    trial, (done, paused) = plan.trials[place], standing
    seeds = race.wanted.get(place, plan.study.seeds)
    if stored is None:
        return OpenWork(trial, {}, seeds, seeds=seeds)
    missing = tuple(seed for seed in seeds if seed not in done)
    work = OpenWork(trial, done, missing, paused=paused, seeds=seeds)
    if not stored.state.is_finished:
        return replace(work, continues=stored.number)
    was_stopped = stored.state is TrialState.STOPPED
    if not missing or (was_stopped and ladder.stopped_at(place)):
        return None
    later = was_stopped and all(ladder.waits(place, seed) for seed in missing)
    return replace(work, supersedes=stored.number, later=later)


def left_to_train(plan: Plan, stored: Newest, stored_seeds: Iterable[int], label_variance: float | None = None) -> Left:
    """Tell what of a plan a launch would train.

    Args:
        plan: What is wanted.
        stored: What there is.
        stored_seeds: The seeds that the stored study has.
        label_variance: As in `reconcile`.
    """
    todo = reconcile(plan, stored, label_variance=label_variance)
    work = tuple((trial, seeds) for trial, seeds in todo.seeds if seeds)
    open_ones = {combination(open_work.trial.params) for open_work in todo.work}
    stopped = (found for name, found in stored.items() if found.stopped is not None and name not in open_ones)
    every = [*(trial.params for trial in plan.trials), *(params for params, _ in plan.infeasible)]
    return Left(
        work=work,
        finished=plan.replicates - sum(len(set(one.missing) & set(plan.study.seeds)) for one in todo.work),
        new=sum(combination(params) not in stored for params in every),
        new_seeds=len(set(plan.study.seeds) - set(stored_seeds)),
        stopped=sum(len(found.paused) for found in stopped),
    )
