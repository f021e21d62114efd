"""A whole launch whose workers train nothing: the real storage, loop, Ray and report; prints what each part took.

Only the trainer stands in: on Ray's workers (or, with `here`, in this process) it answers at once with what three
epochs of training would tell, and imports no TensorFlow. Of a study that names a function (`noop_own.py`) nothing does.
Run by `overhead.py`, as a process of its own.
"""

import contextlib
import io
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy
from rich.console import Console

from clustersweep.display.progress import Display
from clustersweep.home import Home
from clustersweep.masses.task import ClusterMasses
from clustersweep.own.task import OwnTask
from clustersweep.postgres.location import open_database
from clustersweep.report.sweep.study_report import write_study_report
from clustersweep.storage.store import OpenTrial
from clustersweep.study.events import EpochEnd, Event, Finished
from clustersweep.study.plan import Plan
from clustersweep.study.study import read_study
from clustersweep.study.task import Task
from clustersweep.sweep.events import SweepEvent, TrialDone
from clustersweep.sweep.launch import Options, launch

EPOCHS = 3
CURVE = tuple((2.0 / epoch, 1.0 / epoch) for epoch in range(1, EPOCHS + 1))


@dataclass(frozen=True, kw_only=True)
class Noop(ClusterMasses):
    """Cluster masses, of which nothing is trained."""

    def trainers(self, data: object, *, cpus: int, gpus: float | str, deterministic: bool) -> "NoopTrainers":  # type: ignore[override]
        """Prepare nothing."""
        return NoopTrainers()


class NoopTrainers:
    """See `study.task.Trainers` and `Trainer`: the trainer of every combination."""

    gpu_share = 0.0

    def trainer(self, spec: object) -> "NoopTrainers":
        """Return itself."""
        return self

    def replicate(self, seed: int, **given: object) -> Iterator[Event]:
        """Tell at once what training would."""
        for epoch, (loss, val_loss) in enumerate(CURVE, 1):
            yield EpochEnd(epoch, loss, val_loss, 0.001)
        yield Finished(CURVE[-1][1], EPOCHS, EPOCHS, 0.003, CURVE, 0, b"weights")


def tasks(content: Mapping[str, Any]) -> type[Task]:
    """Return this task in the place of cluster masses; a study that names a function has the real one."""
    return OwnTask if "task" in content else Noop


class Recorder(Display):
    """The real display, writing to nowhere; notes when every step and trial was done, and the SQL until then."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.marks: list[tuple[str, float, int, int]] = []
        self.trials: list[float] = []
        self.statements = self.commits = 0
        sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", self._statement)
        sqlalchemy.event.listen(sqlalchemy.Engine, "commit", self._commit)

    def mark(self, what: str) -> None:
        """Note that something is done."""
        self.marks.append((what, time.monotonic(), self.statements, self.commits))

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """See `launch.LaunchWatcher`."""
        self.mark(f"before {text}")
        with super().step(text):
            yield
        self.mark(text)

    def begin(self, plan: Plan, open_trials: list[OpenTrial]) -> None:
        """See `launch.LaunchWatcher`."""
        self.mark("adding the trials")
        super().begin(plan, open_trials)

    def on_event(self, event: SweepEvent) -> None:
        """See `launch.LaunchWatcher`."""
        super().on_event(event)
        if isinstance(event, TrialDone):
            self.trials.append(time.monotonic())

    def end(self) -> None:
        """See `launch.LaunchWatcher`."""
        super().end()
        self.mark("the sweep")

    def _statement(self, *given: object) -> None:
        self.statements += 1

    def _commit(self, *given: object) -> None:
        self.commits += 1


def main() -> None:
    """Launch the study file in the home that are named on the command line; `ray` or `here`."""
    study_file, home, kind = Path(sys.argv[1]), Home(Path(sys.argv[2])), sys.argv[3]
    recorder = Recorder()
    start = time.monotonic()
    recorder.mark("start")
    study = read_study(study_file, tasks)
    done = launch(
        study, home, lambda: open_database(None, {}, home),
        Options(in_process=kind == "here"), watcher=recorder, write_report=write_study_report,
    )  # fmt: skip
    recorder.mark("closing")
    seconds = time.monotonic() - start
    trials = len(recorder.trials)
    if done.outcome is None or done.outcome.finished != trials or done.outcome.failed:
        raise SystemExit(f"not every trial is complete: {done.outcome}")
    steps, before = {}, recorder.marks[0]
    for mark in recorder.marks[1:]:
        what = "reading the results" if before[0] == "the sweep" else mark[0]
        if not what.startswith("before "):
            steps[what] = {"s": round(mark[1] - before[1], 4), "statements": mark[2] - before[2],
                              "commits": mark[3] - before[3]}  # fmt: skip
        before = mark
    gaps = [1000 * (b - a) for a, b in zip(recorder.trials, recorder.trials[1:], strict=False)]
    tenth = max(1, len(gaps) // 10)
    print(json.dumps({
        "trials": trials,
        "seeds": len(study.seeds),
        "workers": kind,
        "seconds": round(seconds, 3),
        "ms_per_trial": round(statistics.fmean(gaps), 3),
        "ms_first_tenth": round(statistics.fmean(gaps[:tenth]), 3),
        "ms_last_tenth": round(statistics.fmean(gaps[-tenth:]), 3),
        "driver_peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "steps": steps,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
