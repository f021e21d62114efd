"""The parts of a sweep's report as HTML: what the figures and tables mean, in words. Draws nothing."""

import math
from collections.abc import Iterable
from html import escape

from clustersweep.report.page import definitions, figure, paragraph
from clustersweep.report.sweep.curves import CostFigure, CurvePanel
from clustersweep.report.sweep.effects import Effects
from clustersweep.report.sweep.slices import SliceFigure
from clustersweep.report.sweep.verdict import Verdict, r_squared, rmse
from clustersweep.study.objective import Metric
from clustersweep.study.race import Race
from clustersweep.study.ranking import alike_text, best_learned_nothing
from clustersweep.study.results import SweepResults, TrialState, loss_of, losses
from clustersweep.words import counted

_PLURAL = {"mean": "means", "median": "medians", "min": "minima", "max": "maxima"}
FLATTERED = (
    "The best of many trials is a little flattered by having been chosen on these very values; only data that no "
    "training and no choice has seen tell how good it is."
)
FOOTER = "Written by clustersweep. This page is one file, works without a network and sends nothing."


def verdict_html(results: SweepResults, found: Verdict) -> str:
    """Say which combination is best, by how much, and how sure that is."""
    best, variance, metric = found.best, results.label_variance, results.metric
    loss, seeds = loss_of(best), losses(best)
    parts = " · ".join(
        f'<span class="name">{escape(name)}</span> {escape(str(value))}' for name, value in best.params.items()
    )
    in_unit = f", {metric.unit}" if metric.unit else ""
    tiles = [(shown(loss), f"{metric.words}{in_unit} ({results.over_seeds} of {counted(len(seeds), 'seed')})")]
    if len(seeds) > 1:
        tiles.append((f"± {shown(best.spread())}", f"standard deviation over its seeds{in_unit}"))
    if metric.square_of:
        tiles.append((f"{rmse(loss):.3f}", f"RMSE, {metric.square_of}"))
    if variance:
        tiles.append((f"{r_squared(loss, variance):.3f}", "R²: share of the labels’ variance explained"))
        tiles.append((shown(variance), f"{metric.unit}: what predicting a constant gives"))
    cards = "".join(f'<div class="tile"><b>{escape(b)}</b><span>{escape(s)}</span></div>' for b, s in tiles)
    parts = parts or "the study’s only combination"
    body = f'<p class="best">{parts} <span class="name">(trial {best.number})</span></p>\n'
    body += f'<div class="tiles">{cards}</div>\n'
    if nothing := best_learned_nothing(results):
        body = f'<p class="best">{escape(nothing)}</p>\n{body}'
    else:
        raced = results.race is not None and results.race.text
        body += _raced(results.race, metric) if results.race and raced else paragraph(_ties(results, found))
    for words in alike_text(results):
        body += paragraph(escape(f"{words[0].upper()}{words[1:]}."))
    body += paragraph(_counts(results, found))
    return body + paragraph(escape(metric.comparison) or FLATTERED, "note")


def curves_caption(panels: Iterable[CurvePanel], metric: Metric) -> str:
    """Say what the learning curves show."""
    both = any(math.isfinite(loss) for panel in panels for curve in panel.curves for loss in curve.loss)
    words, noun = escape(metric.words), escape(metric.noun)
    if not both:
        return f"The best trials, all seeds: {words} of every epoch; the dot marks the best one."
    gap, ends = ("below", "falling") if metric.lower_is_better else ("above", "rising")
    kept = "the epoch whose weights are kept" if metric.square_of else "the best epoch"
    return (
        f"The best trials, all seeds: {words} solid, training {noun} dotted; the dot marks {kept}. A training {noun} "
        f"far {gap} the {words} is overfitting; curves still {ends} at their end ask for more epochs."
    )


def slices_introduction(count: int, metric: Metric) -> str:
    """Say once how all slice figures are read; `count` is the number of seeds."""
    panels = (
        "Every combination has one seed, hence one panel."
        if count == 1
        else f"For every combination its {count} seeds are ranked by {escape(metric.noun)}, and each panel shows one "
        "rank, from the best seed to the worst: what holds in all panels does not hang on the luck of the seed."
    )
    return (
        f"{capital(escape(metric.words), metric)} against each hyperparameter with all others held fixed. {panels} "
        "The thick line is the mean over those lines that have a point at every value: it averages the same "
        "combinations everywhere, so it compares fairly. ✕ n below a panel means that n lines have a gap there; hover "
        "over it to read why. All figures share one scale. Click a legend entry to hide its lines; hover over a line "
        "to bring it forward."
    )


