"""What is left to train: the trial with the most work first, in the same time however many there are."""

import heapq
from collections.abc import Iterable


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
        self._total = sum(map(len, self._seeds))
        # (-work, trial, seeds); an entry whose number of seeds is not the trial's any more counts for nothing.
        self._heap = [self._entry(trial) for trial, seeds in enumerate(self._seeds) if seeds]
        heapq.heapify(self._heap)

    def __bool__(self) -> bool:
        return self._total > 0

    def seeds(self, trial: int) -> tuple[int, ...]:
        """Give the seeds of a trial that wait."""
        return tuple(self._seeds[trial])

    def most_work(self) -> int | None:
        """Give the trial whose waiting seeds cost most; of equals the first, None when nothing waits."""
        while self._heap:
            _, trial, count = self._heap[0]
            if count == len(self._seeds[trial]):
                return trial
            heapq.heappop(self._heap)
        return None

    def take(self, trial: int) -> int:
        """Take the next seed of a trial that has one."""
        seed = self._seeds[trial].pop(0)
        self._total -= 1
        self._changed(trial)
        return seed

    def put_back(self, trial: int, seed: int) -> None:
        """Have a seed wait again, before the trial's others."""
        self._seeds[trial].insert(0, seed)
        self._total += 1
        self._changed(trial)

    def _changed(self, trial: int) -> None:
        if self._seeds[trial]:
            heapq.heappush(self._heap, self._entry(trial))

    def _entry(self, trial: int) -> tuple[float, int, int]:
        count = len(self._seeds[trial])
        return -count * self._costs[trial], trial, count
