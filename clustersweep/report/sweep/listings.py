"""The tables of a sweep's report and its provenance, as HTML. Computes nothing."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape

from clustersweep.report.page import Cell, definitions, number, paragraph, table, text
from clustersweep.report.sweep.verdict import Verdict, r_squared, rmse
from clustersweep.study.ranking import learned_nothing
from clustersweep.study.results import CompleteReplicate, FailedReplicate, SweepResults, TrialResult, loss_of
from clustersweep.training.network import Shape
from clustersweep.words import counted


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where the results come from; everything is shown as it is given.

    Attributes:
        data: The data in words: source, number of clusters, pixels, bands.
        launched: When and where the sweep ran.
        versions: Version of each package that the numbers depend on.
        commands: Command line by what it does.
        note: What must be known to run them; empty where nothing is.
    """

    data: str = ""
    launched: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def trials_html(results: SweepResults, found: Verdict) -> str:
    """List the complete trials, best first."""
    ties = {trial.number for trial in found.ties}
    variance = results.label_variance
    seeds = list(results.seeds)
    with_weights = any(trial.parameters is not None for trial in results.ranked())
    metric = results.metric
    head = ["rank", "trial", *results.axes, metric.titled(metric.noun), "± seeds"]
    head += [f"RMSE [{metric.square_of}]"] if metric.square_of else []
    head += [*(["R²"] if variance else []), *(f"seed {seed}" for seed in seeds), "best epoch", "seconds"]
    head += [*(["parameters"] if with_weights else []), "remark"]
    rows = []
    ranks = {trial.first_alike: rank for rank, trial in enumerate(results.distinct(), start=1)}
    for trial in results.ranked():
        loss, ended = loss_of(trial), trial.complete_replicates
        remark, kind = "", ""
        if trial is found.best:
            remark, kind = "best", "best-row"
        elif trial.number in ties:
            remark, kind = "tied", "tie"
        if learned_nothing(loss, variance):
            remark, kind = "dead", "dead"
        if trial.same_as is not None:
            remark = f"{remark}, = {trial.same_as}" if remark else f"= {trial.same_as}"
        cells = [
            number(ranks[trial.first_alike], "d"),
            *_identity(results, trial),
            number(loss),
            number(trial.spread()),
        ]
        cells += [number(rmse(loss), ".3f")] if metric.square_of else []
        cells += [number(r_squared(loss, variance), ".3f")] if variance else []
        cells += [_seed_cell(trial, seed, variance) for seed in seeds]
        cells += [number(sum(r.best_epoch for r in ended) / len(ended), ".0f"), number(trial.seconds, ",.0f")]
        cells += [number(math.nan if trial.parameters is None else trial.parameters, ",.0f")] if with_weights else []
        rows.append((kind, [*cells, text(remark)]))
    dead = "Dead and red: no better than predicting a constant. " if variance else ""
    same = "= 3: the same network as trial 3, and of its rank. " if len(ranks) < len(rows) else ""
    note = (
        "Click a column’s head to sort by it. Tied: within the noise of the seeds of the best. "
        f"{dead}{same}Best epoch: mean over the seeds. Seconds: training time of all seeds together."
    )
    return table(head, rows, ("remark",)) + paragraph(note, "note")


def infeasible_html(results: SweepResults) -> str:
    """List the combinations that arithmetic rejected, each with the evidence."""
    rows = []
    for trial in results.trials:
        if trial.infeasible is not None:
            why = trial.infeasible
            shapes = [f"{name}&nbsp;{'×'.join(map(str, shape))}" for name, shape in _escaped(why.trace)]
            trace = " → ".join([*shapes, f"{escape(why.layer)}&nbsp;<b>✕</b>"])
            traced = f'<div class="trace">{trace}</div>' if why.trace else ""
            evidence = Cell(f"{escape(why.reason)}{traced}", why.reason, "wrap wide")
            rows.append(("", [*_identity(results, trial), text(why.rule), text(why.layer), evidence]))
    if not any(trial.infeasible.trace for trial in results.trials if trial.infeasible is not None):
        head = ["trial", *results.axes, "rule", "reason"]
        kept = [(kind, [*cells[:-2], cells[-1]]) for kind, cells in rows]
        return paragraph("Rejected before any training.", "note") + table(head, kept, head[-2:])
    head = ["trial", *results.axes, "rule", "layer", "reason, and the shapes up to there"]
    note = "Rejected by the arithmetic of shapes before any training; shapes are height × width × channels."
    return paragraph(note, "note") + table(head, rows, head[-3:])


def stopped_html(results: SweepResults) -> str:
    """List the combinations that rungs stopped, each with where it stood there."""
    rows = []
    for trial in results.trials:
        if (at := trial.stopped) is not None:
            value = math.nan if at.value is None else at.value
            best = math.nan if at.best is None else at.best
            cells = [number(at.epoch, "d"), text(f"{at.rank} of {at.among}", at.rank), number(value, ".4f")]
            rows.append(("", [*_identity(results, trial), *cells, number(best, ".4f")]))
    head = ["trial", *results.axes, "after epoch", "rank there", results.metric.titled("value there"), "the best's"]
    note = (
        "Stopped by comparison with others after the same epoch. A value counts each seed’s best until there; one of "
        "which a seed has diverged is empty. They keep their checkpoints, and go on where the study file’s "
        "stop_early is loosened or taken away."
    )
    return paragraph(note, "note") + table(head, rows, ())


