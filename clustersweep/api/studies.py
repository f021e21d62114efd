"""Studies: planned, launched, read, reported and exported, as the verbs do it."""

import contextlib
import functools
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clustersweep.api.places import database_of, home_of
from clustersweep.api.stored import Stored, open_to_read, read_left, read_stored
from clustersweep.cpus import available_cpus
from clustersweep.display.values import Shown
from clustersweep.errors import DataError, Problem, StudyChangedError

# Each function imports what it needs when it runs: a plan waits neither for Ray nor for TensorFlow.
if TYPE_CHECKING:
    from astropy.table import Table
    from rich.console import Console

    from clustersweep.home import Home
    from clustersweep.masses.export import Exported as MassesExported
    from clustersweep.own.export import Exported as OwnExported
    from clustersweep.storage.store import Overview
    from clustersweep.study.cost import Speed
    from clustersweep.study.plan import Left, Plan
    from clustersweep.study.replay import Replayed
    from clustersweep.study.results import SweepResults, TrialResult
    from clustersweep.study.study import Study
    from clustersweep.study.task import Infeasible
    from clustersweep.sweep.events import SweepEvent
    from clustersweep.sweep.run_folder import RunFolder
    from clustersweep.sweep.running import Outcome


def load_study(path: Path | str) -> "Study":
    """Read a study file. Relative paths in it start from its own folder.

    Raises:
        StudyError: With every problem of the file.
    """
    from clustersweep.tasks import load_study as read

    return read(Path(path))


