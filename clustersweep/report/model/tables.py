"""The tables of a trained model's page, as HTML. Computes nothing."""

import math
from collections.abc import Container, Sequence

from clustersweep.report.model.stage_figures import STAGE_NAMES
from clustersweep.report.model.stages import OutlierPanel, before, final
from clustersweep.report.page import Cell, number, paragraph, signed, table, text
from clustersweep.report.sweep.verdict import rmse
from clustersweep.survey.agreement import CENTRAL_RADIUS
from clustersweep.training.evaluation.calibration import Calibration
from clustersweep.training.evaluation.evaluation import Bin, Evaluation
from clustersweep.training.evaluation.metrics import Estimate
from clustersweep.training.evaluation.results import StageResult
from clustersweep.training.metric import PUBLISHED_BEST, PUBLISHED_NAIVE

_METRICS = (
    ("RMSE [dex]", "rmse", ".4f"),
    ("bias [dex]", "bias", "+.4f"),
    ("robust scatter [dex]", "scatter", ".4f"),
    ("mean squared error [dex²]", "mse", ".5f"),
    ("R²", "r2", ".4f"),
    ("negative log-likelihood", "nll", "+.4f"),
    ("within 1σ", "coverage", ".1%"),
)


def metrics_html(evaluation: Evaluation) -> str:
    """List the metrics of the test and the validation part with their intervals."""
    rows = [
        ("", [text(name), *(_estimate(getattr(part, key), form) for part in (evaluation.test, evaluation.validation))])
        for name, key, form in _METRICS
    ]
    head = ["metric", f"test ({evaluation.test.number:,})", f"validation ({evaluation.validation.number:,})"]
    note = (
        f"In brackets: 95% intervals, {evaluation.resamples:,} bootstrap samples of the clusters. Errors are predicted "
        "− true log10 M500c; robust scatter is 1.4826 times the median distance from the median error; R² compares "
        "with the variance of the same clusters’ masses. Likelihood and coverage are after recalibration."
    )
    return table(head, rows, ("metric",)) + paragraph(note, "note")


def baselines_html(evaluation: Evaluation) -> str:
    """List the baselines beside the model."""
    share = f"{CENTRAL_RADIUS:.1%}"
    what = {
        "constant": "the mean mass of the training part",
        "linear in z": "a straight line in redshift",
        "counts and z": "second-order polynomial in the logarithm of the whole image’s counts and in redshift",
        "central counts, counts and z": "the same with the logarithm of the counts of the image’s centre as well: "
        f"within {share} of the image’s width of its middle",
        "counts": "second-order polynomial in the logarithm of the whole image’s counts",
    }
    what["central counts, counts"] = what["central counts, counts and z"]
    rows = [
        ("", [text(b.name), text(what[b.name], kind="wrap"), _estimate(b.rmse, ".4f")]) for b in evaluation.baselines
    ]
    rows.append(
        ("best-row", [text("this model"), text("the mean of its seeds"), _estimate(evaluation.test.rmse, ".4f")])
    )
    note = (
        "Baselines are fitted to the training part by least squares and judged on the test part. The radius of the "
        f"centre is {share} of the image’s width, 1.5 arcmin of the 20 of a simulated image: the scale of other images "
        "is not known. Where a cluster is not in the middle of its image, that baseline is no fair rival."
    )
    return table(["regression", "what it is", "RMSE [dex]"], rows, ("regression", "what it is")) + paragraph(
        note, "note"
    )


def bins_note(evaluation: Evaluation) -> str:
    """Say what to expect in bins."""
    quantities = "predicted mass and of redshift" if evaluation.by_redshift else "predicted mass"
    return (
        "In bins of true mass even a perfect estimator is drawn towards the mean at both ends, and its coverage drops "
        f"there; in bins of {quantities} neither should happen."
    )


def bins_html(name: str, bins: Sequence[Bin], baseline: str) -> str:
    """List the metrics in bins."""
    head = [
        name,
        "clusters",
        "RMSE [dex]",
        "bias [dex]",
        "robust scatter [dex]",
        "within 1σ",
        f"{baseline}: RMSE [dex]",
    ]
    rows = []
    for b in bins:
        m = b.metrics
        cells = [text(f"{b.low:.2f} to {b.high:.2f}", b.low), number(m.number, ",d"), _estimate(m.rmse, ".3f")]
        cells += [_estimate(m.bias, "+.3f"), _estimate(m.scatter, ".3f"), _estimate(m.coverage, ".0%")]
        rows.append(("", [*cells, _estimate(b.baseline_rmse, ".3f")]))
    return table(head, rows, (name,))


def calibration_html(evaluation: Evaluation) -> str:
    """List coverage and pulls of both parts before and after recalibration."""
    head = ["part", "σ multiplied by", "within 1σ", "within 2σ", "pull: mean", "pull: width", "pull: core width", "NLL"]
    rows = []
    for part, both in (("test", evaluation.test_calibration), ("validation", evaluation.validation_calibration)):
        for found in (both.before, both.after):
            kind = "best-row" if part == "test" and found is both.after else ""
            rows.append((kind, [text(part), number(found.factor, ".3f"), *_calibration(found)]))
    note = (
        "Nominal: 68.27 and 95.45%, mean 0, width 1; ± is one standard error (binomial for the coverage). Core width: "
        "half the range of the central 68.27% of the pulls, which outliers do not touch. The validation part’s "
        "coverage after recalibration is right by construction."
    )
    return table(head, rows, ("part",)) + paragraph(note, "note")


