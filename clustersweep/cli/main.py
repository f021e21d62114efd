"""The verbs: the only place that prints, configures logging and exits. Decides nothing that a verb's module can."""

import functools
import itertools
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from clustersweep import __version__
from clustersweep.cli import operations, survey, training
from clustersweep.cli.options import (
    HomeOption,
    StorageOption,
    Verbs,
    WaitOption,
    database_of,
    database_to_read,
    home_of,
)
from clustersweep.cpus import available_cpus
from clustersweep.errors import INTERRUPTED, ClusterSweepError

# Every verb imports what it needs when it runs: `--help` answers at once, and `plan` without TensorFlow,
# Ray and plotly.
if TYPE_CHECKING:
    from clustersweep.errors import DataError
    from clustersweep.home import Home
    from clustersweep.postgres.location import Database
    from clustersweep.storage.store import Storage
    from clustersweep.study.plan import Left, Plan
    from clustersweep.study.results import SweepResults, TrialResult
    from clustersweep.study.study import Study
    from clustersweep.survey.dataset import Header
    from clustersweep.sweep.run_folder import RunFolder

# What an interruption of verbs that train and simulate nothing comes to, and of those that do.
_INTERRUPTED = {
    **dict.fromkeys(("show", "convert", "predict", "backup", "restore"), "nothing was written"),
    **dict.fromkeys(("plan", "status", "schema"), "nothing was changed"),
    **dict.fromkeys(("report", "export"), "what is stored is unharmed. The same command writes it anew"),
    "remove": "the same command removes what is left",
}
_GOES_ON = "what ran is checkpointed. The same command goes on from there"

app = typer.Typer(
    cls=Verbs,
    help="Hyperparameter sweeps that can be believed: plan, launch, watch, report, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="The study file, e.g. sweeps/quickstart.yaml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, on stdout alone.")]


class _Plain(logging.Formatter):
    """Writes `warning: ...` as errors are written, and what is no warning as it is; other libraries with their name."""

    def format(self, record: logging.LogRecord) -> str:
        """Return what was logged, with its traceback where there is one."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        who = "" if record.name.startswith("clustersweep.") else f"{record.name}: "
        return f"{level}{who}{super().format(record)}"


class _Stderr(logging.StreamHandler[Any]):
    """Logs to what is stderr at the time: a progress bar puts its own in place, which prints above the bar.

    What is suspect about data is told once, however often a verb reads them.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(_Plain())
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("clustersweep.survey."):
            text = record.getMessage()
            if text in self._told:
                return
            self._told.add(text)
        self.setStream(sys.stderr)
        super().emit(record)


def main() -> None:
    """Run the command line; failures become one message on stderr and the documented exit code."""
    handler = _Stderr()
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("clustersweep.survey.source").setLevel(logging.INFO)  # what was taken is told before training
    try:
        app(prog_name="clustersweep")
    except ClusterSweepError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer's own answer to Ctrl-C, or that of a launch that has checkpointed
            print(f"interrupted: {_INTERRUPTED.get(''.join(sys.argv[1:2]), _GOES_ON)}", file=sys.stderr)
            if "ray" in sys.modules:  # interrupted as it started, Ray crashes as Python ends; all else is closed
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(INTERRUPTED)  # Ray's processes end with this one
        raise
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader of a pipe has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        print(f"error: {error}. Mend that and type the same again", file=sys.stderr)
        sys.exit(3)


for verb in (survey.simulate, survey.show, survey.convert, training.train, training.predict):
    app.command()(verb)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"clustersweep {__version__}")
        raise typer.Exit


