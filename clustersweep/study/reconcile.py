"""What a launch does with a plan, given what is stored of it: which trials it adds, and which it continues. Pure.

`Storage` reads what is stored, asks this, and carries it out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clustersweep.study.keys import Params, Scalar
from clustersweep.study.plan import Left, Plan
from clustersweep.study.results import ReplicateResult, Trial, TrialResult, combination
from clustersweep.study.task import Infeasible

Newest = Mapping[tuple[tuple[str, Scalar], ...], TrialResult]
"""The newest stored trial of every combination."""


@dataclass(frozen=True)
class OpenWork:
    """A feasible combination with work left.

    Attributes:
        trial: What to train.
        done: Replicates that stay as they are stored, by seed.
        missing: Seeds to train; none where only the trial's end was never written.
        continues: Number of the stored trial that goes on; None: one has to be added.
        supersedes: Number of the finished trial that the added one goes on from; None where there is none.
    """

    trial: Trial
    done: Mapping[int, ReplicateResult]
    missing: tuple[int, ...]
    continues: int | None = None
    supersedes: int | None = None


@dataclass(frozen=True)
class Reconciled:
    """What is to be done about a plan.

    Attributes:
        impossible: Combinations that arithmetic rejects, to be stored, with the reason; in the order of the grid.
        work: Combinations with work left, in the order of the plan.
    """

    impossible: tuple[tuple[Params, Infeasible], ...]
    work: tuple[OpenWork, ...]

    @property
    def seeds(self) -> tuple[tuple[Trial, int], ...]:
        """Every trial with work left and how many seeds of it are to be trained."""
        return tuple((open_work.trial, len(open_work.missing)) for open_work in self.work)


def reconcile(plan: Plan, stored: Newest, *, retry_failed: bool = True) -> Reconciled:
    """Compare a plan with what is stored.

    Finished trials stay as they are. One that lacks seeds, or failed, is gone on from by a new trial, which takes over
    its complete replicates; one that is not finished goes on itself.

    Args:
        plan: What is wanted.
        stored: What there is.
        retry_failed: Train failed replicates once more; False: they stay failed.
    """
    impossible = tuple((params, why) for params, why in plan.infeasible if combination(params) not in stored)
    work = (_open_work(trial, plan, stored.get(combination(trial.params)), retry_failed) for trial in plan.trials)
    return Reconciled(impossible, tuple(found for found in work if found is not None))


def _open_work(trial: Trial, plan: Plan, stored: TrialResult | None, retry_failed: bool) -> OpenWork | None:
    if stored is None:
        return OpenWork(trial, {}, plan.study.seeds)
    done = stored.replicates
    if retry_failed:
        done = {replicate.seed: replicate for replicate in stored.complete_replicates}
    missing = tuple(seed for seed in plan.study.seeds if seed not in done)
    if not stored.state.is_finished:
        return OpenWork(trial, done, missing, continues=stored.number)
    return OpenWork(trial, done, missing, supersedes=stored.number) if missing else None


def left_to_train(plan: Plan, stored: Newest, stored_seeds: Iterable[int]) -> Left:
    """Tell what of a plan a launch would train.

    Args:
        plan: What is wanted.
        stored: What there is.
        stored_seeds: The seeds that the stored study has.
    """
    work = tuple((trial, seeds) for trial, seeds in reconcile(plan, stored).seeds if seeds)
    every = [*(trial.params for trial in plan.trials), *(params for params, _ in plan.infeasible)]
    return Left(
        work=work,
        finished=plan.replicates - sum(seeds for _, seeds in work),
        new=sum(combination(params) not in stored for params in every),
        new_seeds=len(set(plan.study.seeds) - set(stored_seeds)),
    )
