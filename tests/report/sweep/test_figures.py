"""The figures of effects, learning curves and cost, as they are drawn."""

import math

from clustersweep.report.sweep.curves import learning_curves
from clustersweep.report.sweep.figures import curve_figure
from clustersweep.study.results import CompleteReplicate, SweepResults, TrialResult, TrialState
from clustersweep.training.metric import VAL_LOSS


def test_a_curve_with_epochs_that_diverged_is_drawn() -> None:
    replicate = CompleteReplicate(0, 0.1, 2, 3, 1.0, "w", ((0.2, math.inf), (0.1, 0.1), (0.3, math.nan)))
    trial = TrialResult(0, {}, TrialState.COMPLETE, 0.1, {0: replicate})
    panels = learning_curves(SweepResults("s", "d", {}, (0,), (trial,), metric=VAL_LOSS))
    drawn = curve_figure(panels, None, VAL_LOSS)
    assert [len(trace.y) for trace in drawn.data[:2]] == [3, 3]
    assert all(math.isfinite(end) for end in drawn.layout.yaxis.range)
