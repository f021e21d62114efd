"""What is still to be trained, and how long that may take: derived from every replicate's state, never counted down.

So epochs that a checkpoint spared count as done, and those that a lost worker took with it are to be done again.
"""

from collections.abc import Callable, Iterable

from clustersweep.study.keys import Params
from clustersweep.study.results import CompleteReplicate, Replicate, Trial, combination
from clustersweep.sweep.events import EpochDone, ReplicateBegan, ReplicateDone, SweepEvent, TrialStopped

Known = tuple[tuple[tuple[str, object], ...], int]


class Remaining:
    """Follows a sweep by its events.

    Args:
        work: Each trial with the seeds that are to be trained.
        epoch_s: What an epoch of a trial costs, as estimated, seconds; what counts is how trials compare.
        compile_s: What a trial costs before its first epoch, the same.
        ahead: How many epochs a replicate trains beyond those that are done, by a whole training's epochs and those.
    """

    def __init__(
        self,
        work: Iterable[tuple[Trial, Iterable[int]]],
        epoch_s: Callable[[Trial], float],
        compile_s: Callable[[Trial], float] = lambda trial: 0.0,
        ahead: Callable[[int, int], float] = lambda epochs, done: max(0, epochs - done),
    ) -> None:
        self._ahead = ahead
        self._cost_s = epoch_s, compile_s
        self._epoch_s: dict[object, float] = {}
        self._to_compile: dict[object, float] = {}
        self._seeds: dict[object, tuple[int, ...]] = {}
        self._epochs: dict[Known, float] = {}  # that each replicate still has to train, if it does not end early
        for trial, seeds in work:
            name = combination(trial.params)
            self._epoch_s[name], self._to_compile[name] = epoch_s(trial), compile_s(trial)
            self._seeds[name] = tuple(seeds)
            self._epochs.update({(name, seed): ahead(trial.epochs, 0) for seed in self._seeds[name]})
        # Kept in step with the two above, as adding them all up for every epoch would take longer than a short one.
        self._left_s = sum(self._to_compile.values())
        self._left_s += sum(epochs * self._epoch_s[known[0]] for known, epochs in self._epochs.items())
        self._done_s = 0.0  # what was trained since, repeated epochs included: all of it took time

    def add(self, trial: Trial, seeds: Iterable[int]) -> None:
        """Take up further seeds of a trial, which is compiled once more for them."""
        name = combination(trial.params)
        self._epoch_s.setdefault(name, self._cost_s[0](trial))
        self._to_compile[name] = self._cost_s[1](trial)
        self._left_s += self._to_compile[name]
        for seed in seeds:
            self._epochs[name, seed] = trial.epochs
            self._left_s += trial.epochs * self._epoch_s[name]

    @property
    def left_s(self) -> float:
        """What is left, in seconds of one worker as they were estimated."""
        return max(0.0, self._left_s)

    def epochs(self, params: Params, seed: int) -> float:
        """Return how many epochs a replicate still has to train, if it does not end early; 0 for one that has ended."""
        return self._epochs.get((combination(params), seed), 0)

    def on_event(self, event: SweepEvent) -> None:
        """Take what a sweep told."""
        match event:
            case ReplicateBegan(_, replicate, epoch, _, _):
                self._set(replicate, self._ahead(replicate.trial.epochs, epoch) if replicate.trial.epochs > 1 else 1)
            case EpochDone(_, replicate, end) if replicate.trial.epochs > 1:
                self._done_s += self._set(replicate, self._ahead(replicate.trial.epochs, end.epoch))
            case ReplicateDone(_, replicate, result):
                took = self._set(replicate, 0)
                # Its one epoch; or those of a trainer of one's own that did not say how many they would be.
                if replicate.trial.epochs == 1 and isinstance(result, CompleteReplicate):
                    self._done_s += took
            case TrialStopped(_, replicate, _):
                name = combination(replicate.trial.params)
                for seed in self._seeds[name]:
                    self._left_s -= self._epochs.pop((name, seed)) * self._epoch_s[name]

    def after(self, seconds: float) -> float | None:
        """Estimate the seconds that are left, so many after the beginning; None while nothing tells."""
        return seconds * self.left_s / self._done_s if self._done_s and self.left_s else None

    def _set(self, replicate: Replicate, epochs: float) -> float:
        """Note how many epochs a replicate has still to train; returns what its last one cost, compilation included."""
        name = combination(replicate.trial.params)
        epoch_s = self._epoch_s[name]
        self._left_s += (epochs - self._epochs.get((name, replicate.seed), 0)) * epoch_s
        self._epochs[name, replicate.seed] = epochs
        if epochs == self._ahead(replicate.trial.epochs, 0):
            return 0.0
        compile_s = self._to_compile.pop(name, 0.0)
        self._left_s -= compile_s
        return epoch_s + compile_s