@dataclass(frozen=True, repr=False)
class Planned(Shown):
    """What a launch would do; it shows the impossible combinations with what kills each, and the others in order.

    Attributes:
        plan: The plan: `trials`, `infeasible`, `digest`.
        workers: How many the time is estimated for.
        speed: How fast each is.
        left: What a launch would train; None where the study is not stored, or was not compared.
        unknown: In that case, why.
        refused: Why a launch would refuse the file.
    """

    plan: "Plan"
    workers: int
    speed: "Speed"
    left: "Left | None" = None
    unknown: str = ""
    refused: StudyChangedError | None = None

    @property
    def feasible(self) -> tuple[dict[str, Any], ...]:
        """The combinations that would be trained."""
        return tuple(dict(trial.params) for trial in self.plan.trials)

    @property
    def infeasible(self) -> tuple[tuple[dict[str, Any], "Infeasible"], ...]:
        """The impossible ones, each with the evidence."""
        return tuple((dict(params), why) for params, why in self.plan.infeasible)

    @property
    def seconds(self) -> float:
        """Estimate of the training, if none stops early."""
        from clustersweep.sweep.schedule import estimate_s

        work = self.plan.work if self.left is None else self.left.work
        return estimate_s(work, self.workers, self.speed) if work else 0.0

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep plan` does."""
        from clustersweep.display.tables import print_plan

        print_plan(self.plan, self.workers, self.speed, out, left=self.left, unknown=self.unknown)


def plan(
    study: "Study | Path | str",
    *,
    workers: int | None = None,
    storage: str | None = None,
    home: Path | str | None = None,
) -> Planned:
    """Plan a study: what would run, what is impossible and why, in which order, and what it costs. Trains nothing.

    Where the database can be reached, what is stored is left out of the work; no server is started for that.

    Args:
        study: The study, or its file.
        workers: Estimate the time for so many; None: for all CPUs.
        storage: PostgreSQL URL; None: `CLUSTERSWEEP_STORAGE`, else the embedded server.
        home: Folder of the embedded database, surveys and runs; None: `CLUSTERSWEEP_HOME`, else the user's own.

    Raises:
        StudyError: With every problem of the file.
        DataError: The data cannot be used.
        StorageError: The storage that was named cannot be reached.
    """
    from clustersweep.study.plan import make_plan
    from clustersweep.sweep.speeds import read_speed

    study = _loaded(study)
    study.task.check_data()
    planned = make_plan(study, study.task.header(study.axes))
    place = home_of(home, make=False)
    speed = read_speed(place.speeds, study.resources.cpus_per_worker)
    count = workers or max(1, available_cpus() // study.resources.cpus_per_worker)
    try:
        left, why = read_left(planned, storage, place)
    except StudyChangedError as error:
        return Planned(planned, count, speed, None, "launch would refuse this file: see below", error)
    return Planned(planned, count, speed, left, why)


@dataclass(frozen=True, repr=False)
class Results(Shown):
    """What is stored of a study; it shows how far that is, and the best combinations.

    Attributes:
        sweep: Everything that a report may read.
        launch: The launch that lives, as it names itself; None where none does.
        left: What a launch of the file would train; None where that is not known.
        replicates: How many the file has.
        notes: What was not compared with what is stored, and why.
    """

    sweep: "SweepResults"
    launch: str | None = None
    left: "Left | None" = None
    replicates: int = 0
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> "TrialResult | None":
        """The best complete trial: `params`, `value`, `replicates`; None before there is one."""
        return next(iter(self.sweep.ranked()), None)

    @property
    def ranked(self) -> "tuple[TrialResult, ...]":
        """Complete trials, best first."""
        return self.sweep.ranked()

    def table(self) -> "Table":
        """Return a table with one row for each replicate, and one for each impossible combination.

        The columns are those of `results.csv`; what is not known is masked.
        """
        from astropy.table import Table

        from clustersweep.report.sweep.table import results_csv

        return Table.read(results_csv(self.sweep).decode(), format="ascii.csv")

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep status` does."""
        from clustersweep.display.tables import print_status

        print_status(self.sweep, out, self.launch, self.left, self.replicates)
        for note in self.notes:
            out.out(note, highlight=False)


def results(study: "Study | Path | str", *, storage: str | None = None, home: Path | str | None = None) -> Results:
    """Read how far a study is, and what it came to. Works where the data are not mounted, too.

    Args:
        study: The study, its file, or the name of a stored one; by its name alone nothing is compared with a file.
        storage: As in `plan`.
        home: As in `plan`.

    Raises:
        StorageError: The database cannot be reached, or has no such study.
        StudyChangedError: The file is another study than what is stored.
    """
    from clustersweep.postgres.location import living_launch
    from clustersweep.study.plan import make_plan

    if name := _name_of(study):
        return _results_of(name, storage, home)
    study = _loaded(study)
    stored = read_stored(study, storage, home_of(home, make=False))
    launch, left, replicates = living_launch(stored.database, study.name), None, 0
    notes = [stored.note] if stored.note else []
    if study.task.lays_out_by_code:
        notes.append("what a launch would train is not told: `feasible` is code of the study, and plan runs it")
    elif stored.header is not None:
        planned = make_plan(study, stored.header)
        left, replicates = stored.storage.left(planned, same_code=True), planned.replicates
    else:  # what is impossible depends on the shape of the images
        notes.append("without the data, what a launch would train is not told")
    return Results(stored.results, launch, left, replicates, tuple(notes))


@dataclass(frozen=True, repr=False)
class Launched(Shown):
    """What a launch came to; it shows the best combinations.

    Attributes:
        results: What the study came to so far.
        report: The HTML report; None where no trial is complete.
        outcome: How the sweep went: `interrupted`, `aborted`, counts; None where everything was finished before.
    """

    results: Results
    report: Path | None
    outcome: "Outcome | None"

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep launch` does at its end."""
        from clustersweep.display.tables import open_rung_text, print_best

        if self.outcome is not None and self.outcome.aborted:
            out.out(f"stopped: {self.outcome.aborted}. Mend it and launch again", highlight=False)
        if self.outcome is not None and self.outcome.interrupted:
            out.print("interrupted: what ran is checkpointed; launch again to go on from there", soft_wrap=True)
        if self.outcome is not None and self.outcome.open_rung is not None:
            out.print(open_rung_text(self.outcome.open_rung), highlight=False, soft_wrap=True)
        print_best(self.results.sweep, out)
        if self.report is not None:
            out.out(f"report  {self.report}", highlight=False)


