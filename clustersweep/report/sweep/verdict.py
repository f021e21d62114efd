"""Which combination is best, and which others the noise of the seeds cannot tell from it. Pure arithmetic."""

import collections
import math
from collections.abc import Iterable
from dataclasses import dataclass

from clustersweep.errors import NothingCompleteError
from clustersweep.study.keys import Params, Scalar
from clustersweep.study.ranking import Ties, learned_nothing, ties_of
from clustersweep.study.results import SweepResults, TrialResult, loss_of, losses


@dataclass(frozen=True)
class Verdict:
    """What the sweep says, and how far it can be believed.

    Attributes:
        best: The complete trial with the best objective.
        noise: Typical standard deviation of a replicate's value over the seeds; NaN with one seed.
        margin: Two trials closer than this cannot be told apart; NaN with one seed.
        ties: The other trials within `margin` of the best that learned something, best first.
        near: The same with the words for them, and trials that are the same network as the best.
        shared: The params that the best and all its ties have in common.
        learned_nothing: Trials that are no better than predicting a constant.
        dead_replicates: Replicates of complete trials that are no better than predicting a constant.
    """

    best: TrialResult
    noise: float
    margin: float
    ties: tuple[TrialResult, ...]
    near: Ties
    shared: Params
    learned_nothing: tuple[TrialResult, ...]
    dead_replicates: int


def verdict(results: SweepResults) -> Verdict:
    """Judge the complete trials.

    Raises:
        NothingCompleteError: No trial is complete.
    """
    ranked = results.ranked()
    if not ranked:
        counted = collections.Counter(trial.state for trial in results.trials)
        counts = ", ".join(f"{count} {state}" for state, count in sorted(counted.items())) or "no trials"
        raise NothingCompleteError(
            f"{results.study}: no trial is complete ({counts}), so there is nothing to report. "
            f"Run `clustersweep launch` with the study file; what has finished is kept."
        )
    best = ranked[0]
    near = ties_of(results, best)
    dead = [v for trial in ranked for v in losses(trial) if learned_nothing(v, results.label_variance)]
    return Verdict(
        best=best,
        noise=near.noise,
        margin=near.margin,
        ties=near.trials,
        near=near,
        shared=shared_params((best, *near.trials)),
        learned_nothing=tuple(t for t in ranked if learned_nothing(loss_of(t), results.label_variance)),
        dead_replicates=len(dead),
    )


def shared_params(trials: Iterable[TrialResult]) -> dict[str, Scalar]:
    """Return the params in which all these trials agree."""
    first, *others = (trial.params for trial in trials)
    return {name: value for name, value in first.items() if all(o.get(name) == value for o in others)}


def rmse(loss: float) -> float:
    """Turn a mean squared error into a root mean square error: dex^2 into dex."""
    return math.sqrt(loss)


def r_squared(loss: float, label_variance: float | None) -> float:
    """Return the share of the labels' variance that is explained; NaN where that variance is not known."""
    return 1 - loss / label_variance if label_variance else math.nan