def _calibration(found: Calibration) -> list[Cell]:
    covered = [Cell(f"{c.observed:.1%} ± {c.error:.1%}", c.observed) for c in found.coverage]
    mean = Cell(f"{signed(found.pull_mean, '+.3f')} ± {found.pull_mean_error:.3f}", found.pull_mean)
    return [
        *covered,
        mean,
        number(found.pull_width, ".3f"),
        number(found.pull_core_width, ".3f"),
        number(found.nll, "+.4f"),
    ]


def stages_html(stages: Sequence[StageResult]) -> str:
    """List every stage of every seed."""
    likely = any(result.val_nll is not None for result in stages)
    head = ["seed", "stage", "loss before [dex²]", "loss after [dex²]", "change"]
    head += [*(["NLL"] if likely else []), "best epoch", "epochs", "seconds", "kept"]
    rows = []
    for result in stages:
        start = before(result, stages)
        known = math.nan if start is None else start
        change = result.val_loss / known - 1 if start else math.nan
        cells = [
            number(result.seed, "d"),
            text(STAGE_NAMES[result.stage]),
            number(known, ".5f"),
            number(result.val_loss, ".5f"),
        ]
        cells.append(number(change, "+.1%"))
        cells += [number(math.nan if result.val_nll is None else result.val_nll, "+.4f")] if likely else []
        cells += [number(result.best_epoch, "d"), number(result.epochs, "d"), number(result.seconds, ",.0f")]
        rows.append(("" if result.kept else "dead", [*cells, text("yes" if result.kept else "no")]))
    note = (
        "Losses of the validation part: mean squared error of log10 M500c, of the best epoch. NLL: negative "
        "log-likelihood there, before recalibration; where it is trained it chooses the epoch, so that the squared "
        "error may rise."
    )
    return table(head, rows, ("stage", "kept")) + paragraph(note, "note")


def outliers_html(panels: Sequence[OutlierPanel]) -> str:
    """List what the retraining changed, inside the outlier regions and outside."""
    head = ["seed", "regions, log M", "clusters", "MSE inside", "MSE outside", "MSE of all", "kept"]
    rows = []
    for p in panels:
        regions = ", ".join(f"{p.edges[w]:.2f} to {p.edges[w + 1]:.2f}" for w in p.worst)
        clusters = text(f"{p.clusters[0]:,} of {sum(p.clusters):,}", p.clusters[0])
        cells = [
            number(p.seed, "d"),
            text(regions, kind="wrap"),
            clusters,
            _change(p.inside),
            _change(p.outside),
            _change(p.whole),
        ]
        rows.append(("" if p.kept else "dead", [*cells, text("yes" if p.kept else "no")]))
    note = "Mean squared errors of the validation part, dex², before → after the retraining."
    return table(head, rows, ("regions, log M", "kept")) + paragraph(note, "note")


def published_html(evaluation: Evaluation, stages: Sequence[StageResult], failed: Container[int] = ()) -> str:
    """Put the laboratory's published losses beside these, with what makes them hard to compare."""
    losses = [result.val_loss for result in final(stages, failed)]
    rows = [
        ("", [text("laboratory’s report, untuned network"), *_loss(PUBLISHED_NAIVE), text("validation part of eFEDS")]),
        ("", [text("laboratory’s report, all improvements"), *_loss(PUBLISHED_BEST), text("validation part of eFEDS")]),
    ]
    if losses:
        single = f"this model, mean of its {len(losses)} seeds" if len(losses) > 1 else "this model, its one seed"
        rows.append(
            ("", [text(single), *_loss(math.fsum(losses) / len(losses)), text("validation part of these data")])
        )
    for name, part in (("validation", evaluation.validation), ("test", evaluation.test)):
        kind = "best-row" if name == "test" else ""
        rows.append(
            (kind, [text("this model, seeds together"), *_loss(part.mse.value), text(f"{name} part of these data")])
        )
    note = (
        "Different data: the report’s losses are on its own clusters, whose masses and background differ from these, "
        "and on the part that chose the epoch. A lower number here does not show a better network; only both networks "
        "on the same clusters would."
    )
    return table(["network", "loss [dex²]", "RMSE [dex]", "on"], rows, ("network", "on")) + paragraph(note, "note")


def _loss(value: float) -> list[Cell]:
    return [number(value), number(rmse(value), ".3f")]


def _estimate(estimate: Estimate, form: str) -> Cell:
    if math.isnan(estimate.value):
        return number(math.nan)
    value, low, high = (signed(number, form) for number in (estimate.value, estimate.low, estimate.high))
    return Cell(f"{value} [{low}, {high}]", estimate.value)


def _change(pair: tuple[float, float]) -> Cell:
    start, end = pair
    if not (math.isfinite(start) and math.isfinite(end)):
        return number(math.nan)
    return Cell(f"{start:.4f} → {end:.4f} ({signed(end / start - 1, '+.1%')})", end / start)
