"""A whole launch whose workers train nothing: the real storage, loop, Ray and report; prints what each part took.

Only the worker is a twin: a Ray actor (or, with `here`, an object in this process) that answers at once with what
three epochs of training would tell, and imports no TensorFlow. Run by `overhead.py`, as a process of its own.
"""

import contextlib
import functools
import io
import json
import os
import resource
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import sqlalchemy
from rich.console import Console

from clustersweep.cli.progress import Display
from clustersweep.home import Home
from clustersweep.masses.report import write_study_report
from clustersweep.masses.task import load_study
from clustersweep.postgres.location import open_database
from clustersweep.storage.store import Storage
from clustersweep.study.events import EpochEnd, Finished
from clustersweep.sweep.events import SweepEvent, TrialDone
from clustersweep.sweep.launch import Options, launch
from clustersweep.workers import protocol as workers
from clustersweep.workers import ray_pool as ray_workers

EPOCHS = 3
CURVE = tuple((2.0 / epoch, 1.0 / epoch) for epoch in range(1, EPOCHS + 1))


def told() -> Iterator[Any]:
    """Yield what a worker tells of a replicate, at once."""
    yield workers.Began(socket.gethostname(), os.getpid())
    for epoch, (loss, val_loss) in enumerate(CURVE, 1):
        yield EpochEnd(epoch, loss, val_loss, 0.001)
    yield Finished(CURVE[-1][1], EPOCHS, EPOCHS, 0.003, CURVE, 0, b"weights")


class Twin:
    """The actor of `ray_workers` without the training."""

    def __init__(self, *given: object) -> None:
        pass

    def take(self, data: object) -> None:
        """Return once the worker is there."""

    def train(self, replicate: object, checkpoint: bytes | None) -> Iterator[Any]:
        """Tell what training would."""
        yield from told()

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]
    def stop(self) -> None:
        """Nothing trains."""


class TwinsHere:
    """Two workers in this process, without Ray: what is left is the loop and the storage."""

    def __init__(self, *given: object, **options: object) -> None:
        self._streams: dict[str, Iterator[Any]] = {}

    def idle(self) -> tuple[str, ...]:
        """See `workers.Workers`."""
        return tuple(name for name in ("worker-1", "worker-2") if name not in self._streams)

    def start(self, worker: str, replicate: object, checkpoint: bytes | None) -> None:
        """See `workers.Workers`."""
        self._streams[worker] = told()

    def events(self, timeout_s: float) -> list[tuple[str, Any]]:
        """See `workers.Workers`."""
        found = []
        for worker, stream in list(self._streams.items()):
            event = next(stream, None)
            if event is None:
                del self._streams[worker]
            else:
                found.append((worker, event))
        return found

    def alone(self) -> bool:
        """See `workers.Workers`."""
        return False

    def stop(self) -> None:
        """See `workers.Workers`."""

    def close(self) -> None:
        """See `workers.Workers`."""


class Recorder(Display):
    """The real display, writing to nowhere; notes when every step and trial was done, and the SQL until then."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.marks: list[tuple[str, float, int, int]] = []
        self.trials: list[float] = []
        self.statements = self.commits = 0
        self.insertion: dict[str, float] = {}
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


def time_insertion(recorder: Recorder) -> None:
    """Have the recorder note what adding all trials takes, which a first launch does beside other things."""
    begin = Storage.begin

    def timed(*given: Any, **options: Any) -> Any:
        before = time.monotonic(), recorder.statements, recorder.commits
        opened = begin(*given, **options)
        now = time.monotonic(), recorder.statements, recorder.commits
        recorder.insertion = dict(zip(("s", "statements", "commits"), (b - a for a, b in zip(before, now, strict=True)),
                                      strict=True))  # fmt: skip
        return opened

    Storage.begin = timed  # type: ignore[method-assign]


def main() -> None:
    """Launch the study file in the home that are named on the command line; `ray` or `here`."""
    study_file, home, kind = Path(sys.argv[1]), Home(Path(sys.argv[2])), sys.argv[3]
    ray_workers.RayWorkers = functools.partial(ray_workers.RayWorkers, actor=Twin)  # type: ignore
    workers.InProcessWorkers = TwinsHere  # type: ignore[misc,assignment]
    recorder = Recorder()
    time_insertion(recorder)
    start = time.monotonic()
    recorder.mark("start")
    study = load_study(study_file)
    done = launch(
        study, str(study_file), home, lambda: open_database(None, {}, home),
        Options(in_process=kind == "here"), recorder, write_study_report,
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
        "steps": {**steps, "adding the trials": recorder.insertion},
    }))  # fmt: skip


if __name__ == "__main__":
    main()
