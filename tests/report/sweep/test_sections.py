"""What the sections of a sweep's report say in words."""

import dataclasses
import re

from example_results import fail_trial, grid_results, replace_trial, stop_trials

from clustersweep.report.sweep.sections import slices_introduction, verdict_html
from clustersweep.report.sweep.verdict import verdict
from clustersweep.study.race import Entrant, Look, Race, Settled
from clustersweep.study.results import TrialState
from clustersweep.training.metric import VAL_LOSS

RESULTS = grid_results()


def test_the_introduction_explains_the_ranks_only_where_there_are_several() -> None:
    assert "its 3 seeds are ranked by loss" in slices_introduction(3, VAL_LOSS)
    assert "Every combination has one seed" in slices_introduction(1, VAL_LOSS)


def test_the_verdict_counts_what_is_impossible_failed_and_unfinished() -> None:
    results = replace_trial(fail_trial(RESULTS, 0), 1, state=TrialState.WAITING, value=None, replicates={})
    words = verdict_html(results, verdict(results))
    assert "Of 81 combinations, 52 complete, 27 impossible, 1 failed and 1 not finished." in words
    assert "The verdict is about the complete ones only." in words


def test_the_verdict_compares_with_the_published_losses_and_warns_that_variances_differ() -> None:
    words = verdict_html(RESULTS, verdict(RESULTS))
    assert "0.1471" in words
    assert "0.0533" in words
    assert "variance of log mass differs from one data set to another" in words


STOPPED = stop_trials(RESULTS)


def test_the_verdict_says_how_many_were_stopped() -> None:
    text = verdict_html(STOPPED, verdict(STOPPED))
    assert "7 complete, 27 impossible, 0 failed, 47 stopped early and 0 not finished" in text
    assert "The verdict is about the complete ones only." in text


def test_the_verdict_says_what_further_seeds_have_settled_look_by_look() -> None:
    first, second, third = (trial.number for trial in RESULTS.ranked()[:3])
    told = [
        Look(3, 0.004, 0.02, (Entrant(second, 0.05, False), Entrant(first, 0.06, False), Entrant(third, 0.1, True)))
    ]
    told.append(Look(5, 0.004, 0.01, (Entrant(second, 0.05, False), Entrant(first, 0.055, False))))
    raced = dataclasses.replace(RESULTS, race=Race(tuple(told), (second, first), settled=Settled.AT_MOST))
    text = re.sub("<[^>]*>", " ", verdict_html(raced, verdict(raced)))
    assert f"(trial {second})" in text  # the race's leader is the best, whatever fewer seeds said
    assert "1 other combination cannot be told from the best, by further seeds for the best." in text
    assert "3 combinations, standard deviation 0.0040 dex²; 1 told from the best, by more than 0.0200 dex²" in text
    assert "after 5 seeds" in text
    assert [trial.number for trial in verdict(raced).ties] == [first]
    assert "The race is not over" in verdict_html(
        dataclasses.replace(RESULTS, race=Race(tuple(told), (second, first), 8)), verdict(raced)
    )


def test_where_one_combination_alone_was_trained_to_its_end_its_ties_are_not_known() -> None:
    alone = stop_trials(grid_results(dead=False), rungs=(2, 5, 8), keep=0.02)
    words = verdict_html(alone, verdict(alone))
    assert (
        "It is the only combination that was trained to its end, so nothing is known of ties: 53 others were" in words
    )
    assert "the best may be among them" in words
    assert "nan" not in words
