"""Which trials the noise of the seeds cannot tell apart, which are trained alike, and which learned nothing. Pure."""

import collections
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clustersweep.errors import NothingCompleteError
from clustersweep.study.objective import Aggregate, Metric, standard_error
from clustersweep.study.race import Race
from clustersweep.study.results import SweepResults, TrialResult, first_of_alike, loss_of, losses
from clustersweep.words import counted

NOISE_OF_SEEDS = "the noise of the seeds"


@dataclass(frozen=True)
class Ties:
    """What the noise of the seeds cannot tell from a trial.

    Attributes:
        noise: Typical standard deviation of a replicate's value over the seeds; NaN with one seed.
        margin: Two trials closer than this cannot be told apart; NaN with one seed.
        trials: The others within the margin that learned something, best first, also those that are trained alike.
        same: Complete trials that are trained as this one is.
    """

    noise: float
    margin: float
    trials: tuple[TrialResult, ...]
    same: tuple[TrialResult, ...]

    @property
    def distinct(self) -> tuple[TrialResult, ...]:
        """One trial of those that are trained alike among the others, best first."""
        return first_of_alike(self.trials)

    def count(self, noun: str = "other combination") -> str:
        """Return `5 other combinations`, and how many of them are trained alike."""
        number, different = len(self.trials), len(self.distinct)
        words = counted(number, noun)
        if different == number:
            return words
        several = [n for n in collections.Counter(t.first_alike for t in self.trials).values() if n > 1]
        if len(several) == 1:
            return f"{words}, {several[0]} of them the same network"
        return f"{words} of {different} different networks"


def ties_of(results: SweepResults, trial: TrialResult) -> Ties:
    """Return what the noise cannot tell from a complete trial; trials that learned nothing are no rivals."""
    if results.race is not None and results.race.looks and trial.number == results.race.left[0]:
        return _raced(results, trial, results.race)
    if results.race is not None:
        results = results.of_equal_seeds()
        trial = next(one for one in results.trials if one.number == trial.number)
    variance = results.label_variance
    alive = [t for t in results.distinct() if not learned_nothing(loss_of(t), variance)]
    noise = typical_spread(alive or results.distinct())
    margin = margin_of(trial, noise, results.over_seeds)
    ranked = [t for t in results.ranked() if not learned_nothing(loss_of(t), variance)]
    near = indistinguishable(ranked, trial, math.nan if learned_nothing(loss_of(trial), variance) else margin)
    own = trial.first_alike
    twins = (t for t in results.ranked() if t.first_alike == own and t.number != trial.number)
    return Ties(noise, margin, tuple(t for t in near if t.first_alike != own), tuple(twins))


def _raced(results: SweepResults, trial: TrialResult, race: Race) -> Ties:
    """Return what a race with further seeds could not tell from its leader."""
    look = race.looks[-1]
    by_number = {one.number: one for one in results.ranked()}
    others = [by_number[number] for number in race.left[1:] if number in by_number]
    kinds = {one.first_alike for one in others}
    near = [one for one in results.ranked() if one.first_alike in kinds]
    twins = (one for one in results.ranked() if one.first_alike == trial.first_alike and one.number != trial.number)
    return Ties(look.noise, look.margin, tuple(near), tuple(twins))


def choose(results: SweepResults, *, rank: int = 1, number: int | None = None) -> tuple[TrialResult, int]:
    """Choose a complete trial by its rank or by its number; gives it with its rank.

    Raises:
        NothingCompleteError: There is no such complete trial.
    """
    ranked = results.distinct()
    if not ranked:
        raise NothingCompleteError(
            f"no trial of {results.study!r} is complete, so there is nothing to export. Launch the study first"
        )
    if number is not None:
        ranks = {trial.first_alike: place for place, trial in enumerate(ranked, start=1)}
        for trial in results.ranked():
            if trial.number == number:
                return trial, ranks[trial.first_alike]
        raise NothingCompleteError(
            f"trial {number} of {results.study!r} is not complete (or was superseded). "
            "`clustersweep report` lists those that are"
        )
    if not 1 <= rank <= len(ranked):
        what = "trials" if len(ranked) == len(results.ranked()) else "networks"
        raise NothingCompleteError(
            f"rank {rank} asked for, but {results.study!r} has {len(ranked)} complete {what}. "
            f"Give a rank from 1 to {len(ranked)}"
        )
    return ranked[rank - 1], rank


