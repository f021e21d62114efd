"""What a trained model's figures mean, in words: the verdict and the captions. Draws nothing."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from types import MappingProxyType

import numpy as np

from clustersweep.report.model.masses import FAR_DEX, Parity, ResidualPanel
from clustersweep.report.model.stages import OutlierPanel, final
from clustersweep.report.page import paragraph, signed
from clustersweep.study.ranking import nothing_learned
from clustersweep.training.evaluation.calibration import ONE_SIGMA, Coverage, recalibration_error
from clustersweep.training.evaluation.evaluation import Evaluation
from clustersweep.training.evaluation.metrics import Estimate
from clustersweep.training.evaluation.results import Floats, StageResult
from clustersweep.training.metric import NOISE_OF_CLUSTERS, VAL_LOSS
from clustersweep.words import counted

LOSSES_CAPTION = (
    "Validation solid, training dotted (training with augmentation and dropout, where the recipe has them), one "
    "colour a seed; the dot marks the epoch whose weights are kept, the diamond what the stage set out from. A dashed "
    "line with a hollow dot is a stage whose result was not kept, because the validation part did not improve. The "
    "scale differs from panel to panel. A second row, where a likelihood is trained, shows that: it chooses the epoch "
    "there; what is far worse than the best lies above the picture."
)
OUTLIERS_CAPTION = (
    "Mean squared error of the validation part in bins of true mass with equally many clusters, before (grey) and "
    "after (blue) retraining with more weight on the shaded bins, which were the worst before. The same clusters "
    "chose the regions, the epoch and whether the result was kept, so what is gained inside is flattered."
)
_NONE: Mapping[int, str] = MappingProxyType({})


def verdict_html(evaluation: Evaluation, stages: Sequence[StageResult], failed: Mapping[int, str] = _NONE) -> str:
    """Say how good the model is, against what, whether its uncertainties are honest, and what to distrust."""
    test, calibrated = evaluation.test, evaluation.test_calibration.after
    cards = [
        (f"{test.rmse.value:.3f}", f"RMSE, dex (95%: {_range(test.rmse)})"),
        (f"{test.scatter.value:.3f}", "robust scatter, dex"),
        (signed(test.bias.value, "+.3f"), f"bias, dex ({_range(test.bias, '+.3f')})"),
        (f"{test.r2.value:.3f}", "R²: share of the masses’ variance explained"),
        (f"{calibrated.coverage[0].observed:.1%}", "of the truths within 1σ (nominal 68.3%)"),
        (signed(evaluation.gain.value, "+.3f"), f"dex gained on the baseline “{evaluation.best_baseline}”"),
    ]
    tiles = "".join(f'<div class="tile"><b>{escape(b)}</b><span>{escape(s)}</span></div>' for b, s in cards)
    head = f"The masses are of no use: their RMSE is {test.rmse.value:.3g} dex"
    if test.rmse.value < FAR_DEX:
        factor = f"A predicted mass is typically right to within a factor of {10**test.rmse.value:.2f}"
        mse, mean_mse, margin = test.mse.value, evaluation.constant_mse, evaluation.constant_margin
        head = nothing_learned("the model", mse, mean_mse, margin, NOISE_OF_CLUSTERS, metric=VAL_LOSS) or factor
    body = (
        f'<p class="best">{escape(head)} <span class="name">({test.number:,} test clusters)</span></p>\n'
        f'<div class="tiles">{tiles}</div>\n'
    )
    body += paragraph(gain_text(evaluation)) + paragraph(calibration_text(evaluation))
    items = "".join(
        f"<li><b>{escape(what)}</b> {escape(why)}</li>" for what, why in caveats(evaluation, stages, failed)
    )
    return f"{body}<h3>What to distrust</h3>\n<ul>{items}</ul>\n"


def gain_text(evaluation: Evaluation) -> str:
    """Compare with the best baseline."""
    best = next(b for b in evaluation.baselines if b.name == evaluation.best_baseline)
    gain, own = evaluation.gain, evaluation.test.rmse.value
    start = (
        f"The best of the baselines, fitted to the same training part, is “{best.name}” with an RMSE of "
        f"{best.rmse.value:.3f} dex on the same clusters."
    )
    interval = f"{abs(gain.value):.3f} dex (95%: {_range(gain)})"
    if gain.low > 0:
        share = gain.value / best.rmse.value
        explained = 1 - (own / best.rmse.value) ** 2
        return f"{start} The model is better by {interval}: {share:.0%} less error, {explained:.0%} less variance."
    if gain.high < 0:
        return f"{start} The model is worse by {interval}: the images have taught it nothing that a regression lacks."
    unclear = f"{signed(gain.value, '+.3f')} dex (95%: {_range(gain, '+.3f')})"
    return f"{start} The model cannot be told from it: the difference is {unclear}."


def calibration_text(evaluation: Evaluation) -> str:
    """Say whether the uncertainties hold what they promise."""
    before, after = evaluation.test_calibration.before, evaluation.test_calibration.after
    one, two = after.coverage
    margins = [margin(coverage, evaluation.validation.number) for coverage in after.coverage]
    kinds = [_kind(c.observed - c.nominal, allowed) for c, allowed in zip(after.coverage, margins, strict=True)]
    verdict = {
        0: "are honest as far as these clusters can tell",
        1: "are too wide",
        -1: "are too narrow",
    }[kinds[0]]
    tails = {
        0: "as a Gaussian has",
        1: "more than a Gaussian has",
        -1: "less than a Gaussian has: the tails are heavier, so 2σ limits are weaker than they look",
    }[kinds[1]]
    return (
        f"The uncertainties {verdict}: after recalibration {one.observed:.1%} of the truths lie within 1σ, where "
        f"{one.nominal:.1%} are expected, give or take {100 * margins[0]:.1f} percentage points (two standard errors, "
        f"of this part and of the factor’s fit); before it, {before.coverage[0].observed:.1%}. The factor on all σ, "
        f"fitted to the validation part, is {evaluation.factor:.3f}; it is expected to be a little too small, as the "
        "validation part also chose the epochs, and the coverage of new clusters to be lower for it. Within 2σ lie "
        f"{two.observed:.1%} ({two.nominal:.1%} ± {100 * margins[1]:.1f} expected), {tails}."
    )


def caveats(
    evaluation: Evaluation, stages: Sequence[StageResult], failed: Mapping[int, str] = _NONE
) -> Iterator[tuple[str, str]]:
    """Name what a careful reader should not take at face value, and why."""
    for seed, why in failed.items():
        yield f"Seed {seed} failed:", f"{why}. Its network is not in the model; its finished stages are listed below."
    chosen = ["the epoch of every stage"]
    if any(result.stage == "outliers" for result in stages):
        chosen += ["the outlier regions", "whether their retraining was kept"]
    chosen.append("the recalibration")
    optimism = evaluation.optimism
    visible = optimism.low > 0 or optimism.high < 0
    yield (
        "Numbers of the validation part:",
        f"it chose {_list(chosen)}. Its mean squared error is {evaluation.validation.mse.value:.4f} dex², that of the "
        f"test part {evaluation.test.mse.value:.4f}: a difference of {signed(optimism.value, '+.4f')} (95%: "
        f"{_range(optimism, '+.4f')}), {'more than' if visible else 'within'} chance. Its coverage of 1σ is right by "
        "construction.",
    )
    yield (
        "The test part, once it is used again:",
        "so far it chose nothing; whoever changes the recipe because of this page makes it a second validation part.",
    )
    if len(evaluation.by_mass) > 1:
        light, heavy = evaluation.by_mass[0], evaluation.by_mass[-1]
        worst = max(abs(b.metrics.bias.value) for b in evaluation.by_predicted_mass)
        yield (
            "Single masses at the ends:",
            f"the lightest clusters (log M below {light.high:.2f}) come out {_shift(light.metrics.bias)}, the heaviest "
            f"(above {heavy.low:.2f}) {_shift(heavy.metrics.bias)}. Whatever minimises the squared error draws its "
            "predictions together like this; at a given predicted mass, which is what a user knows, the mean error is "
            f"at most {worst:.3f} dex in any bin.",
        )
    for name, bins in (("predicted mass", evaluation.by_predicted_mass), ("redshift", evaluation.by_redshift)):
        off = [b for b in bins if not b.metrics.coverage.low <= ONE_SIGMA <= b.metrics.coverage.high]
        if len(bins) > 1 and off:
            furthest = sorted(off, key=lambda b: -abs(b.metrics.coverage.value - ONE_SIGMA))[:3]
            parts = [f"{b.metrics.coverage.value:.0%} from {b.low:.2f} to {b.high:.2f}" for b in furthest]
            yield (
                f"Uncertainties by {name}:",
                f"in {len(off)} of {len(bins)} bins the coverage of 1σ differs from 68.3% by more than its 95% "
                f"interval, which chance alone does in one of twenty; furthest off: {_list(parts)}.",
            )
    losses = [result.val_loss for result in final(stages, failed)]
    spread = (
        f"The validation losses of the {len(losses)} seeds have a standard deviation of {statistics.stdev(losses):.4f} "
        "dex²."
        if len(losses) > 1
        else "With one seed nothing is known of that."
    )
    yield (
        "Intervals as the whole truth:",
        f"they hold the luck of which clusters were drawn, not that of the training. {spread}",
    )


def outlier_text(panels: Sequence[OutlierPanel]) -> str:
    """Say whether retraining on outliers helped."""
    kept = [panel for panel in panels if panel.kept]
    seeds = f"{len(kept)} of {len(panels)} seeds" if len(panels) > 1 else "the seed" if kept else "no seed"
    changes = [
        f"{signed(100 * statistics.fmean(end / start - 1 for start, end in pairs), '+.1f')}% {where}"
        for where, pairs in (
            ("inside the outlier regions", [panel.inside for panel in panels]),
            ("outside", [panel.outside for panel in panels]),
            ("over all", [panel.whole for panel in panels]),
        )
        if all(math.isfinite(end) and start > 0 for start, end in pairs)
    ]
    return (
        f"The retraining was kept for {seeds}: it is kept where the validation loss improves. The mean squared error "
        "of the validation part changed, on average over the seeds, kept or not, by "
        f"{_list(changes or ['nothing that is known'])}."
    )


def margin(coverage: Coverage, validation: int) -> float:
    """Return two standard errors of a coverage after recalibration: binomial, and of the factor's fit.

    An error of the factor shifts the coverage of n sigma by n phi(n) / phi(1) times what it shifts that of one.
    """
    sigma = coverage.sigma
    share = sigma * math.exp(-0.5 * (sigma**2 - 1))
    return 2 * math.hypot(coverage.error, share * recalibration_error(validation))


def parity_caption(plot: Parity) -> str:
    """Say what the parity plot shows."""
    shown, total = len(plot.true), plot.total
    beyond = f" {_beyond(plot.beyond)}" if plot.beyond else ""
    some = (
        f"{shown:,} of the {total:,} clusters, spread evenly over the true mass" if shown < total else "every cluster"
    )
    coloured = "" if np.isnan(plot.redshift).all() else ", coloured by redshift"
    return (
        f"Predicted against true mass of the test part. Left: {some}{coloured}; error bars are the "
        "recalibrated standard deviations, of clusters chosen by their true mass alone. Right: density of all "
        "clusters (logarithmic), with the median prediction and the range of 68% in bins of true mass. Where the "
        f"median crosses the diagonal flatly, predictions are drawn towards the mean.{beyond}"
    )


def _beyond(clusters: int) -> str:
    lie = counted(clusters, "cluster lies", "clusters lie")
    return f"{lie} beyond the picture and {'is' if clusters == 1 else 'are'} drawn at its edge."


def residual_caption(panels: tuple[ResidualPanel, ...], name: str) -> str:
    """Say what the residuals show; without any redshift there are two panels."""
    panel, drawn = panels[0], "true mass, predicted mass and redshift" if len(panels) > 2 else "true and predicted mass"
    middle = "middle" if len(panels) > 2 else "right"
    beyond = f" {_beyond(panel.beyond)}" if panel.beyond else ""
    return (
        f"Error against {drawn}. Black: mean and standard deviation in bins; dashed: "
        f"plus and minus the RMSE of the best baseline ({name}) in the same bins. A slope in the left panel is the "
        f"pull towards the mean; the {middle} panel, which a user’s own clusters follow, should be flat.{beyond}"
    )


def reliability_caption(evaluation: Evaluation) -> str:
    """Say what the reliability diagram shows."""
    beyond = evaluation.test_calibration.after.pulls_beyond
    outside = f" {counted(beyond, 'pull lies', 'pulls lie')} beyond ±5." if beyond else ""
    return (
        "Left: share of the truths inside central intervals of the predicted Gaussian against the share that should "
        f"be. Middle: the difference; in the grey band lie 95% of honest models with {evaluation.test.number:,} test "
        f"clusters, before the {recalibration_error(evaluation.validation.number):.1%} that the fit of the factor adds "
        f"at 68%. Right: the pulls after recalibration (bars) and before (line) beside a unit Gaussian.{outside}"
    )


def uncertainty_caption(evaluation: Evaluation, sd: Floats) -> str:
    """Say what the figure of the recalibrated `sd` (dex) shows."""
    spread = evaluation.test_calibration.before.spread + evaluation.test_calibration.after.spread
    points, clusters = sum(max(b.sd, b.rmse) > FAR_DEX for b in spread), int((sd > FAR_DEX).sum())
    both = f"{counted(points, 'point')} and the σ of {counted(clusters, 'cluster')}"
    edge = f" {both} lie beyond {FAR_DEX:.0f} dex and are drawn there."
    return (
        "Left: does a larger predicted uncertainty mean a larger error? Test clusters in bins of predicted σ; points "
        "on the diagonal are honest, a flat row of points says that σ does not tell good clusters from bad ones. "
        f"Right: how σ is distributed.{edge if points or clusters else ''}"
    )


def _kind(difference: float, allowed: float) -> int:
    return 0 if abs(difference) <= allowed else 1 if difference > 0 else -1


def _shift(bias: Estimate) -> str:
    return f"{abs(bias.value):.2f} dex too {'heavy' if bias.value > 0 else 'light'} on average"


def _range(estimate: Estimate, form: str = ".3f") -> str:
    return f"{signed(estimate.low, form)} to {signed(estimate.high, form)}"


def _list(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
