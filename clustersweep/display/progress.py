"""What a person sees while a sweep runs: a live display on a terminal, one line per trial elsewhere."""

import contextlib
import importlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.status import Status
from rich.table import Table

from clustersweep.display.tables import further_text, params_text, rung_text, stopping_text
from clustersweep.display.values import html_of
from clustersweep.errors import first_line
from clustersweep.storage.store import OpenTrial
from clustersweep.study.cost import Speed
from clustersweep.study.keys import Params
from clustersweep.study.plan import Plan
from clustersweep.study.race import Race
from clustersweep.study.results import CompleteReplicate, FailedReplicate, Replicate, Trial, combination
from clustersweep.sweep.events import (
    EpochDone,
    RaceLooked,
    ReplicateBegan,
    ReplicateDone,
    ReplicatePaused,
    RungDecided,
    StorageAway,
    StorageBack,
    SweepEvent,
    TrialDone,
    TrialStopped,
    WorkerLost,
)
from clustersweep.sweep.remaining import Remaining
from clustersweep.words import counted, duration


class Steps:
    """Shows the steps that come before training on one console (stderr).

    Args:
        console: Where to.
        also: Called with every event that is told, too.
    """

    def __init__(self, console: Console, also: Callable[[Any], object] | None = None) -> None:
        self._console, self._also = console, also or (lambda event: None)
        self._survey_told = -1
        self._status: Status | None = None

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show a step: on a terminal a spinner while it lasts; a line with its time when it is done."""
        started = time.monotonic()
        self._status = self._console.status(text) if self._console.is_terminal else None
        with self._status or contextlib.nullcontext():
            yield
        self._say(f"{text} [dim]({time.monotonic() - started:.1f} s)[/dim]")

    def made(self, done: int, total: int) -> None:
        """Show the simulation's progress: beside the spinner, or a line for every quarter of it."""
        quarter = 4 * done // max(1, total)
        if self._status is not None:
            self._status.update(f"simulated {done:,} of {total:,} clusters")
        elif quarter != self._survey_told:
            self._survey_told = quarter
            self._say(f"  simulated {done:,} of {total:,} clusters")

    def waits(self, text: str) -> None:
        """Show what a launch waits for."""
        if self._status is not None:
            self._status.update("waiting for room on this machine")
        self._say(f"[yellow]{escape(text)}[/yellow]")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