@app.command()
def plan(
    study_file: StudyFile,
    workers: Annotated[int | None, typer.Option(min=1, help="Estimate the time for so many workers.")] = None,
    as_json: JsonOption = False,
    storage: StorageOption = None,
    home_folder: HomeOption = None,
) -> None:
    """Show what would run, what is impossible and why, in which order, and what it costs. Trains nothing.

    Where the database can be reached, what is stored is left out of the work; no server is started for that.
    """
    from clustersweep.display.as_json import plan_json
    from clustersweep.errors import StudyChangedError
    from clustersweep.study.plan import make_plan, require_feasible
    from clustersweep.sweep.speeds import read_speed
    from clustersweep.tasks import load_study

    study = load_study(study_file)
    study.task.check_data()
    planned = make_plan(study, study.task.header(study.axes))
    count = workers or max(1, available_cpus() // study.resources.cpus_per_worker)
    home = home_of(home_folder, make=False)
    speed = read_speed(home.speeds, study.resources.cpus_per_worker)
    left, why, refused = None, "", None
    try:
        left, why = _left(planned, storage, home)
    except StudyChangedError as error:
        refused, why = error, "launch would refuse this file: see below"
    if as_json:
        _print_json(plan_json(planned, count, speed, left))
    else:
        from clustersweep.display.tables import print_plan  # with rich, which scripts need not wait for

        print_plan(planned, count, speed, _out(), left=left, unknown=why)
    require_feasible(planned, str(study_file))
    if refused is not None:
        raise refused


@app.command()
def launch(
    study_file: StudyFile,
    *,
    storage: StorageOption = None,
    home_folder: HomeOption = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster. \\[default: RAY_ADDRESS, else Ray on this machine]")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="No more workers than this.")] = None,
    keep_failed: Annotated[bool, typer.Option(help="Do not try failed replicates once more.")] = False,
    in_process: Annotated[bool, typer.Option(help="Train in this process, without Ray, to debug a network.")] = False,
    same_code: Annotated[
        bool, typer.Option(help="Go on though the code of a trainer of your own has changed; that is recorded.")
    ] = False,
    wait: WaitOption = None,
) -> None:
    """Train what is left of the study; the same command again goes on where it stopped, and repeats nothing."""
    from clustersweep.display.progress import Display
    from clustersweep.report.sweep.study_report import write_study_report
    from clustersweep.study.results import TrialState
    from clustersweep.sweep.launch import Options, launch

    study, home = _study(study_file), home_of(home_folder)
    options = Options(
        address=address or os.environ.get("RAY_ADDRESS") or None,
        workers=workers,
        in_process=in_process,
        retry_failed=not keep_failed,
        same_code=same_code,
        wait_s=wait,
    )
    display = Display(_err())
    opened = functools.partial(database_of, storage, home)
    given, other_storage = _given(home=home_folder), storage is not None
    write_report = functools.partial(write_study_report, options=given, other_storage=other_storage)
    done = launch(study, str(study_file), home, opened, options, watcher=display, write_report=write_report)
    outcome = done.outcome
    print_result(done, study_file, given, other_storage)
    if outcome is not None and outcome.aborted:
        print(f"error: stopped: {outcome.aborted}. Mend it and launch again", file=sys.stderr)
        raise typer.Exit(1)
    if outcome is not None and outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if done.results.count(TrialState.FAILED):
        raise typer.Exit(1)


def print_result(done: Any, study_file: Path, options: tuple[str, ...], other_storage: bool) -> None:
    """Print the verdict of a launch, and what to type next."""
    from clustersweep.display.tables import print_best
    from clustersweep.words import command

    print_best(done.results, _out())
    web = os.environ.get("CLUSTERSWEEP_WEB")  # in a container: what a person opens outside
    if done.report:
        print(f"\nreport     {f'{web}/runs/{done.report.parent.name}/report.html' if web else done.report}")
    print(f"dashboard  {web or command('dashboard', *options)}")
    if done.results.ranked():
        print(f"export     {command('export', study_file, '--to', 'best/', *options)}")
    if other_storage:
        print("           (each with the same --storage)")


@app.command()
def status(
    study_file: StudyFile, as_json: JsonOption = False, storage: StorageOption = None, home_folder: HomeOption = None
) -> None:
    """Show how far the study is: counts, and the best combination so far. Works where the data are not mounted, too."""
    from clustersweep.display.as_json import status_json
    from clustersweep.display.tables import print_status
    from clustersweep.postgres.location import living_launch
    from clustersweep.study.plan import make_plan

    study, home = _study(study_file), home_of(home_folder, make=False)
    stored = _stored(study, storage, home)
    launch, left, replicates = living_launch(stored.database, study.name), None, 0
    if study.task.lays_out_by_code:
        print(
            "what a launch would train is not told: `feasible` is code of the study, and plan runs it", file=sys.stderr
        )
    elif stored.header is not None:
        planned = make_plan(study, stored.header)
        left, replicates = stored.storage.left(planned, same_code=True), planned.replicates
    else:  # what is impossible depends on the shape of the images
        print("without the data, what a launch would train is not told", file=sys.stderr)
    if as_json:
        _print_json(status_json(stored.results, launch, left))
    else:
        print_status(stored.results, _out(), launch, left, replicates)


@app.command()
def dashboard(
    storage: StorageOption = None,
    home_folder: HomeOption = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. There is no login: keep it to this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
) -> None:
    """Serve the Optuna dashboard for the storage in use, until Ctrl-C."""
    from clustersweep.storage.store import Storage, serve_dashboard

    opened = database_of(storage, home_of(home_folder))
    print(f"dashboard on http://{host}:{port}/ for {opened.safe_url} (Ctrl-C ends it)", file=sys.stderr)
    serve_dashboard(Storage.connect(opened.url), host, port)


@app.command()
def report(
    study_file: StudyFile,
    to: Annotated[Path | None, typer.Option(help="Folder to write to. \\[default: the study's run folder]")] = None,
    as_json: JsonOption = False,
    storage: StorageOption = None,
    home_folder: HomeOption = None,
) -> None:
    """Write the HTML report (works offline) and results.csv, one row per replicate."""
    from clustersweep.report.sweep.study_report import write_study_report
    from clustersweep.report.sweep.table import summary

    study = _study(study_file)
    stored = _stored(study, storage, home_of(home_folder, make=False))
    home = home_of(home_folder)
    source = stored.header.source if stored.header is not None else study.task.source
    written = write_study_report(
        stored.results, source, to or home.run(study.name), study_file,
        options=_given(home=home_folder), other_storage=storage is not None,
    )  # fmt: skip
    if as_json:
        _print_json(summary(stored.results) | {"html": str(written.html), "csv": str(written.csv)})
    else:
        print(f"{written.html}\n{written.csv}")


@app.command()
def export(
    study_file: StudyFile,
    *,
    to: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("best"),
    rank: Annotated[int, typer.Option(min=1, help="The best trial is 1.")] = 1,
    trial: Annotated[int | None, typer.Option(min=0, help="A trial by its number, whatever its rank.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a config.yaml (best.yaml) that was edited.")] = False,
    storage: StorageOption = None,
    home_folder: HomeOption = None,
) -> None:
    """Write the best trial for the training package: config.yaml, model.keras, provenance.json; proved by reloading.

    Of a study that names a function of your own: best.yaml, its code, and what it saved last.
    """
    from clustersweep.study.ranking import choose
    from clustersweep.sweep.run_folder import RunFolder

    study = _study(study_file)
    stored = _stored(study, storage, home_of(home_folder, make=False), needs_data=True)
    home = home_of(home_folder)
    chosen, found_rank = choose(stored.results, rank=rank, number=trial)
    files = RunFolder(home.run(study.name))
    if study.task.code is not None:
        from clustersweep.display.tables import print_own_export
        from clustersweep.own.export import export

        print_own_export(
            export(study, stored.results, chosen, found_rank, files=files, to=to, force=force), stored.results, _out()
        )
        return
    _export_masses(study, study_file, stored, chosen, found_rank, files=files, home=home, to=to, force=force)


def _export_masses(
    study: "Study",
    study_file: Path,
    stored: "_Stored",
    chosen: "TrialResult",
    found_rank: int,
    *,
    files: "RunFolder",
    home: "Home",
    to: Path,
    force: bool,
) -> None:
    from clustersweep.display.progress import Display
    from clustersweep.display.tables import print_evidence
    from clustersweep.errors import DataError, Problem
    from clustersweep.masses.export import export, read_weights
    from clustersweep.masses.task import masses_of
    from clustersweep.study.definition import replicate_key
    from clustersweep.study.ranking import trial_learned_nothing
    from clustersweep.sweep.launch import read_plan
    from clustersweep.training.device import configure_device

    # First what can be told without the data, which may be large, or not there.
    results = stored.results
    best = chosen.best_replicate(results.metric)
    read_weights(chosen, replicate_key(study, stored.data_digest, chosen.params, best.seed), files)
    if stored.absent is not None:
        trial_text = f"trial {chosen.number} (rank {found_rank} of {len(results.distinct())})"
        rule = f"is not to be found here, and export computes the validation loss of {trial_text} again from the data"
        remedy = f"Mount the data, or mend their path in {study_file}: where they lie is no part of the study."
        raise DataError([Problem(str(stored.absent), "", "", rule, remedy)])
    if stored.refused is not None:
        raise stored.refused
    planned = read_plan(study, home, str(study_file), Display(_err()))
    configure_device(study.resources.cpus_per_worker)
    data = masses_of(study).load(study.axes, home.surveys)
    done = export(planned, results, chosen, found_rank, data=data, files=files, to=to, force=force)
    if nothing := trial_learned_nothing(f"trial {chosen.number}", results, chosen):
        print(nothing)
    print_evidence(done.evidence, str(done.folder), _out())
    print(f"weights of seed {done.evidence.weights_of_seed}: {done.proof}")


@app.command()
def schema(
    training: Annotated[bool, typer.Option("--training", help="That of training configurations.")] = False,
    own: Annotated[bool, typer.Option("--own", help="That of studies that name a function of your own.")] = False,
) -> None:
    """Print the JSON Schema of study files, with which editors complete and check them."""
    from clustersweep.study.study import study_schema
    from clustersweep.tasks import tasks
    from clustersweep.training.files.configuration import configuration_schema

    _print_json(configuration_schema() if training else study_schema(tasks({"task": ""} if own else {})))


@app.command()
def stop(
    home_folder: HomeOption = None,
    force: Annotated[bool, typer.Option("--force", help="Also under a launch that lives.")] = False,
) -> None:
    """Stop the embedded PostgreSQL server; the next verb that needs it starts it again, with its data."""
    from clustersweep.postgres.location import stop_embedded

    print("stopped" if stop_embedded(home_of(home_folder), force=force) else "was not running")


app.command()(operations.backup)
app.command()(operations.restore)
app.command()(operations.remove)


def _study(path: Path) -> "Study":
    from clustersweep.tasks import load_study

    return load_study(path)


class _Stored(NamedTuple):
    """What is stored of a study, and what its data are.

    `absent` is a file of theirs that is not there, `refused` is why they cannot be used.
    """

    database: "Database"
    storage: "Storage"
    results: "SweepResults"
    data_digest: str
    header: "Header | None"
    absent: Path | None
    refused: "DataError | None"


def _stored(study: "Study", storage: str | None, home: "Home", *, needs_data: bool = False) -> _Stored:
    """Return a study's results, having made sure that the file is still the study that they belong to.

    Where the data are not there, or a launch would refuse them, all else is compared, and stderr says so: what an
    earlier version trained on stays readable. A verb that needs the data tells of them itself.
    """
    from clustersweep.errors import DataError
    from clustersweep.storage.store import Storage
    from clustersweep.tasks import tasks

    database = database_to_read(storage, home)
    opened = Storage.connect(database.url, tasks, database.name(home))
    absent = study.task.absent()
    header, refused = None, None
    try:
        header = None if absent else study.task.header(study.axes)
    except DataError as error:
        refused = error
    data_digest = opened.require_same(study, header.digest if header else None)
    compared = "all but the data was compared with what is stored"
    if absent and not needs_data:
        print(f"{absent} is not to be found here: {compared}", file=sys.stderr)
    if refused and not needs_data:
        print(f"{refused}\nthese data cannot be used: {compared}", file=sys.stderr)
    return _Stored(database, opened, opened.results(study.name), data_digest, header, absent, refused)


def _left(planned: "Plan", storage: str | None, home: "Home") -> tuple["Left | None", str]:
    """Tell what of a plan is left where its database is at hand; else None, and why."""
    from clustersweep.errors import StorageError
    from clustersweep.postgres.location import database_at_hand, holds_studies

    try:
        database = database_at_hand(storage, os.environ, home)
        if database is None:
            return None, "not compared with what is stored: the home's database does not run, and plan starts none"
        if not holds_studies(database):
            return None, "not launched yet"
        from clustersweep.storage.store import Storage  # Optuna: plan is quick without it

        left = Storage.connect(database.url).left(planned)
        return left, "" if left is not None else "not launched yet"
    except StorageError as error:
        if storage is not None:
            raise
        return None, f"not compared with what is stored: {error}"


def _given(**options: object) -> tuple[str, ...]:
    """Repeat options for commands to be copied. Never the storage: it may hold a password."""
    given = ((f"--{name}", str(value)) for name, value in options.items() if value is not None)
    return tuple(itertools.chain.from_iterable(given))


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))


def _out() -> Any:
    from rich.console import Console

    return Console()


def _err() -> Any:
    from rich.console import Console

    return Console(stderr=True)