def launch(
    study: "Study | Path | str",
    *,
    workers: int | None = None,
    address: str | None = None,
    in_process: bool = False,
    keep_failed: bool = False,
    same_code: bool = False,
    wait_s: float | None = None,
    storage: str | None = None,
    home: Path | str | None = None,
    on_event: "Callable[[SweepEvent], None] | None" = None,
) -> Launched:
    """Train what is left of a study, and write its report; the same again goes on where it stopped.

    Ctrl-C (in a notebook: interrupt) has it checkpoint and return: `outcome.interrupted` says so. A second one
    raises KeyboardInterrupt at once.

    Args:
        study: The study, or its file.
        workers: No more workers than this; None: as many as fit.
        address: A running Ray cluster; None: `RAY_ADDRESS`, else Ray on this machine.
        in_process: Train in this process, without Ray.
        keep_failed: Do not try failed replicates once more.
        same_code: Go on though the code of a trainer of one's own has changed; that is recorded.
        wait_s: How long to wait for room, seconds; None: ten minutes on a cluster, and on this machine until the
            launches that came first leave room.
        storage: As in `plan`.
        home: As in `plan`.
        on_event: Called with every event of the sweep.

    Raises:
        ClusterSweepError: See its tree; what is finished is kept in every case.
    """
    from clustersweep.display.progress import launch_display
    from clustersweep.report.sweep.study_report import write_study_report
    from clustersweep.sweep.launch import Options
    from clustersweep.sweep.launch import launch as run

    study, place = _loaded(study), home_of(home)
    options = Options(
        address=address or os.environ.get("RAY_ADDRESS") or None,
        workers=workers,
        in_process=in_process,
        retry_failed=not keep_failed,
        same_code=same_code,
        wait_s=wait_s,
    )
    write = functools.partial(write_study_report, options=given(home=home), other_storage=storage is not None)
    opened = functools.partial(database_of, storage, place)
    done = run(study, place, opened, options, watcher=launch_display(on_event), write_report=write)
    return Launched(Results(done.results), done.report, done.outcome)


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """A report that was written.

    Attributes:
        html: Its page.
        csv: Its table.
        results: What it is of.
        notes: What was not compared with what is stored, and why.
    """

    html: Path
    csv: Path
    results: "SweepResults"
    notes: tuple[str, ...] = ()

    def show(self, out: "Console") -> None:
        """Print where it is."""
        for line in (self.html, self.csv, *self.notes):
            out.out(str(line), highlight=False)


def write_report(
    study: "Study | Path | str",
    to: Path | str | None = None,
    *,
    storage: str | None = None,
    home: Path | str | None = None,
) -> Report:
    """Write the HTML report, which works offline, and results.csv.

    Args:
        study: The study, or its file.
        to: The folder; None: the study's run folder.
        storage: As in `plan`.
        home: As in `plan`.

    Raises:
        NothingCompleteError: No trial is complete.
        StorageError: The database cannot be reached, or has no such study; or the disk is full.
        StudyChangedError: The file is another study than what is stored.
    """
    from clustersweep.report.sweep.study_report import write_study_report

    study = _loaded(study)
    stored = read_stored(study, storage, home_of(home, make=False))
    folder = home_of(home).run(study.name) if to is None else Path(to)
    written = write_study_report(
        stored.results, stored.source, folder, Path(study.where), options=given(home=home),
        other_storage=storage is not None,
    )  # fmt: skip
    return Report(written.html, written.csv, stored.results, (stored.note,) if stored.note else ())


