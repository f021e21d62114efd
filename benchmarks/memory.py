"""What each further worker takes of the memory, and how much of that is the data.

Real launches with 1 worker and with one for each core, on few clusters and on 7,946, watched while they train. `own` is
what nobody shares with the process (USS); `its part` counts shared pages in equal parts (PSS), so those of all
processes may be added. What a worker holds more of its own on many clusters than on few is its private copy of the
data; where the data are shared it is next to nothing. Run as `python benchmarks/memory.py` (Linux).
"""

import contextlib
import json
import os
import shutil
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from measuring import fresh_home, options, run_json, table, write_result, write_study

if TYPE_CHECKING:
    from clustersweep.storage.store import OpenTrial
    from clustersweep.study.plan import Plan
    from clustersweep.sweep.events import SweepEvent

CLUSTERS = (120, 7946)
MIB = 2**20


class Watch:
    """A launch's watcher that looks at the memory of all processes when every worker has trained a few epochs."""

    def __init__(self, workers: int, epochs: int) -> None:
        self._count, self._epochs = workers, epochs
        self._pids: dict[str, int] = {}
        self._ready: set[str] = set()
        self.seen: dict[str, Any] = {}

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """See `launch.LaunchWatcher`."""
        yield

    def made(self, done: int, total: int) -> None:
        """See `launch.LaunchWatcher`."""

    def waits(self, text: str) -> None:
        """See `launch.LaunchWatcher`."""

    def begin(self, plan: "Plan", open_trials: "list[OpenTrial]") -> None:
        """See `launch.LaunchWatcher`."""

    def on_event(self, event: "SweepEvent") -> None:
        """See `launch.LaunchWatcher`."""
        from clustersweep.sweep.events import EpochDone, ReplicateBegan

        match event:
            case ReplicateBegan(worker, _, _, _, pid):
                self._pids[worker] = pid
            case EpochDone(worker, _, event) if event.epoch >= self._epochs - 1:
                self._ready.add(worker)
                if len(self._ready) == self._count and not self.seen:
                    self._look()

    def end(self) -> None:
        """See `launch.LaunchWatcher`."""

    def _look(self) -> None:
        workers = [psutil.Process(pid).memory_full_info() for pid in self._pids.values()]
        driver = psutil.Process()
        others = []
        for process in driver.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.pid not in self._pids.values():
                    others.append(process.memory_full_info().pss)
        mine = driver.memory_full_info()
        self.seen = {
            "worker_rss_mib": round(statistics.median(one.rss for one in workers) / MIB),
            "worker_pss_mib": round(statistics.median(one.pss for one in workers) / MIB),
            "worker_uss_mib": round(statistics.median(one.uss for one in workers) / MIB),
            "driver_pss_mib": round(mine.pss / MIB),
            "ray_pss_mib": round(sum(others) / MIB),
            "all_pss_mib": round((mine.pss + sum(others) + sum(one.pss for one in workers)) / MIB),
        }


def watch_here(study_file: Path, home_folder: Path, workers: int) -> dict[str, Any]:
    """Launch a study in this process, and give what was seen."""
    from clustersweep.home import Home
    from clustersweep.postgres.location import open_database
    from clustersweep.report.sweep.study_report import write_study_report
    from clustersweep.sweep.launch import Options, launch
    from clustersweep.tasks import load_study

    study, home = load_study(study_file), Home(home_folder)
    watch = Watch(workers, study.task.training.epochs)
    launch(study, home, lambda: open_database(None, {}, home), Options(workers=workers),
           watcher=watch, write_report=write_study_report)  # fmt: skip
    return {"data_mib": round(study.task.load(study.axes, home.surveys).bytes / MIB, 1), **watch.seen}


def measure(clusters: int, workers: int, epochs: int, surveys: Path) -> dict[str, Any]:
    """Launch in a process of its own, as many combinations as workers, so that all train at the same time."""
    sections = {
        "data": {"simulate": {"clusters": clusters, "seed": 42}},
        "search_space": {"filters": [20 + number for number in range(workers)]},
        "network": {"kernel_size": 3, "conv_blocks": 2, "convs_per_block": 1, "dense_layers": 1},
        "training": {"epochs": epochs, "patience": epochs},
        "seeds": [0],
    }
    with fresh_home(surveys if surveys.exists() else None) as home:
        study = write_study(home.parent, "memory", sections)
        seen = run_json([sys.executable, __file__, "--watch", study, home, workers])
        shutil.copytree(home / "surveys", surveys, dirs_exist_ok=True)
    if "all_pss_mib" not in seen:
        raise SystemExit("the workers did not train at the same time: use more epochs")
    return {"clusters": clusters, "workers": workers, **seen}


def markdown(result: Mapping[str, Any]) -> str:
    """Lay a result out as tables."""
    titles = (
        "clusters",
        "data, MiB",
        "workers",
        "a worker: resident",
        "its part",
        "its own",
        "driver",
        "Ray",
        "all, MiB",
    )
    runs = result["runs"]
    rows = [(f"{one['clusters']:,}", one["data_mib"], one["workers"], one["worker_rss_mib"], one["worker_pss_mib"],
             one["worker_uss_mib"], one["driver_pss_mib"], one["ray_pss_mib"], one["all_pss_mib"])
            for one in runs]  # fmt: skip
    parts = [table(titles, rows)]
    if result.get("further_worker_mib"):
        further = [(f"{clusters:,}", mib) for clusters, mib in result["further_worker_mib"]]
        parts.append(table(("clusters", "each further worker, MiB"), further))
    return "\n\n".join(parts)


def main() -> None:
    """Measure, print, write."""
    parser = options(__doc__)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--watch", nargs=3, help="Internal: study, home, workers.")
    given = parser.parse_args()
    if given.watch:
        study, home, workers = given.watch
        print(json.dumps(watch_here(Path(study), Path(home), int(workers))))
        return
    counts = [1] if given.quick else sorted({1, os.cpu_count() or 1})
    runs, further = [], []
    with fresh_home() as folder:
        for clusters in CLUSTERS[:1] if given.quick else CLUSTERS:
            epochs = 100 if clusters == CLUSTERS[0] else given.epochs  # long enough to train at the same time
            mine = [measure(clusters, count, epochs, folder / "surveys") for count in counts]
            runs += mine
            if len(mine) > 1:
                more = mine[-1]["all_pss_mib"] - mine[0]["all_pss_mib"]
                further.append((clusters, round(more / (counts[-1] - counts[0]))))
    result = {"runs": runs, "further_worker_mib": further}
    write_result("memory", result, given.results)
    print(markdown(result))


if __name__ == "__main__":
    main()
