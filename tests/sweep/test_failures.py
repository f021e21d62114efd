"""What is decided about failures: plain values in, plain values out."""

import pytest

from clustersweep.study.events import DIVERGED, OUT_OF_MEMORY, Failed
from clustersweep.study.results import FailedReplicate
from clustersweep.sweep.failures import (
    MAX_LOSSES,
    WORKER_LOST,
    Again,
    Alone,
    Fail,
    Situation,
    decide,
    spared,
    without_memory,
)
from clustersweep.workers.protocol import Lost

BAD_LAYER = Failed("ValueError", "bad layer", "a trace")
NO_MEMORY = Failed(OUT_OF_MEMORY, "OOM when allocating tensor", "a trace")
KILLED, KILLED_FOR_MEMORY = Lost("exit code 9"), Lost("low on memory", out_of_memory=True)


def known(**changes):
    """A replicate of trial 0 whose combination has trained an epoch, so that nobody else is spared."""
    return Situation(**{"combination": 0, "combination_trained": True, **changes})


def test_a_failure_of_the_training_is_the_replicates_as_it_is():
    assert decide(BAD_LAYER, known()) == Fail(BAD_LAYER)


@pytest.mark.parametrize("losses", range(1, MAX_LOSSES))
def test_a_replicate_whose_worker_died_goes_on_elsewhere(losses):
    assert decide(KILLED, known(losses=losses)) == Again()


def test_a_replicate_whose_workers_died_three_times_fails_with_the_reason():
    failed = Failed(WORKER_LOST, "its worker died 3 times: exit code 9")
    assert decide(KILLED, known(losses=3)) == Fail(failed)


@pytest.mark.parametrize("event", [KILLED, KILLED_FOR_MEMORY])
def test_a_worker_that_was_dead_before_it_took_a_replicate_up_is_never_held_against_that(event):
    assert decide(event, known(taken_up=False, losses=9, tried_alone=True)) == Again()


@pytest.mark.parametrize("event", [NO_MEMORY, KILLED_FOR_MEMORY])
def test_what_runs_out_of_memory_is_tried_alone_however_often_workers_died(event):
    assert decide(event, known(losses=9)) == Alone()


@pytest.mark.parametrize(("on_share", "remedy"), [(False, "Train it where"), (True, "Give it a whole GPU")])
def test_what_runs_out_of_memory_alone_too_fails_with_the_remedy(on_share, remedy):
    decision = decide(NO_MEMORY, known(tried_alone=True, on_share=on_share))
    assert decision == Fail(without_memory("OOM when allocating tensor", "a trace", on_share=on_share))
    assert decision.failed.signature == OUT_OF_MEMORY
    assert decision.failed.message.startswith(
        f"out of memory, also with nothing else training: OOM when allocating tensor. {remedy}"
    )


def test_a_worker_that_is_killed_for_its_memory_alone_too_fails_its_replicate_and_names_no_gpu():
    """What is short then is the machine's memory, and no GPU's."""
    decision = decide(KILLED_FOR_MEMORY, known(tried_alone=True, on_share=True))
    assert decision == Fail(without_memory("low on memory"))
    assert "gpus_per_worker" not in decision.failed.message


def test_what_fails_before_any_seed_has_trained_spares_the_others():
    assert decide(BAD_LAYER, known(combination_trained=False)) == Fail(BAD_LAYER, spares_others=True)


def test_memory_that_is_missing_before_any_seed_has_trained_spares_the_others():
    for event in (NO_MEMORY, KILLED_FOR_MEMORY):
        assert decide(event, known(combination_trained=False, tried_alone=True)).spares_others


def test_what_diverges_or_kills_its_workers_spares_no_other_seed():
    diverged = Failed(DIVERGED, "the loss is not finite")
    assert decide(diverged, known(combination_trained=False)) == Fail(diverged)
    assert not decide(KILLED, known(combination_trained=False, losses=3)).spares_others


def test_the_third_combination_that_fails_alike_aborts_the_sweep_with_the_failure():
    decision = decide(BAD_LAYER, known(combination=7, failed_alike={"ValueError": {1, 2}}))
    assert decision == Fail(
        BAD_LAYER, abort="3 combinations failed alike (ValueError: bad layer), so the rest would too"
    )


@pytest.mark.parametrize(
    "alike",
    [{}, {"ValueError": {1}}, {"ValueError": {1, 7}}, {"TypeError": {1, 2}, DIVERGED: {1, 2}, "ValueError": {7}}],
)
def test_fewer_combinations_other_failures_and_other_seeds_of_one_combination_do_not_abort(alike):
    assert decide(BAD_LAYER, known(combination=7, failed_alike=alike)) == Fail(BAD_LAYER)


def test_combinations_that_diverge_never_abort_the_sweep_and_those_that_kill_workers_do():
    diverged = Failed(DIVERGED, "the loss is not finite")
    assert decide(diverged, known(failed_alike={DIVERGED: {1, 2, 3, 4}})).abort == ""
    lost = decide(KILLED, known(losses=3, failed_alike={WORKER_LOST: {1, 2}}))
    assert lost.abort.startswith("3 combinations failed alike (WorkerLost: its worker died 3 times: exit code 9)")


def test_a_spared_seed_has_the_failure_of_the_first_and_says_that_it_was_not_trained():
    first = FailedReplicate(1, "bad layer\na trace", "ValueError", 0, 3.0, "host:1")
    other = spared(first, BAD_LAYER, 2)
    assert (other.seed, other.seconds, other.signature, other.state) == (2, 0.0, "ValueError", "failed")
    assert other.error == "not trained, as seed 1 failed before its first epoch: bad layer"