BUDGETS = (
    "Trials were stopped early, so not all were trained equally long, and only equal budgets are compared: choose "
    "after which epoch. Each seed counts with its best value until there. Hollow points are trials that were stopped "
    "there; what was stopped before is a gap."
)


def budget_label(at: SweepResults, epoch: int | None) -> str:
    """Say after which epoch trials are compared, and how many there are."""
    number = f"{len(at.ranked())} combinations"
    return f"at the end of their training ({number})" if epoch is None else f"after epoch {epoch} ({number})"


def slice_html(number: int, data: SliceFigure, drawn: str, seen: Iterable[str]) -> str:
    """Put a slice figure under its heading and over its caption; `seen` are the axes told by the look of a line."""
    told = [f"{axis} by {how}" for how, axis in zip(("colour", "line style", "symbol"), seen, strict=False)]
    lines = len(data.panels[0].lines)
    caption = f"Each of the {lines} lines holds {_list(data.others)} fixed ({', '.join(told)}). " if told else ""
    if not data.whole_lines:
        caption += f"None has a point at every value of {data.axis}: no mean is drawn, it would compare unlike things."
    elif lines > 1:
        caption += f"The mean is over the {data.whole_lines} with a point at every value of {data.axis}."
    return f"<h3>{number}. {escape(data.axis)}</h3>\n" + figure(drawn, caption)


def effects_html(results: SweepResults, found: Effects, drawn: str) -> str:
    """Put the effects over their caption, with a sentence for each hyperparameter."""
    items = []
    for e in found.effects:
        if math.isnan(e.size):
            words = "cannot be judged: no fixed choice of the others is complete at all its values."
        else:
            words = f"{results.metric.extreme} mean at {e.best}, effect {shown(e.size)}{results.metric.with_unit}"
            if math.isnan(e.noise):
                words += "; one seed cannot tell whether that is noise."
            elif e.noise == 0:
                words += "; the seeds do not differ at all."
            else:
                ratio = e.size / (2 * e.noise)
                sure = "above the noise" if ratio > 1 else "not distinguishable from noise"
                words += f", {ratio:.1f} times the noise of two standard errors: {sure}."
        items.append((e.axis, escape(words)))
    kept = [f"{axis} {{{', '.join(map(str, values))}}}" for axis, values in found.balanced.items()]
    included = "; networks that learned nothing are included" if results.label_variance else ""
    caption = (
        f"Left: the sum of squares of all {_plural_noun(results.metric)}, split exactly, over the largest balanced "
        "part that was found, in which every combination is complete: "
        f"{counted(found.combinations, 'combination')}, {', '.join(kept)}. "
        "Right: how far the thick line of each hyperparameter’s own figure moves, averaged over the panels, and "
        "two standard errors of such a difference from the seeds alone (their pooled standard deviation"
        f"{included}). An effect shorter than its red mark is not shown to exist."
    )
    single = [name for name, values in results.axes.items() if len(values) == 1]
    note = f"{_list(single)} had a single value and cannot be judged." if single else ""
    return figure(drawn, caption) + definitions(items) + (paragraph(note, "note") if note else "")


def times_title(results: SweepResults) -> str:
    """Return the title of the section about time."""
    return "Time, estimated and taken" if any(one.estimated_s for one in results.launches) else "Time taken"


def cost_caption(data: CostFigure, metric: Metric) -> str:
    """Say what the cost figure shows."""
    unit = {"parameters": "number of trainable weights", "seconds": "training time of one replicate"}[data.unit]
    lower, noun = "lower" if metric.lower_is_better else "higher", escape(metric.noun)
    return (
        f"Each trial at its {unit}; the bar spans its seeds. Blue: no cheaper trial has a {lower} {noun}. A flat "
        "blue line to the right means that more of it buys nothing."
    )


def shown(value: float) -> str:
    """Write a value or a difference of values with four decimals, small ones with three digits."""
    return (
        f"{value:.4f}" if value == 0 or abs(value) >= 0.001 else f"{value:.2e}" if abs(value) < 1e-5 else f"{value:.6f}"
    )


