"""What a person sees while one network is trained: a line that moves on a terminal, a few lines elsewhere."""

import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from clustersweep.display.progress import Steps
from clustersweep.report.model.text import gain_text
from clustersweep.study.events import EpochEnd, Failed, Stopped
from clustersweep.study.ranking import nothing_learned
from clustersweep.training.evaluation.evaluation import Evaluation
from clustersweep.training.evaluation.metrics import Estimate, Metrics
from clustersweep.training.evaluation.results import StageResult
from clustersweep.training.metric import NOISE_OF_CLUSTERS, VAL_LOSS
from clustersweep.training.stages import StageBegan, StageEnded, TrainingEvent
from clustersweep.words import duration

_TOLD_EVERY_S = 60.0  # where no line can move


class TrainingDisplay(Steps):
    """Shows the stages of each seed on one console (stderr)."""

    def __init__(self, console: Console, also: Callable[[TrainingEvent], object] | None = None) -> None:
        super().__init__(console, also)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", losses="", visible=False)
        self._began: StageBegan | None = None
        self._best = (float("inf"), 0)
        self._told_at = 0.0

    def on_event(self, event: TrainingEvent) -> None:
        """Show what happened."""
        self._also(event)
        match event:
            case StageBegan(seed, stage, epochs):
                self._began, self._best, self._told_at = event, (float("inf"), 0), time.monotonic()
                if not self._bar.live.is_started:
                    self._bar.start()
                text = f"seed {seed} {_NAMES[stage]}"
                self._bar.reset(self._task, description=text, total=epochs, losses="compiling", visible=True)
            case EpochEnd():
                self._epoch(event)
            case StageEnded(result, found):
                self.end()
                self._say(f"seed {result.seed} {_NAMES[result.stage]}: {_outcome(result, found)}")
            case Failed(signature, message):
                self.end()
                which = f"seed {self._began.seed}" if self._began else "a seed"
                self._say(f"[red]{which} failed[/red]: {signature}: {escape(message)}")
            case Stopped():
                self.end()

    def end(self) -> None:
        """Take the moving line away."""
        self._bar.update(self._task, visible=False)
        self._bar.stop()

    def _epoch(self, event: EpochEnd) -> None:
        name, value = ("val_loss", event.val_loss) if event.val_nll is None else ("val_nll", event.val_nll)
        self._best = min(self._best, (value, event.epoch))
        losses = f"{name} {value:.4f}, best {self._best[0]:.4f} (epoch {self._best[1]}), {event.seconds:.1f} s an epoch"
        self._bar.update(self._task, completed=event.epoch, losses=losses)
        if self._bar.disable and time.monotonic() - self._told_at > _TOLD_EVERY_S and self._began is not None:
            self._told_at = time.monotonic()
            self._say(f"  seed {self._began.seed} {_NAMES[self._began.stage]} epoch {event.epoch}: {losses}")


def training_display(also: Callable[[TrainingEvent], object] | None = None) -> TrainingDisplay:
    """Return a display of a training on stderr, or in the notebook that this process belongs to."""
    return TrainingDisplay(Console(stderr=True), also)


def print_training(evaluation: Evaluation, console: Console) -> None:
    """Print what the training is worth, measured on the test part."""
    test = evaluation.test
    mse, mean_mse, margin = test.mse.value, evaluation.constant_mse, evaluation.constant_margin
    what = "the model, on the test part,"
    if nothing := nothing_learned(what, mse, mean_mse, margin, NOISE_OF_CLUSTERS, metric=VAL_LOSS):
        console.print(f"[bold]{escape(nothing)}[/bold]", highlight=False, soft_wrap=True)
    baselines = {f"RMSE of `{baseline.name}` [dex]": baseline.rmse for baseline in evaluation.baselines}
    print_metrics(f"On the test part, {test.number:,} clusters", test, console, baselines)
    if evaluation.gain.low <= 0:  # no better than a regression: the report says so, too
        console.print(escape(gain_text(evaluation)), highlight=False, soft_wrap=True)
    both = evaluation.test_calibration
    for sigma, before, after in zip((1, 2), both.before.coverage, both.after.coverage, strict=True):
        console.print(
            f"truth within {sigma} sigma: {before.observed:.1%} as the networks say, {after.observed:.1%} recalibrated "
            f"(times {evaluation.factor:.3f}); {after.nominal:.1%} would be honest, ± {after.error:.1%}",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"validation loss of the ensemble {evaluation.validation.mse.value:.4f} dex², test {test.mse.value:.4f} dex²",
        highlight=False,
        soft_wrap=True,
    )


def print_metrics(
    title: str, measured: Metrics, console: Console, others: Mapping[str, Estimate] | None = None
) -> None:
    """Print errors with their intervals; `others` are shown below, by name."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for column in ("", "value", "95 % interval"):
        table.add_column(column)
    named = {
        "RMSE [dex]": measured.rmse,
        "bias [dex]": measured.bias,
        "robust scatter [dex]": measured.scatter,
        "R²": measured.r2,
        **(others or {}),
    }
    for name, found in named.items():
        table.add_row(escape(name), f"{found.value:.3f}", f"{found.low:.3f} to {found.high:.3f}")
    console.print(table)


_NAMES = {
    "base": "base",
    "outliers": "retraining on outliers",
    "probabilistic": "probabilistic",
    "fine_tune": "fine-tuning",
}


def _outcome(result: StageResult, found: bool) -> str:
    likelihood = "" if result.val_nll is None else f", val_nll {result.val_nll:.4f}"
    kept = "" if result.kept else "; not kept: no improvement"
    how = "done before" if found else f"{result.epochs} epochs in {duration(result.seconds)}"
    return f"val_loss {result.val_loss:.4f}{likelihood} at epoch {result.best_epoch} ({how}){kept}"
