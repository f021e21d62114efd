"""What training costs in time: measured by sweeps on this machine, and estimated for the next one."""

import heapq
import json
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clustersweep.backlog import Backlog
from clustersweep.trial import Trial


@dataclass(frozen=True)
class Rates:
    """How fast one worker of this machine trains.

    Attributes:
        flops_per_s: Floating-point operations a second while training.
        trial_s: What each trial costs beside its operations: building and compiling, once for all its seeds.
        measured: False for the default, which is what a common server core did when this was written.
    """

    flops_per_s: float = 2.5e10
    trial_s: float = 1.5
    measured: bool = False


class RateMeter:
    """Learns how fast workers train: the usual epoch tells the rate, the first one what compiling costs."""

    def __init__(self) -> None:
        self._flops = self._seconds = 0.0  # of every replicate's usual epoch
        self._compile_s: deque[float] = deque(maxlen=101)  # the median is asked for whenever work is given out

    def add(self, trial: Trial, epoch_s: Sequence[float], *, compiled: bool) -> None:
        """Take the seconds of a replicate's epochs; `compiled` says whether the first one includes compilation."""
        if len(epoch_s) < 2:
            return
        usual = statistics.median(epoch_s[1:])
        self._flops += trial.cost_flops / trial.training.epochs
        self._seconds += usual
        if compiled:
            self._compile_s.append(max(0.0, epoch_s[0] - usual))

    def rates(self) -> Rates | None:
        """Give what was measured; None when too little ran."""
        if not self._seconds or not self._compile_s:
            return None
        return Rates(self._flops / self._seconds, statistics.median(self._compile_s), measured=True)

    def cost_flops(self, trial: Trial, epoch_s: Sequence[float]) -> float:
        """Give what a replicate costs by its measured epochs, in operations at the rate of all that was measured.

        Like the model's, so that it can be compared with trials of which nothing is measured yet.
        """
        if len(epoch_s) < 2 or not self._seconds:
            return trial.cost_flops
        return statistics.median(epoch_s[1:]) * trial.training.epochs * self._flops / self._seconds


def read_rates(path: Path) -> Rates:
    """Read what earlier sweeps on this machine measured; the default where there is nothing readable."""
    try:
        found = json.loads(path.read_text())
        return Rates(float(found["flops_per_s"]), float(found["trial_s"]), measured=True)
    except (OSError, ValueError, KeyError, TypeError):
        return Rates()


def estimate_s(work: Iterable[tuple[Trial, int]], workers: int, rates: Rates) -> float:
    """Estimate the seconds that trials take on so many workers, in the order in which a sweep gives them out.

    Args:
        work: Each trial and the number of its seeds that are to be trained, in the plan's order.
        workers: How many train at the same time.
        rates: How fast each of them is.
    """
    trials = list(work)
    backlog = Backlog((range(seeds), trial.cost_flops) for trial, seeds in trials)
    compile_cost = rates.trial_s * rates.flops_per_s
    free = [(0.0, -1)] * max(1, workers)  # when each worker is free, and which trial it has compiled
    while backlog:
        at, compiled = heapq.heappop(free)
        given = backlog.choose(None if compiled < 0 else compiled, len(free) + 1, compile_cost)
        if given is None:  # not while it is true that something waits
            break
        backlog.take(given)
        seconds = trials[given][0].cost_flops / rates.flops_per_s + (rates.trial_s if given != compiled else 0.0)
        heapq.heappush(free, (at + seconds, given))
    return max(at for at, _ in free)


def trial_s(trial: Trial, seeds: int, rates: Rates) -> float:
    """Estimate the seconds that all seeds of a trial take on one worker."""
    return rates.trial_s + seeds * trial.cost_flops / rates.flops_per_s