@dataclass(frozen=True, repr=False)
class Exported(Shown):
    """What was exported; it shows from which others the noise cannot tell it, and the proof.

    Attributes:
        folder: Where.
        trial: Which trial: `params`, `value`, `number`.
        rank: Its rank.
        details: Evidence and proof; what they are depends on what the study trains.
    """

    folder: Path
    trial: "TrialResult"
    rank: int
    details: "MassesExported | OwnExported"
    results: "SweepResults"

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep export` does."""
        from clustersweep.display.tables import print_export

        print_export(self.details, self.trial, self.results, out)


def export(
    study: "Study | Path | str",
    to: Path | str = "best",
    *,
    rank: int = 1,
    trial: int | None = None,
    force: bool = False,
    storage: str | None = None,
    home: Path | str | None = None,
) -> Exported:
    """Write the best trial for the training package: config.yaml, model.keras, provenance.json; proved by reloading.

    Of a study that names a function of one's own: best.yaml, its code, and what it saved last.

    Args:
        study: The study, or its file.
        to: The folder; made if missing.
        rank: The best trial is 1.
        trial: A trial by its number, whatever its rank.
        force: Replace a config.yaml (best.yaml) that was edited.
        storage: As in `plan`.
        home: As in `plan`.

    Raises:
        NothingCompleteError: There is no such trial, or it is not complete.
        ConfigurationError: What is in the folder was edited.
        DataError: The data are not there, or cannot be used.
        StorageError: The weights are not on this machine, or are not those of the sweep.
    """
    from clustersweep.study.ranking import choose
    from clustersweep.sweep.run_folder import RunFolder

    study = _loaded(study)
    stored = read_stored(study, storage, home_of(home, make=False))
    place = home_of(home)
    chosen, found = choose(stored.results, rank=rank, number=trial)
    files = RunFolder(place.run(study.name))
    details: MassesExported | OwnExported
    if study.task.code is not None:
        from clustersweep.own.export import export as export_own

        details = export_own(study, stored.results, chosen, found, files=files, to=Path(to), force=force)
    else:
        details = _export_masses(study, stored, chosen, found, files=files, to=Path(to), force=force, home=place)
    return Exported(details.folder, chosen, found, details, stored.results)


def _export_masses(
    study: "Study",
    stored: Stored,
    chosen: "TrialResult",
    rank: int,
    *,
    files: "RunFolder",
    to: Path,
    force: bool,
    home: "Home",
) -> "MassesExported":
    from clustersweep.display.progress import launch_display
    from clustersweep.masses.export import export, read_weights
    from clustersweep.masses.task import masses_of
    from clustersweep.study.definition import replicate_key
    from clustersweep.sweep.launch import read_plan
    from clustersweep.training.device import configure_device

    # First what can be told without the data, which may be large, or not there.
    results = stored.results
    best = chosen.best_replicate(results.metric)
    read_weights(chosen, replicate_key(study, stored.data_digest, chosen.params, best.seed), files)
    if stored.absent is not None:
        trial_text = f"trial {chosen.number} (rank {rank} of {len(results.distinct())})"
        rule = f"is not to be found here, and export computes the validation loss of {trial_text} again from the data"
        remedy = f"Mount the data, or mend their path in {study.where}: where they lie is no part of the study."
        raise DataError([Problem(str(stored.absent), "", "", rule, remedy)])
    if stored.refused is not None:
        raise stored.refused
    planned = read_plan(study, home, launch_display())
    with contextlib.suppress(RuntimeError):  # where TensorFlow has computed before, as it may have in a notebook
        configure_device(study.resources.cpus_per_worker)
    data = masses_of(study).load(study.axes, home.surveys)
    return export(planned, results, chosen, rank, data=data, files=files, to=to, force=force)


def given(**options: object) -> tuple[str, ...]:
    """Repeat options for commands to be copied. Never the storage: it may hold a password."""
    found = ((f"--{name}", str(value)) for name, value in options.items() if value is not None)
    return tuple(itertools.chain.from_iterable(found))


def _loaded(study: "Study | Path | str") -> "Study":
    return load_study(study) if isinstance(study, Path | str) else study


def study_name(study: "Study | Path | str") -> str:
    """Return the name of a study, of its file, or of a stored one that is named.

    Raises:
        StudyError: It is a file, with every problem of it.
    """
    return _name_of(study) or _loaded(study).name


def _name_of(study: "Study | Path | str") -> str:
    """Return the name of a stored study; empty where a study is given, or what may be its file."""
    from clustersweep.study.study import NAME

    given = str(study) if isinstance(study, Path | str) else ""
    is_file = given.endswith((".yaml", ".yml")) or Path(given).exists()
    return given if not is_file and re.fullmatch(NAME, given) else ""


def _results_of(name: str, storage: str | None, home: Path | str | None) -> Results:
    from clustersweep.postgres.location import living_launch

    database, stored = open_to_read(storage, home_of(home, make=False))
    try:
        return Results(stored.results(name), living_launch(database, name))
    finally:
        stored.close()


@dataclass(frozen=True, repr=False)
class Studies(Shown):
    """Every study of a database, and how far it is.

    Attributes:
        overviews: For each its `name`, `results` (None where clustersweep did not make it) and when it `changed`.
        launches: Those that live, by study.
    """

    overviews: "tuple[Overview, ...]"
    launches: dict[str, str]

    def __iter__(self) -> "Iterator[Overview]":
        return iter(self.overviews)

    def __len__(self) -> int:
        return len(self.overviews)

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep studies` does."""
        from clustersweep.display.tables import print_studies

        print_studies(self.overviews, self.launches, out)


def studies(*, storage: str | None = None, home: Path | str | None = None) -> Studies:
    """List what a database holds: every study, how far it is, its best trial, and who launches it now.

    Args:
        storage: As in `plan`.
        home: As in `plan`.

    Raises:
        StorageError: The database cannot be reached, or nothing was ever stored in this home.
    """
    from clustersweep.postgres.location import living_launches

    database, stored = open_to_read(storage, home_of(home, make=False))
    try:
        found = tuple(stored.overview(name) for name in stored.studies())
    finally:
        stored.close()
    return Studies(found, living_launches(database, [one.name for one in found]))


@dataclass(frozen=True, repr=False)
class Replays(Shown):
    """What rules for stopping early would have cost and risked, had a study been trained by them.

    Attributes:
        sweep: What is stored.
        rules: What each rule comes to: `epochs` and `seconds` as shares of the whole, `winner`, `rank`, `regret`,
            `fresh_regret`, `stopped`, and `rungs` with every decision.
    """

    sweep: "SweepResults"
    rules: "tuple[Replayed, ...]"

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep replay` does."""
        from clustersweep.display.tables import print_replay

        print_replay(self.sweep, self.rules, out)


