"""Which combination is best, and which others the noise of the seeds cannot tell from it. Pure arithmetic."""

import collections
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from clustersweep.errors import NothingCompleteError
from clustersweep.trial import Params, Scalar, SweepResults, TrialResult

PUBLISHED_NAIVE = 0.1471
"""Validation loss of the untuned network in the eFEDS laboratory report, dex^2."""
PUBLISHED_BEST = 0.0533
"""Validation loss there with all improvements, dex^2."""


@dataclass(frozen=True)
class Verdict:
    """What the sweep says, and how far it can be believed.

    Attributes:
        best: The complete trial with the lowest objective.
        noise: Typical standard deviation of a replicate's loss over the seeds, dex^2; NaN with one seed.
        margin: Two trials closer than this cannot be told apart, dex^2; NaN with one seed.
        ties: The other trials within `margin` of the best, best first.
        shared: The params that the best and all its ties have in common.
        learned_nothing: Trials that are no better than predicting a constant.
        dead_replicates: Replicates of complete trials that are no better than predicting a constant.
    """

    best: TrialResult
    noise: float
    margin: float
    ties: tuple[TrialResult, ...]
    shared: Params
    learned_nothing: tuple[TrialResult, ...]
    dead_replicates: int


def verdict(results: SweepResults) -> Verdict:
    """Judge the complete trials.

    Two means over n seeds differ by chance with a standard error of `noise * sqrt(2 / n)`; the margin is
    twice that, about 95 % confidence for a single comparison.

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
    noise = typical_spread(ranked)
    margin = 2 * noise * math.sqrt(2 / len(losses(best)))
    lowest = loss_of(best)
    ties = tuple(trial for trial in ranked[1:] if loss_of(trial) - lowest < margin)
    dead = [v for trial in ranked for v in losses(trial) if learned_nothing(v, results.label_variance)]
    return Verdict(
        best=best,
        noise=noise,
        margin=margin,
        ties=ties,
        shared=shared_params((best, *ties)),
        learned_nothing=tuple(t for t in ranked if learned_nothing(loss_of(t), results.label_variance)),
        dead_replicates=len(dead),
    )


def typical_spread(trials: Iterable[TrialResult]) -> float:
    """Estimate the standard deviation over the seeds, common to all trials, dex^2; NaN with one seed.

    From the median of the trials' variances, so that a few networks that died in one seed do not count.
    A variance of d degrees of freedom has its median at about (1 - 2 / 9d)^3 of the true one
    (Wilson & Hilferty 1931, PNAS 17, 684).
    """
    several = [values for trial in trials if len(values := losses(trial)) > 1]
    if not several:
        return math.nan
    freedom = statistics.fmean(len(values) - 1 for values in several)
    bias = (1 - 2 / (9 * freedom)) ** 3
    return math.sqrt(statistics.median(statistics.variance(values) for values in several) / bias)


def losses(trial: TrialResult) -> tuple[float, ...]:
    """Give the losses of a trial's complete replicates in the order of the seeds, dex^2."""
    ended = sorted(trial.replicates.items())
    return tuple(replicate.value for _, replicate in ended if replicate.value is not None)


def loss_of(trial: TrialResult) -> float:
    """Give a complete trial's objective, dex^2; NaN for one that is not complete."""
    return math.nan if trial.value is None else trial.value


def shared_params(trials: Iterable[TrialResult]) -> dict[str, Scalar]:
    """Give the params in which all these trials agree."""
    first, *others = (trial.params for trial in trials)
    return {name: value for name, value in first.items() if all(o.get(name) == value for o in others)}


def learned_nothing(loss: float, label_variance: float | None) -> bool:
    """Say whether predicting the mean mass for every cluster would have done as well."""
    return label_variance is not None and loss >= label_variance


def rmse(loss: float) -> float:
    """Turn a mean squared error in dex^2 into a root mean square error in dex."""
    return math.sqrt(loss)


def r_squared(loss: float, label_variance: float | None) -> float:
    """Give the share of the labels' variance that is explained; NaN where that variance is not known."""
    return 1 - loss / label_variance if label_variance else math.nan
