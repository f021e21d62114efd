"""How good the sweep's order of work is: the project's own loop on simulated workers, 1 to 64 of them.

The loop is `clustersweep.sweep.loop.Sweep` itself, on storage in memory and on workers with a simulated clock: what is
measured is the code that decides and no copy of it. A replicate lasts what the cost model says, times a scatter of its
combination that the model does not know (lognormal, of `--scatter`), and the first of a combination on a worker also
its compilation; or what a sweep has measured (`--study FILE --measured results.csv`). The makespan is compared with the
bound max(total / workers, longest replicate), which no order can beat, for the plan's order (longest first) and for the
grid's. Run as `python benchmarks/schedule.py`.
"""

import csv
import heapq
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ROOT, options, table, write_result

from clustersweep.storage.store import Storage
from clustersweep.study.cost import Speed
from clustersweep.study.events import EpochEnd, Finished
from clustersweep.study.plan import Plan, make_plan
from clustersweep.study.results import Replicate, Trial
from clustersweep.survey.source import read_header
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.sweep.schedule import Backlog
from clustersweep.tasks import load_study, tasks

WORKERS = (1, 2, 4, 8, 16, 32, 64)
STUDIES = ("sweeps/quickstart.yaml", "sweeps/grid.yaml")
ORDERS = ("longest first", "grid")
Duration = Callable[[Replicate], float]


class SimulatedWorkers:
    """Workers whose clock is simulated; one that is given another combination than before compiles first."""

    def __init__(self, count: int, duration: Duration, compile_s: float) -> None:
        self._idle = [f"worker-{number}" for number in range(1, count + 1)]
        self._duration, self._compile_s = duration, compile_s
        self._compiled: dict[str, Trial] = {}
        self._running: list[tuple[float, int, str, Replicate, float]] = []
        self.now = 0.0
        self.started = self.compilations = 0

    def idle(self) -> tuple[str, ...]:
        """See `workers.Workers`."""
        return tuple(self._idle)

    def start(self, worker: str, replicate: Replicate, checkpoint: bytes | None, until: int | None = None) -> None:
        """See `workers.Workers`."""
        seconds, compiling = self._duration(replicate), 0.0
        if self._compiled.get(worker) is not replicate.trial:
            self._compiled[worker] = replicate.trial
            self.compilations += 1
            compiling = self._compile_s
        self._idle.remove(worker)
        self.started += 1
        heapq.heappush(self._running, (self.now + seconds + compiling, self.started, worker, replicate, compiling))

    def events(self, timeout_s: float) -> list[tuple[str, Any]]:
        """See `workers.Workers`. Moves the clock on to the end of the next replicate."""
        if not self._running:
            return []
        self.now, _, worker, replicate, compiling = heapq.heappop(self._running)
        self._idle.append(worker)
        seconds = self._duration(replicate)
        # Two epochs: by the second one the loop learns how fast its workers are, by the first how they compile.
        told = [EpochEnd(1, 1.0, 1.0, seconds / 2 + compiling), EpochEnd(2, 1.0, 1.0, seconds / 2)]
        end = Finished(1.0, 1, 2, seconds, ((1.0, 1.0), (1.0, 1.0)), 0, b"")
        return [(worker, event) for event in (*told, end)]

    def alone(self) -> bool:
        """See `workers.Workers`."""
        return False

    def stop(self) -> None:
        """See `workers.Workers`."""

    def close(self) -> None:
        """See `workers.Workers`."""


class AsListed(Backlog):
    """An order of work that knows no costs: trial after trial."""

    def __init__(self, work: Iterable[tuple[Iterable[int], float]]) -> None:
        listed = [tuple(seeds) for seeds, _ in work]
        super().__init__((seeds, 1.0) for seeds in listed)
        self._trials = range(len(listed))

    def most_work(self) -> int | None:
        """Return the first trial that waits."""
        return next((trial for trial in self._trials if self.seeds(trial)), None)


class NoFiles(RunFolder):
    """A run folder that keeps nothing: what writing weights takes is not simulated."""

    def save_weights(self, key: str, weights: bytes) -> None:
        """Keep nothing."""