def learned_nothing(loss: float, label_variance: float | None) -> bool:
    """Say whether predicting a constant would have done as well."""
    return label_variance is not None and loss >= label_variance


def nothing_learned(
    what: str,
    loss: float,
    label_variance: float | None,
    margin: float = math.nan,
    noise: str = NOISE_OF_SEEDS,
    *,
    metric: Metric,
) -> str:
    """Return the sentence that comes before all others where it is not sure that anything was learned; else nothing.

    Args:
        what: Of what the loss is.
        loss: Its mean squared error.
        label_variance: What predicting a constant gives; None where that is not known.
        margin: Differences up to this may be chance; NaN where that is not known, as with one seed.
        noise: What makes them.
        metric: What it is.
    """
    if label_variance is None or not loss + max(0.0, margin) >= label_variance:  # max(0, NaN) is 0
        return ""
    unit = metric.with_unit
    both = f"{what} has {loss:.4f}{unit}, and {metric.constant_in_full} gives {label_variance:.4f}{unit}"
    if learned_nothing(loss, label_variance):
        return f"Nothing was learned: {both}."
    return f"It is not sure that anything was learned: {both}, a difference within {noise} ({margin:.4f}{unit})."


def trial_learned_nothing(what: str, results: SweepResults, trial: TrialResult) -> str:
    """Return that sentence for a complete trial of a sweep.

    The margin is that of ties, as wide as if predicting the mean had seeds too: the best of many was chosen for its
    loss, and is flattered by that.
    """
    margin = ties_of(results, trial).margin
    return nothing_learned(what, loss_of(trial), results.label_variance, margin, metric=results.metric)


def best_learned_nothing(results: SweepResults) -> str:
    """Return that sentence for a sweep; nothing where its best trial learned something, or none is complete."""
    best = results.ranked()[:1]
    return trial_learned_nothing("the best combination", results, best[0]) if best else ""


def alike_text(results: SweepResults) -> tuple[str, ...]:
    """Return a sentence for every reason why trials are trained as another is, with their numbers."""
    reasons: dict[str, list[str]] = {}
    for trial in results.trials:
        if trial.same_as is not None:
            reasons.setdefault(trial.same_why, []).append(f"{trial.number} = {trial.same_as}")
    return tuple(f"the same network, as {why}: trials {', '.join(pairs)}" for why, pairs in reasons.items())


def typical_spread(trials: Iterable[TrialResult]) -> float:
    """Estimate the standard deviation over the seeds, common to all trials; NaN with one seed."""
    return spread_over_seeds(losses(trial) for trial in trials)


def spread_over_seeds(values: Iterable[Sequence[float]]) -> float:
    """Estimate the standard deviation over the seeds, common to all trials, from the values of each; NaN with one seed.

    From the median of the trials' variances, so that a few trials that died in one seed do not count.
    A variance of d degrees of freedom has its median at about (1 - 2 / 9d)^3 of the true one
    (Wilson & Hilferty 1931, PNAS 17, 684).
    """
    several = [one for one in values if len(one) > 1]
    if not several:
        return math.nan
    freedom = statistics.fmean(len(one) - 1 for one in several)
    bias = (1 - 2 / (9 * freedom)) ** 3
    return math.sqrt(statistics.median(statistics.variance(one) for one in several) / bias)


def margin_of(trial: TrialResult, noise: float, over_seeds: Aggregate) -> float:
    """Return how close another trial must be not to be told from this one; NaN with one seed.

    Two objectives over n seeds differ by chance with a standard error of `sqrt(2)` times that of one, `noise` being
    the standard deviation over the seeds; the margin is twice that, about 95 % confidence for a single comparison.
    """
    return margin_between(noise, over_seeds, len(losses(trial)))


def margin_between(noise: float, over_seeds: Aggregate, seeds: int) -> float:
    """Return the same for any two trials of so many seeds."""
    return 2 * math.sqrt(2) * noise * standard_error(over_seeds, seeds)


def indistinguishable(ranked: Iterable[TrialResult], trial: TrialResult, margin: float) -> tuple[TrialResult, ...]:
    """Return the other complete trials that lie within the margin of this one, in their order."""
    others = (other for other in ranked if other.number != trial.number)
    return tuple(other for other in others if abs(loss_of(other) - loss_of(trial)) < margin)
