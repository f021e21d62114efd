"""What is left to train, and which of it next: chosen in the same time however many trials there are."""

import dataclasses
import heapq
from collections.abc import Iterable

from clustersweep.study.cost import Speed
from clustersweep.study.plan import Plan
from clustersweep.study.results import Trial
from clustersweep.study.stopping import StopEarly, kept_at_least

# A trial is compiled once more where that brings the end nearer by so many compilations: fewer would only move work
# about, as simulations of grids from seconds to days a trial show (benchmarks/schedule.py).
WORTH_COMPILING = 5


class Backlog:
    """Seeds of trials that wait for a worker. Trials are known by their place in the order of the plan.

    Args:
        work: For each trial the seeds that are left, in their order, and what one of them costs.
    """

    def __init__(self, work: Iterable[tuple[Iterable[int], float]]) -> None:
        self._seeds: list[list[int]] = []
        self._costs: list[float] = []
        for seeds, cost in work:
            self._seeds.append(list(seeds))
            self._costs.append(cost)
        self._waiting = sum(map(len, self._seeds))
        self._work = sum(len(seeds) * cost for seeds, cost in zip(self._seeds, self._costs, strict=True))
        # (-work, trial); an entry that is not the trial's work any more counts for nothing.
        self._heap = [self._entry(trial) for trial, seeds in enumerate(self._seeds) if seeds]
        heapq.heapify(self._heap)

    def __bool__(self) -> bool:
        return self._waiting > 0

    def seeds(self, trial: int) -> tuple[int, ...]:
        """Return the seeds of a trial that wait."""
        return tuple(self._seeds[trial])

    def choose(self, compiled: int | None, workers: int, compile_cost: float) -> int | None:
        """Choose the trial of which an idle worker is given the next seed.

        More of what it has compiled, so that results are complete early and nothing is compiled twice. Only at the end,
        when what is left is less than every worker would take of the largest trial, work is spread: then the trial with
        most work is taken from those who have compiled it, if that is worth it.

        Args:
            compiled: The trial that the worker has compiled; None: none yet.
            workers: How many there are.
            compile_cost: What compiling a trial costs, in the unit of its seeds' costs.

        Returns:
            None when nothing waits.
        """
        most = self.most_work()
        if most is None or compiled is None or not self._seeds[compiled]:
            return most
        ahead = self._work_of(most) - self._work_of(compiled)
        spread = self._work <= workers * self._work_of(most) and ahead > WORTH_COMPILING * compile_cost
        return most if spread else compiled

    def most_work(self) -> int | None:
        """Return the trial whose waiting seeds cost most; of equals the first, None when nothing waits."""
        while self._heap:
            trial = self._heap[0][1]
            if self._seeds[trial] and self._heap[0] == self._entry(trial):
                return trial
            heapq.heappop(self._heap)
        return None

    def take(self, trial: int) -> int:
        """Take the next seed of a trial that has one."""
        seed = self._seeds[trial].pop(0)
        self._waiting -= 1
        self._work -= self._costs[trial]
        self._changed(trial)
        return seed

    def put_back(self, trial: int, seed: int) -> None:
        """Have a seed wait again, before the trial's others."""
        self._seeds[trial].insert(0, seed)
        self._waiting += 1
        self._work += self._costs[trial]
        self._changed(trial)

    def add(self, trial: int, seeds: Iterable[int], cost: float) -> None:
        """Have seeds of a trial wait, of which none does, each at another cost than before."""
        self._costs[trial] = cost
        self._seeds[trial] = list(seeds)
        self._waiting += len(self._seeds[trial])
        self._work += self._work_of(trial)
        self._changed(trial)

    def append(self, seeds: Iterable[int], cost: float) -> None:
        """Add a trial after all others."""
        self._seeds.append([])
        self._costs.append(cost)
        self.add(len(self._seeds) - 1, seeds, cost)

    def correct(self, trial: int, cost: float) -> None:
        """Take another cost for a trial's seeds: it has been measured."""
        self._work += len(self._seeds[trial]) * (cost - self._costs[trial])
        self._costs[trial] = cost
        self._changed(trial)

    def _changed(self, trial: int) -> None:
        if self._seeds[trial]:
            heapq.heappush(self._heap, self._entry(trial))

    def _entry(self, trial: int) -> tuple[float, int]:
        return -self._work_of(trial), trial

    def _work_of(self, trial: int) -> float:
        return len(self._seeds[trial]) * self._costs[trial]


def estimate_s(work: Iterable[tuple[Trial, int]], workers: int, speed: Speed) -> float:
    """Estimate the seconds that trials take on so many workers, in the order in which a sweep gives them out.

    Reading the data and starting the workers are not in it.

    Args:
        work: Each trial and the number of its seeds that are to be trained, in the plan's order.
        workers: How many train at the same time.
        speed: How fast each of them is.
    """
    trials = list(work)
    costs = [speed.replicate_s(trial) for trial, _ in trials]
    backlog = Backlog((range(seeds), cost) for (_, seeds), cost in zip(trials, costs, strict=True))
    free = [(0.0, -1)] * max(1, workers)  # when each worker is free, and which trial it has compiled
    while backlog:
        at, compiled = heapq.heappop(free)
        most = backlog.most_work()
        compile_s = 0.0 if most is None else speed.compile_s(trials[most][0])
        given = backlog.choose(None if compiled < 0 else compiled, len(free) + 1, compile_s)
        if given is None:  # not while it is true that something waits
            break
        backlog.take(given)
        seconds = costs[given] + (speed.compile_s(trials[given][0]) if given != compiled else 0.0)
        heapq.heappush(free, (at + seconds, given))
    return max(at for at, _ in free)


def least_s(plan: Plan, workers: int, speed: Speed) -> float:
    """Estimate the seconds of a study that stops early, if every rung keeps its share only, and that is the cheapest.

    One rung after another, each as `estimate_s` tells; where nothing is stopped, the same as that.
    """
    left, done, total = sorted(plan.work, key=lambda one: speed.replicate_s(one[0])), 0, 0.0
    for rung in (*plan.rungs, None):
        until = [min(trial.epochs, rung or trial.epochs) for trial, _ in left]
        stage = [
            (dataclasses.replace(trial, epochs=epochs - done), seeds)
            for (trial, seeds), epochs in zip(left, until, strict=True)
            if epochs > done
        ]
        total += estimate_s(stage[::-1], workers, speed)
        if rung is not None:
            done, left = rung, left[: kept_at_least(plan.study.stop_early or StopEarly(), len(left))]
    return total


def trial_s(trial: Trial, seeds: int, speed: Speed) -> float:
    """Estimate the seconds that all seeds of a trial take on one worker."""
    return speed.compile_s(trial) + seeds * speed.replicate_s(trial)
