"""The verbs: the only place that prints, configures logging and exits. Decides nothing that a verb's module can."""

import json
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clustersweep import __version__
from clustersweep.cli import operations, survey, training
from clustersweep.cli.options import HomeOption, StorageOption, StudyOrName, Verbs, WaitOption
from clustersweep.errors import INTERRUPTED, ClusterSweepError, DataError, Problem

# Every verb imports what it needs when it runs: `--help` answers at once, and `plan` without TensorFlow,
# Ray and plotly.
if TYPE_CHECKING:
    from clustersweep.study.results import SweepResults

# What an interruption of verbs that train and simulate nothing comes to, and of those that do.
_INTERRUPTED = {
    **dict.fromkeys(("show", "convert", "predict", "backup", "restore"), "nothing was written"),
    **dict.fromkeys(("plan", "status", "studies", "replay", "schema"), "nothing was changed"),
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
    from clustersweep.api.studies import plan as make
    from clustersweep.study.plan import require_feasible

    found = make(study_file, workers=workers, storage=storage, home=home_folder)
    if as_json:
        from clustersweep.display.as_json import plan_json

        _print_json(plan_json(found.plan, found.workers, found.speed, found.left))
    else:
        found.show(_out())  # with rich, which scripts need not wait for
    require_feasible(found.plan, str(study_file))
    if found.refused is not None:
        raise found.refused


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
    from clustersweep.api.studies import given
    from clustersweep.api.studies import launch as run
    from clustersweep.study.results import TrialState

    done = run(
        study_file, workers=workers, address=address, in_process=in_process, keep_failed=keep_failed,
        same_code=same_code, wait_s=wait, storage=storage, home=home_folder,
    )  # fmt: skip
    outcome = done.outcome
    print_result(done.results.sweep, done.report, study_file, given(home=home_folder), storage is not None)
    if outcome is not None and outcome.aborted:
        print(f"error: stopped: {outcome.aborted}. Mend it and launch again", file=sys.stderr)
        raise typer.Exit(1)
    if outcome is not None and outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if outcome is not None and outcome.open_rung is not None:
        from clustersweep.display.tables import open_rung_text

        print(f"error: {open_rung_text(outcome.open_rung)}", file=sys.stderr)
        raise typer.Exit(1)
    if done.results.sweep.count(TrialState.FAILED):
        raise typer.Exit(1)


def print_result(
    results: "SweepResults", report: Path | None, study_file: Path, options: tuple[str, ...], other_storage: bool
) -> None:
    """Print the verdict of a launch, and what to type next."""
    from clustersweep.display.tables import print_best
    from clustersweep.words import command

    print_best(results, _out())
    web = os.environ.get("CLUSTERSWEEP_WEB")  # in a container: what a person opens outside
    if report:
        print(f"\nreport     {f'{web}/runs/{report.parent.name}/report.html' if web else report}")
    print(f"dashboard  {web or command('dashboard', *options)}")
    if results.ranked():
        print(f"export     {command('export', study_file, '--to', 'best/', *options)}")
    if other_storage:
        print("           (each with the same --storage)")


@app.command()
def status(
    study_file: StudyOrName, as_json: JsonOption = False, storage: StorageOption = None, home_folder: HomeOption = None
) -> None:
    """Show how far the study is: counts, and the best combination so far. Works where the data are not mounted, too."""
    from clustersweep.api.studies import results
    from clustersweep.display.as_json import status_json

    found = results(study_file, storage=storage, home=home_folder)
    for note in found.notes:
        print(note, file=sys.stderr)
    if as_json:
        _print_json(status_json(found.sweep, found.launch, found.left))
    else:
        replace(found, notes=()).show(_out())


@app.command()
def studies(as_json: JsonOption = False, storage: StorageOption = None, home_folder: HomeOption = None) -> None:
    """List what the database holds: every study, how far it is, its best, and who launches it now."""
    from clustersweep.api.studies import studies as run
    from clustersweep.display.as_json import studies_json

    found = run(storage=storage, home=home_folder)
    if as_json:
        _print_json(studies_json(found.overviews, found.launches))
    else:
        found.show(_out())


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
    from clustersweep.api.operations import dashboard as serve

    serve(host=host, port=port, storage=storage, home=home_folder)


@app.command()
def report(
    study_file: StudyFile,
    to: Annotated[Path | None, typer.Option(help="Folder to write to. \\[default: the study's run folder]")] = None,
    as_json: JsonOption = False,
    storage: StorageOption = None,
    home_folder: HomeOption = None,
) -> None:
    """Write the HTML report (works offline) and results.csv, one row per replicate."""
    from clustersweep.api.studies import write_report
    from clustersweep.report.sweep.table import summary

    written = write_report(study_file, to, storage=storage, home=home_folder)
    for note in written.notes:
        print(note, file=sys.stderr)
    if as_json:
        _print_json(summary(written.results) | {"html": str(written.html), "csv": str(written.csv)})
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
    from clustersweep.api.studies import export as run

    done = run(study_file, to, rank=rank, trial=trial, force=force, storage=storage, home=home_folder)
    done.show(_out())


@app.command()
def replay(
    study_file: StudyOrName,
    *,
    rungs: Annotated[
        str | None,
        typer.Option(
            metavar="EPOCHS",
            help="Compare after these, e.g. 3,10,30. \\[default: 1, 3, 10, 30 ... from 2 % of the training on]",
        ),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of the trials, at each. \\[default: 1/2, 1/3 and 1/5 in turn]"),
    ] = None,
    spare_ties: Annotated[
        bool | None,
        typer.Option("--spare-ties/--no-spare-ties", help="Keep what cannot be told from the best. \\[default: both]"),
    ] = None,
    as_json: JsonOption = False,
    storage: StorageOption = None,
    home_folder: HomeOption = None,
) -> None:
    """Tell what stopping trials early would have cost and risked, from the stored curves. Trains nothing."""
    from clustersweep.api.studies import replay as run
    from clustersweep.display.as_json import replay_json

    epochs = None if rungs is None else [_whole(part, rungs) for part in rungs.split(",")]
    done = run(study_file, rungs=epochs, keep=keep, spare_ties=spare_ties, storage=storage, home=home_folder)
    if as_json:
        _print_json(replay_json(done.sweep, done.rules))
    else:
        done.show(_out())


def _whole(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        rule, remedy = "must be whole numbers with commas between them", "Give, for instance, 3,10,30."
        raise DataError([Problem("replay", "rungs", option, rule, remedy)]) from None


@app.command()
def schema(
    training: Annotated[bool, typer.Option("--training", help="That of training configurations.")] = False,
    own: Annotated[bool, typer.Option("--own", help="That of studies that name a function of your own.")] = False,
) -> None:
    """Print the JSON Schema of study files, with which editors complete and check them."""
    from clustersweep.api.studies import schema as made

    _print_json(made("training" if training else "own" if own else "study"))


@app.command()
def stop(
    home_folder: HomeOption = None,
    force: Annotated[bool, typer.Option("--force", help="Also under a launch that lives.")] = False,
) -> None:
    """Stop the embedded PostgreSQL server; the next verb that needs it starts it again, with its data."""
    from clustersweep.api.operations import stop as run

    print("stopped" if run(force=force, home=home_folder) else "was not running")


app.command()(operations.backup)
app.command()(operations.restore)
app.command()(operations.clean)
app.command()(operations.remove)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))


def _out() -> Any:
    from rich.console import Console

    return Console()