def unfinished_html(results: SweepResults) -> str:
    """List what failed, with the error, and what has not ended; empty where everything is complete."""
    failed = []
    waiting = []
    for trial in results.trials:
        start = _identity(results, trial)
        for seed, replicate in sorted(trial.replicates.items()):
            if isinstance(replicate, FailedReplicate):
                cells = [*start, number(seed, "d"), text(replicate.signature), _error(replicate.error)]
                failed.append(("", [*cells, text(replicate.worker)]))
        if not trial.state.is_finished:
            waiting.append(("", [*start, text(trial.state), text(f"{len(trial.replicates)} of {len(results.seeds)}")]))
    body = ""
    if failed:
        head = ["trial", *results.axes, "seed", "cause", "error", "worker"]
        body += f"<h3>Failed replicates ({len(failed)})</h3>\n" + table(head, failed, head[-3:])
    if waiting:
        head = ["trial", *results.axes, "state", "seeds ended"]
        body += f"<h3>Not finished ({len(waiting)})</h3>\n" + table(head, waiting, ("state",))
    return body


def times_html(results: SweepResults) -> str:
    """Compare how long each launch took with what was estimated before it."""
    rows = []
    for launch, one in enumerate(results.launches, start=1):
        trained = one.epochs / one.epochs_planned if one.epochs_planned else math.nan
        expected = one.estimated_s * trained
        basis = "earlier sweeps there" if one.measured else "a default"
        cells = [number(launch, "d"), number(one.workers, "d"), number(one.replicates, ",d")]
        cells += [text(f"{one.epochs:,} of {one.epochs_planned:,}", trained), number(one.estimated_s, ",.0f")]
        cells += [number(one.seconds, ",.0f"), number(one.seconds / expected if expected else math.nan, ".2f")]
        rows.append(("", [*cells, text(basis)]))
    head = ["launch", "workers", "replicates", "epochs", "estimated, s", "took, s", "took over estimated", "rates from"]
    if not any(one.estimated_s for one in results.launches):  # what one's own code takes is not estimated
        return _times_alone(results)
    note = (
        "From the first replicate given out to the end, without waiting for a database that was away. What "
        "clustersweep plan estimates counts all epochs; the ratio is for those that were trained, which early stopping "
        "or an interruption makes fewer."
    )
    return table(head, rows, ("epochs", "rates from")) + paragraph(note, "note")


def _times_alone(results: SweepResults) -> str:
    rows = []
    for launch, one in enumerate(results.launches, start=1):
        cells = [number(launch, "d"), number(one.workers, "d"), number(one.replicates, ",d"), number(one.epochs, ",d")]
        rows.append(("", [*cells, number(one.seconds, ",.0f")]))
    head = ["launch", "workers", "replicates", "epochs", "took, s"]
    note = "From the first replicate given out to the end, without waiting for a database that was away."
    return table(head, rows, ()) + paragraph(note, "note")


def provenance_html(results: SweepResults, provenance: Provenance, written: str) -> str:
    """Say what was run, on what, with what, and how to run it again."""
    codes = _codes(results)
    items = [
        ("study", escape(results.study)),
        ("digest", f"<code>{escape(results.digest)}</code>"),
        ("code" if codes else "data", escape(provenance.data)),
        ("digest of the code", escape(codes)),
        ("launched", escape(provenance.launched)),
        ("report written", escape(written)),
        ("seeds", escape(", ".join(map(str, results.seeds)))),
        (
            "search space",
            escape("; ".join(f"{a}: {', '.join(map(str, v))}" for a, v in results.axes.items())),
        ),
        ("trained on", escape(_devices(results))),
        ("versions", escape(", ".join(f"{name} {version}" for name, version in provenance.versions.items()))),
    ]
    body = definitions((name, value) for name, value in items if value)
    for what, command in provenance.commands.items():
        body += f"<h3>{escape(what)}</h3><pre>{escape(command)}</pre>\n"
    return body + (paragraph(escape(provenance.note), "note") if provenance.note else "")


def _devices(results: SweepResults) -> str:
    """Say what computed the replicates, and how many each; empty where none says."""
    ended = [replicate for trial in results.trials for replicate in trial.complete_replicates if replicate.devices]
    counts = Counter("; then ".join(map(str, replicate.devices)) for replicate in ended)
    return " | ".join(f"{words} ({counted(count, 'replicate')})" for words, count in counts.most_common())


def _codes(results: SweepResults) -> str:
    """Say which code of one's own trained the replicates, and how many each; empty where none did."""
    ended = [replicate for trial in results.trials for replicate in trial.complete_replicates if replicate.code]
    found = Counter(replicate.code for replicate in ended)
    return ", ".join(f"{code} ({counted(count, 'replicate')})" for code, count in found.most_common())


def _identity(results: SweepResults, trial: TrialResult) -> list[Cell]:
    return [number(trial.number, "d"), *(text(trial.params.get(axis, "–")) for axis in results.axes)]


def _escaped(trace: Iterable[tuple[str, Shape]]) -> list[tuple[str, Shape]]:
    return [(escape(name), shape) for name, shape in trace]


def _seed_cell(trial: TrialResult, seed: int, variance: float | None) -> Cell:
    replicate = trial.replicates.get(seed)
    if not isinstance(replicate, CompleteReplicate):
        return number(math.nan)
    return number(replicate.value, kind="nothing" if learned_nothing(replicate.value, variance) else "")


def _error(error: str) -> Cell:
    """Return the last line of an error, the rest (a traceback) folded away."""
    lines = error.strip().splitlines() or [""]
    if len(lines) == 1:
        return text(lines[0], kind="wrap")
    folded = f"<details><summary>{escape(lines[0])}</summary><pre>{escape(error)}</pre></details>"
    return Cell(folded, lines[0], "wrap")