def _raced(race: Race, metric: Metric) -> str:
    """Say what further seeds have settled, and look by look how."""
    unit, rows = escape(metric.with_unit), []
    for look in race.looks:
        out = sum(one.out for one in look.entrants)
        told = f"{out} told from the best, by more than {shown(look.margin)}{unit}"
        words = f"{counted(len(look.entrants), 'combination')}, standard deviation {shown(look.noise)}{unit}; {told}"
        rows.append((f"after {look.seeds} seeds", words))
    number = len(race.left) - 1
    settled = "No other combination is as good as the best" if not number else (
        f"{counted(number, 'other combination')} cannot be told from the best"
    )  # fmt: skip
    open_still = "" if race.settled is not None else " The race is not over: launch again."
    words = (
        f"{settled}, by further seeds for the best.{open_still} At each look all that are in the race are compared by "
        "their studentised range, and the looks share the error: the chance to call any worse that is as good as the "
        "best is at most 5 % in all. This is said of this split of these data: seeds cannot tell how another sample "
        "would rank them."
    )
    return paragraph(words) + definitions(rows)


def _ties(results: SweepResults, found: Verdict) -> str:
    if len(results.distinct()) == 1:
        stopped = results.count(TrialState.STOPPED)
        others = f" {counted(stopped, 'other')} {'was' if stopped == 1 else 'were'} stopped early" if stopped else ""
        missed = f":{others}, and the best may be among them (see below, and `clustersweep replay`)" if others else ""
        return f"It is the only combination that was trained to its end, so nothing is known of ties{missed}."
    if math.isnan(found.noise):
        return (
            "Each combination was trained with one seed, so nothing can be said about noise: any ranking of "
            f"similar {_plural_noun(results.metric)} may be luck. Add seeds to the study; what is finished is kept."
        )
    seeds = len(losses(found.best))
    noun, unit = escape(results.metric.noun), escape(results.metric.with_unit)
    judged = (
        f"(A replicate’s {noun} typically has a standard deviation of {shown(found.noise)}{unit} over the seeds, the "
        f"median over the combinations; two {_PLURAL[results.over_seeds]} over {counted(seeds, 'seed')} are called "
        f"different when they are two standard errors, {shown(found.margin)}{unit}, apart.)"
    )
    if not found.ties:
        return f"No other combination comes within the noise of the seeds. {judged}"
    shared = [f"{name} = {value}" for name, value in found.shared.items() if len(results.axes[name]) > 1]
    common = (
        f"They and the best agree in {_list(shared)}."
        if shared
        else "They have no value in common with the best on every axis."
    )
    one, near = len(found.ties) == 1, found.near.count()
    comma = "," if "," in near else ""
    return (
        f"{near}{comma} {'lies' if one else 'lie'} within the noise of the seeds, so "
        f"{'it' if one else 'they'} may be as good. {common} {judged}"
    )


def _counts(results: SweepResults, found: Verdict) -> str:
    grid = math.prod(len(values) for values in results.axes.values())
    waiting = results.count(TrialState.WAITING) + results.count(TrialState.RUNNING) + max(0, grid - len(results.trials))
    counts = [
        f"{results.count(TrialState.COMPLETE)} complete",
        f"{results.count(TrialState.INFEASIBLE)} impossible",
        f"{results.count(TrialState.FAILED)} failed",
        *([f"{stopped} stopped early"] if (stopped := results.count(TrialState.STOPPED)) else []),
        f"{waiting} not finished",
    ]
    words = f"Of {counted(grid, 'combination')}, {_list(counts)}."
    if waiting or stopped or results.count(TrialState.FAILED):
        words += " The verdict is about the complete ones only."
    if found.learned_nothing:
        words += f" {counted(len(found.learned_nothing), 'trial')} learned nothing (no better than a constant)."
    if found.dead_replicates:
        words += f" {counted(found.dead_replicates, 'replicate')} of the complete trials did no better than a constant."
    return words


def _plural_noun(metric: Metric) -> str:
    """Return the word for several values."""
    return "losses" if metric.noun == "loss" else f"values of {escape(metric.noun)}"


def capital(words: str, metric: Metric) -> str:
    """Begin a sentence with words; a name from a study's file stays as it is written there."""
    return words if words == escape(metric.name) else f"{words[:1].upper()}{words[1:]}"


def _list(words: Iterable[str]) -> str:
    *others, last = [*words] or [""]
    return f"{', '.join(others)} and {last}" if others else last