class Display(Steps):
    """Shows the steps of a launch and the progress of its sweep."""

    def __init__(self, console: Console, also: Callable[[SweepEvent], object] | None = None) -> None:
        super().__init__(console, also)
        self._live: Live | NotebookLive | None = None
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"),
            console=console,
        )  # fmt: skip
        self._workers: dict[str, tuple[str, ...]] = {}
        self._best: tuple[float, Params] | None = None
        self._trials = self._trials_done = 0
        self._seeds: dict[object, int] = {}  # to train, by combination
        self._remaining: Remaining | None = None
        self._began_at = 0.0

    def begin(self, plan: Plan, open_trials: list[OpenTrial]) -> None:
        """Show what is to be done."""
        self._metric = plan.study.metric
        seeds = plan.study.seeds
        missing = [(t, len(set(t.seeds or seeds) - set(t.done))) for t in open_trials]
        replicates = sum(count for _, count in missing)
        further = sum(len(set(t.seeds) - set(seeds) - set(t.done)) for t in open_trials)
        self._console.print(
            f"[bold]{escape(plan.study.name)}[/bold]: {counted(plan.combinations, 'combination')}, "
            f"{len(plan.trials)} feasible, "
            f"{len(plan.infeasible)} impossible (`clustersweep plan` tells why); "
            f"{replicates - further} of {counted(plan.replicates, 'replicate')} to train"
            + (f", and {counted(further, 'further seed')} of the best" if further else ""),
            highlight=False,
            soft_wrap=True,
        )
        if plan.study.task.code is not None:
            self._say(f"runs {escape(plan.study.task.code.words)} (digest {plan.study.task.code.digest})")
        if plan.same:
            are = f"{len(plan.same)} of them {'is' if len(plan.same) == 1 else 'are'}"
            self._say(f"{are} the same network as another (`clustersweep plan` tells which)")
        for text in filter(None, (stopping_text(plan), further_text(plan))):
            self._say(escape(text))
        if not replicates:
            return
        self._trials, self._began_at = len(open_trials), time.monotonic()
        self._seeds = {combination(opened.trial.params): count for opened, count in missing}
        work = [(one.trial, [seed for seed in one.seeds or seeds if seed not in one.done]) for one in open_trials]
        speed = Speed()  # what is assumed will do: all that counts is how trials compare
        self._remaining = Remaining(work, speed.epoch_s, speed.compile_s, plan.epochs_ahead)
        total = plan.replicates + further
        self._task = self._bar.add_task("replicates", total=total, completed=total - replicates, left="")
        if self._console.is_terminal:
            self._live = Live(self._picture(), console=self._console, refresh_per_second=4, transient=True)
        elif self._console.is_jupyter:
            self._live = NotebookLive()

    def on_event(self, event: SweepEvent) -> None:
        """Show what happened."""
        self._also(event)
        if self._live is not None and not self._live.is_started:
            self._live.start()
        if self._remaining is not None:
            self._remaining.on_event(event)
        self._show(event)
        if self._live is not None:
            self._live.update(self._picture())

    def _show(self, event: SweepEvent) -> None:
        match event:
            case ReplicateBegan(worker, replicate, epoch, _, _):
                since = f"continues after epoch {epoch}" if epoch else "compiling"
                self._workers[worker] = (*_described(replicate), since, "")
            case EpochDone(worker, replicate, end):
                of = f"{end.epoch}/{most}" if 1 < (most := replicate.trial.epochs) >= end.epoch else str(end.epoch)
                self._workers[worker] = (*_described(replicate), of, f"{end.val_loss:.4f}")
                self._bar.update(self._task, left=self._left())
            case ReplicateDone(worker, _, _):
                self._workers.pop(worker, None)
                self._bar.update(self._task, advance=1)
            case ReplicatePaused(worker, _, _):
                self._workers.pop(worker, None)
                self._bar.update(self._task, left=self._left())
            case RungDecided(rung):
                self._say(rung_text(rung))
            case RaceLooked(race, work):
                self._race(race, work)
            case TrialStopped(_, replicate, _):
                self._trials_done += 1
                self._bar.update(self._task, advance=self._seeds[combination(replicate.trial.params)])
            case TrialDone():
                self._trial_done(event)
            case WorkerLost() | StorageAway() | StorageBack():
                self._trouble(event)

    def _race(self, race: Race, work: Sequence[tuple[Trial, tuple[int, ...]]]) -> None:
        if race.text:
            self._say(escape(race.text))
        for trial, seeds in work:
            self._trials += 1
            if self._remaining is not None:
                self._remaining.add(trial, seeds)
        more = sum(len(seeds) for _, seeds in work)
        if more:
            self._bar.update(self._task, total=(self._bar.tasks[0].total or 0) + more)

    def _trouble(self, event: WorkerLost | StorageAway | StorageBack) -> None:
        match event:
            case WorkerLost(worker, replicate, reason, again):
                self._workers.pop(worker, None)
                then = "goes on elsewhere" if again else "is given up"
                text = (
                    f"{worker} died ({reason}); seed {replicate.seed} of {params_text(replicate.trial.params)} {then}"
                )
                self._console.print(f"[yellow]{escape(text)}[/yellow]", highlight=False, soft_wrap=True)
            case StorageAway(reason, patience_s):
                text = f"{reason}\nwaiting for it, {duration(patience_s)} at most: workers go on, and nothing is lost"
                self._console.print(f"[yellow]{escape(text)}[/yellow]", highlight=False, soft_wrap=True)
            case StorageBack(seconds):
                self._console.print(f"the database is back after {duration(seconds)}", highlight=False)

    def end(self) -> None:
        """Take the live display away."""
        if self._live is not None and self._live.is_started:
            self._live.stop()
        self._live = None

    def _trial_done(self, event: TrialDone) -> None:
        self._trials_done += 1
        params = event.replicate.trial.params
        if event.value is not None and (self._best is None or self._metric.better(event.value, self._best[0])):
            self._best = (event.value, params)
        if event.value is None:
            errors = {first_line(r.error) for r in event.results if isinstance(r, FailedReplicate) and r.error}
            text = f"[red]failed[/red]: {escape('; '.join(sorted(errors)))}"
        else:
            values = [r.value for r in event.results if isinstance(r, CompleteReplicate)]
            text = f"{escape(self._metric.name)} {event.value:.4f} (seeds {min(values):.4f} to {max(values):.4f})"
        if self._live is None or event.value is None:
            seconds = sum(r.seconds for r in event.results)
            left = f", {self._left()}" if self._left() else ""
            self._console.print(
                f"trial {event.number} ({self._trials_done} of {self._trials}): {escape(params_text(params))}: {text}, "
                f"{seconds:.1f} s{left}",
                highlight=False,
                soft_wrap=True,
            )

    def _left(self) -> str:
        """Return the time that is left in words; nothing while no epoch tells."""
        seconds = self._remaining.after(time.monotonic() - self._began_at) if self._remaining else None
        return "" if seconds is None else f"about {duration(seconds)} left"

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("worker", "combination", "seed", "epoch", self._metric.name):
            table.add_column(escape(title))
        for worker in sorted(self._workers):
            table.add_row(worker, *self._workers[worker])
        best = (
            f"best so far: {self._best[0]:.4f} with {escape(params_text(self._best[1]))}"
            if self._best
            else "no trial finished yet"
        )
        return Group(table, self._bar, best)


class NotebookLive:
    """A picture in a notebook that changes in its place, and is gone at the end."""

    EVERY_S = 0.5

    def __init__(self) -> None:
        self._ipython = importlib.import_module("IPython.display")  # there is one, or this would be no notebook
        self._handle: Any = None
        self._shown_at = 0.0

    @property
    def is_started(self) -> bool:
        """Say whether it is there."""
        return self._handle is not None

    def start(self) -> None:
        """Put it below the cell."""
        self._handle = self._ipython.display(self._ipython.HTML(""), display_id=True)

    def update(self, picture: Group) -> None:
        """Change it, twice a second at most."""
        if self._handle is not None and time.monotonic() - self._shown_at >= self.EVERY_S:
            self._shown_at = time.monotonic()
            self._handle.update(self._ipython.HTML(html_of(lambda out: out.print(picture))))

    def stop(self) -> None:
        """Take it away."""
        if self._handle is not None:
            self._handle.update(self._ipython.HTML(""))
        self._handle = None


def launch_display(also: Callable[[SweepEvent], object] | None = None) -> Display:
    """Return a display of a launch on stderr, or in the notebook that this process belongs to."""
    console = Console(stderr=True)
    if console.is_jupyter:  # Ray's words about widgets of its own, which nobody needs here
        logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)
    return Display(console, also)


def _described(replicate: Replicate) -> tuple[str, str]:
    return escape(params_text(replicate.trial.params)), str(replicate.seed)


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while it is a terminal, moved by the function that this gives."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