def replay(
    study: "Study | Path | str",
    *,
    rungs: Sequence[int] | None = None,
    keep: float | None = None,
    spare_ties: bool | None = None,
    storage: str | None = None,
    home: Path | str | None = None,
) -> Replays:
    """Tell what stopping early would have cost and risked, from the stored curves of a study. Trains nothing.

    Args:
        study: The study, its file or its name; its complete trials take part.
        rungs: Epochs after which trials are compared; None: 1, 3, 10, 30 and so on, from 2 % of the longest
            training on, below its end.
        keep: Share of the trials that a rung keeps; None: a half, a third and a fifth, one after another.
        spare_ties: Keep also what the noise of the seeds cannot tell from the best; None: one after another.
        storage: As in `plan`.
        home: As in `plan`.

    Raises:
        NothingCompleteError: Fewer than two trials are complete.
        DataError: The rungs do not rise from 1, or the share is not between 0 and 1.
        StorageError: The database cannot be reached, or has no such study.
    """
    from clustersweep.study import replay as replaying

    if rungs is not None and (not rungs or sorted({0, *rungs}) != [0, *rungs]):
        rule = "must be whole numbers of epochs that rise, the first one at least 1"
        raise DataError([Problem("replay", "rungs", ",".join(map(str, rungs)), rule, "Give, for instance, 3,10,30.")])
    if keep is not None and not 0 < keep < 1:
        rule, remedy = "must be a share between 0 and 1", "Give, for instance, 0.33."
        raise DataError([Problem("replay", "keep", str(keep), rule, remedy)])
    sweep = results(study, storage=storage, home=home).sweep
    if (end := replaying.longest(sweep)) and min(rungs or [1]) >= end:
        rule = (
            f"no training of it went beyond epoch {end}, so there is nothing that stopping after that would have saved"
        )
        told = "1" if rungs is None else ",".join(map(str, rungs))
        raise DataError([Problem("replay", "rungs", told, rule, "Give earlier ones, or replay longer trainings.")])
    rules = [
        replace(rule, rungs=tuple(rungs) if rungs else rule.rungs, keep=keep or rule.keep)
        for rule in replaying.rules_for(sweep)
        if spare_ties in (None, rule.spare_ties)
    ]
    return Replays(sweep, tuple(replaying.replay(sweep, rule) for rule in dict.fromkeys(rules)))


def schema(of: str = "study") -> dict[str, Any]:
    """Return the JSON Schema with which editors complete and check files.

    Args:
        of: `study`; `own`: studies that name a function of one's own; `training`: training configurations.

    Raises:
        ValueError: It is none of these.
    """
    from clustersweep.study.study import study_schema
    from clustersweep.tasks import tasks
    from clustersweep.training.files.configuration import configuration_schema

    if of not in ("study", "own", "training"):
        raise ValueError(f"there are schemas of 'study', 'own' and 'training', not of {of!r}")
    return configuration_schema() if of == "training" else study_schema(tasks({"task": ""} if of == "own" else {}))