def simulate(plan: Plan, workers: int, duration: Duration, compile_s: float, order: str) -> dict[str, Any]:
    """Run the loop over a plan's trials in one order, and compare its makespan with the bound."""
    storage, hired = Storage.in_memory(tasks), SimulatedWorkers(workers, duration, compile_s)
    open_trials = storage.begin(plan)
    if order == "grid":
        axes = plan.study.axes.items()
        open_trials.sort(key=lambda one: [values.index(one.trial.params[name]) for name, values in axes])
    with tempfile.TemporaryDirectory() as folder:
        backlog = AsListed if order == "grid" else Backlog
        outcome = Sweep(plan, open_trials, storage, hired, NoFiles(Path(folder)), backlog=backlog).run()
    if outcome.finished != len(plan.trials) or outcome.failed:
        raise SystemExit(f"the sweep is not complete: {outcome}")
    seconds = [duration(plan.replicate(trial, seed)) for trial in plan.trials for seed in plan.study.seeds]
    bound = max((sum(seconds) + compile_s * len(plan.trials)) / workers, max(seconds) + compile_s)
    return {"workers": workers, "order": order, "makespan_s": round(hired.now, 2), "bound_s": round(bound, 2),
            "over": round(hired.now / bound - 1, 4), "compilations": hired.compilations}  # fmt: skip


def modelled(scatter: float, speed: Speed) -> Duration:
    """Return durations by the cost model, each combination off by a factor that the model does not know."""

    def duration(replicate: Replicate) -> float:
        seed = zlib.crc32(repr(sorted(replicate.trial.params.items())).encode())
        factor = np.exp(scatter * np.random.default_rng(seed).standard_normal())
        return float(speed.replicate_s(replicate.trial) * factor)

    return duration


def measured(results: Path, plan: Plan) -> Duration:
    """Return the seconds that each replicate took in a sweep, from its results.csv."""
    axes = list(plan.study.axes)
    with results.open() as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "complete"]
    seconds = {(*(row[name] for name in axes), row["seed"]): float(row["seconds"]) for row in rows}

    def duration(replicate: Replicate) -> float:
        return seconds[(*(str(replicate.trial.params[name]) for name in axes), str(replicate.seed))]

    return duration


def plan_of(study_file: Path) -> Plan:
    """Plan a study without its data."""
    study = load_study(study_file)
    return make_plan(study, read_header(study.task.data))


def markdown(result: Mapping[str, Any]) -> str:
    """Lay a result out as tables: how far the makespan is above the bound."""
    parts = []
    for one in result["cases"]:
        counts = sorted({run["workers"] for run in one["runs"]})
        rows = [(order, *(f"{run['over']:.1%}" for run in one["runs"] if run["order"] == order)) for order in ORDERS]
        titles = (f"{one['study']}, {one['durations']}: above the bound with workers", *counts)
        parts.append(table(titles, rows))
    return "\n\n".join(parts)


def main() -> None:
    """Simulate, print, write."""
    parser = options(__doc__)
    parser.add_argument("--study", type=Path, nargs="+", default=[ROOT / path for path in STUDIES])
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS))
    parser.add_argument("--scatter", type=float, nargs="+", default=[0.0, 0.25])
    parser.add_argument("--measured", type=Path, help="results.csv of a sweep of the one --study.")
    parser.add_argument("--compile", type=float, default=1.5, help="Seconds to compile a combination.")
    given = parser.parse_args()
    cases = []
    for path in given.study[:1] if given.quick else given.study:
        plan = plan_of(path)
        durations = {f"modelled, scatter {s:g}": modelled(s, Speed()) for s in given.scatter}
        if given.measured:
            durations = {"measured": measured(given.measured, plan)}
        for words, duration in durations.items():
            runs = [simulate(plan, count, duration, given.compile, order)
                    for count in ([2] if given.quick else given.workers) for order in ORDERS]  # fmt: skip
            cases.append({"study": plan.study.name, "replicates": plan.replicates, "durations": words, "runs": runs})
    result = {"cases": cases, "compile_s": given.compile}
    write_result("schedule", result, given.results)
    print(markdown(result))


if __name__ == "__main__":
    main()
