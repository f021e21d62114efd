"""Which combination is best, and what the noise of the seeds leaves open."""

import dataclasses
import math
import statistics

import pytest
from example_results import grid_results, sweep_of

from clustersweep.masses.export import evidence_of
from clustersweep.report.sweep.sections import verdict_html
from clustersweep.report.sweep.verdict import r_squared, rmse, verdict
from clustersweep.study.objective import ObjectiveSpec
from clustersweep.study.ranking import typical_spread
from clustersweep.study.results import Aggregate

RESULTS = grid_results()


def test_the_best_and_those_within_two_standard_errors_of_it_are_named() -> None:
    near, far = (0.0615, 0.0625), (0.09, 0.1)
    results = sweep_of({(10, 1): (0.06, 0.061), (10, 2): near, (20, 1): far, (20, 2): far})
    found = verdict(results)
    assert found.margin == pytest.approx(2 * found.noise * math.sqrt(2 / 2))
    assert found.best.number == 0
    assert [trial.number for trial in found.ties] == [1]
    assert found.shared == {"filters": 10}
    words = verdict_html(results, found)
    assert "1 other combination lies within the noise of the seeds, so it may be as good." in words
    assert "They and the best agree in filters = 10." in words


@pytest.mark.parametrize(
    ("over_seeds", "factor", "words"),
    [("median", 0.66983, "medians"), ("min", 0.74798, "minima"), ("max", 0.74798, "maxima")],
)
def test_the_noise_is_that_of_what_the_seeds_become(over_seeds: Aggregate, factor: float, words: str) -> None:
    results = dataclasses.replace(RESULTS, over_seeds=over_seeds)
    found = verdict(results)
    assert found.margin == pytest.approx(2 * found.noise * math.sqrt(2) * factor, rel=1e-4)
    assert f"two {words} over 3 seeds are called different when" in verdict_html(results, found)
    assert evidence_of(results, found.best, 1, ObjectiveSpec(over_seeds=over_seeds)).margin == found.margin


def test_the_typical_spread_recovers_the_true_one_and_ignores_dead_networks() -> None:
    alive = grid_results(dead=False)
    true = statistics.fmean(trial.spread() ** 2 for trial in alive.ranked()) ** 0.5
    assert typical_spread(alive.ranked()) == pytest.approx(true, rel=0.25)
    assert verdict(RESULTS).dead_replicates > 2
    assert typical_spread(RESULTS.ranked()) == pytest.approx(true, rel=0.25)


def test_one_seed_gives_no_noise_and_the_page_says_so() -> None:
    results = grid_results(seeds=(0,))
    found = verdict(results)
    assert math.isnan(found.noise)
    assert found.ties == ()
    assert "nothing can be said about noise" in verdict_html(results, found)


def test_trials_at_the_variance_of_the_labels_have_learned_nothing() -> None:
    results = sweep_of({(10, 1): (0.1, 0.1), (20, 1): (0.2, 0.3)})
    found = verdict(results)
    assert [trial.number for trial in found.learned_nothing] == [1]
    assert "1 trial learned nothing (no better than a constant)." in verdict_html(results, found)


def test_rmse_is_in_dex_and_r_squared_needs_the_variance() -> None:
    assert rmse(0.04) == pytest.approx(0.2)
    assert r_squared(0.05, 0.2) == pytest.approx(0.75)
    assert math.isnan(r_squared(0.05, None))
