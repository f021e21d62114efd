"""What a function reports and saves becomes the events of a replicate; and every way in which it may go wrong."""

import contextlib
import functools
import itertools
import math
import sys
import threading
import time

import pytest

from clustersweep.own.run import OwnTrainer, unpacked
from clustersweep.study.events import (
    DIVERGED,
    OUT_OF_MEMORY,
    Checkpoint,
    DamagedCheckpointError,
    EpochEnd,
    Failed,
    Finished,
    Stopped,
)
from clustersweep.study.objective import plain_metric

ERROR = plain_metric("error")
VALUES = [5.0, 3.0, 1.0, 2.0]  # of the epochs


def events_of(function, *, metric=ERROR, params=None, settings=None, **given):
    trainer = OwnTrainer(function, params or {"width": 2}, settings or {}, metric, "code-digest", __file__)
    given = {"key": "k", "checkpoint": None, "checkpoint_every_s": 0.0, "stop": lambda: False, **given}
    return list(trainer.replicate(given.pop("seed", 0), **given))


def failure(function, **given):
    *_, last = events_of(function, **given)
    assert isinstance(last, Failed), last
    return last


def reporting(run):
    for epoch, error in enumerate(VALUES, 1):
        run.report(epoch, error=error, other=10 * error)


def saving(run):
    """Sum up the epochs; what it saves is the epoch and the sum."""
    epoch, total = map(int, (run.saved or b"0 0").split())
    while epoch < 6:
        epoch, total = epoch + 1, total + epoch + 1 + run.seed
        run.report(epoch, error=1000.0 / total)
        run.save(f"{epoch} {total}".encode())


# ------------------------------------------------------------------------------------------ what it is given


def test_the_function_has_its_combination_the_settings_and_the_seed():
    seen = []
    events_of(lambda run: seen.append((run.params, run.settings, run.seed, run.saved)), params={"a": "x"},
              settings={"b": [1, {"c": None}]}, seed=3)  # fmt: skip
    assert seen == [({"a": "x"}, {"b": [1, {"c": None}]}, 3, None)]


def test_settings_that_a_function_changes_are_its_own():
    settings = {"a": [1]}
    events_of(lambda run: run.settings["a"].append(2), settings=settings)
    assert settings == {"a": [1]}


# ------------------------------------------------------------------------------------------ what it tells


def test_the_value_is_that_of_the_best_epoch_and_the_other_metrics_are_those_of_the_same():
    *epochs, last = events_of(reporting)
    assert [type(event) for event in epochs] == [EpochEnd] * 4
    assert [(event.epoch, event.val_loss, event.metrics) for event in epochs] == [
        (epoch, error, {"error": error, "other": 10 * error}) for epoch, error in enumerate(VALUES, 1)
    ]
    assert (last.val_loss, last.best_epoch, last.epochs, last.metrics) == (1.0, 3, 4, {"other": 10.0})
    assert (last.code, last.weights, last.resumed) == ("code-digest", b"", 0)
    assert [value for _, value in last.curve] == VALUES


def test_the_value_is_that_of_the_highest_epoch_where_more_is_better():
    *_, last = events_of(reporting, metric=plain_metric("error", "", "maximize"))
    assert (last.val_loss, last.best_epoch) == (5.0, 1)


def test_a_function_without_epochs_reports_once():
    *_, last = events_of(lambda run: run.report(1, error=0.5))
    assert isinstance(last, Finished)
    assert (last.val_loss, last.epochs) == (0.5, 1)


def test_the_training_part_of_a_metric_is_the_one_that_keras_gives_its_name():
    *_, last = events_of(lambda run: run.report(1, loss=0.3, val_loss=0.5), metric=plain_metric("val_loss"))
    assert last.curve == ((0.3, 0.5),)
    assert math.isnan(events_of(reporting)[-1].curve[0][0])


def test_numbers_of_other_libraries_are_taken():
    import numpy as np

    *_, last = events_of(lambda run: run.report(np.int64(1), error=np.float32(0.5)))
    assert last.val_loss == 0.5


def test_an_epochs_seconds_are_those_that_the_function_took():
    def slow(run):
        time.sleep(0.05)
        run.report(1, error=1.0)
        run.report(2, error=1.0)

    trained = OwnTrainer(slow, {}, {}, ERROR).replicate(
        0, key="k", checkpoint=None, checkpoint_every_s=0.0, stop=lambda: False
    )
    first = next(trained)
    time.sleep(0.2)  # the engine's own time is nobody's
    second = next(trained)
    assert first.seconds >= 0.05
    assert second.seconds < 0.1


def test_the_function_goes_on_only_when_its_epoch_was_taken():
    reached = []

    def steps(run):
        for epoch in (1, 2, 3):
            reached.append(epoch)
            run.report(epoch, error=1.0)

    trained = OwnTrainer(steps, {}, {}, ERROR).replicate(
        0, key="k", checkpoint=None, checkpoint_every_s=0.0, stop=lambda: False
    )
    next(trained)
    time.sleep(0.05)
    assert reached == [1]
    trained.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "steps"]


# ------------------------------------------------------------------------------------------ stopped, and gone on with


@pytest.mark.parametrize("at", range(1, 6))
def test_a_function_that_saves_goes_on_where_it_was_stopped_and_comes_to_the_same(at):
    whole = events_of(saving, seed=2)[-1]
    stopped = events_of(saving, seed=2, until=at)
    assert isinstance(stopped[-1], Stopped)
    assert isinstance(stopped[-2], Checkpoint)
    assert [event.epoch for event in stopped if isinstance(event, EpochEnd)] == list(range(1, at + 1))
    gone_on = events_of(saving, seed=2, checkpoint=stopped[-2].state)
    assert [event.epoch for event in gone_on if isinstance(event, EpochEnd)] == list(range(at + 1, 7))
    last = gone_on[-1]
    assert (last.val_loss, last.best_epoch, last.epochs, last.resumed) == (
        whole.val_loss, whole.best_epoch, whole.epochs, 1
    )  # fmt: skip
    assert [value for _, value in last.curve] == [value for _, value in whole.curve]
    assert last.weights == whole.weights


def test_a_function_that_never_saved_begins_again_and_no_epoch_counts_twice():
    stopped = events_of(reporting, until=2)
    assert [type(event) for event in stopped] == [EpochEnd, EpochEnd, Checkpoint, Stopped]
    *epochs, last = events_of(reporting, checkpoint=stopped[-2].state)
    assert [event.epoch for event in epochs] == [1, 2, 3, 4]
    assert (last.epochs, last.resumed, last.val_loss) == (4, 0, 1.0)


def test_epochs_after_the_last_state_are_replaced_when_they_are_trained_again():
    def every_other(run):
        for epoch in range(int(run.saved or 0) + 1, 7):
            run.report(epoch, error=float(10 - epoch))
            if epoch % 2 == 0:
                run.save(str(epoch).encode())

    stopped = events_of(every_other, until=5)
    *epochs, last = events_of(every_other, checkpoint=stopped[-2].state)
    assert [event.epoch for event in epochs if isinstance(event, EpochEnd)] == [5, 6]
    assert [value for _, value in last.curve] == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0]


def test_a_checkpoint_is_handed_over_as_soon_as_it_is_due():
    """Not with the next epoch, which may take an hour."""
    assert [type(event) for event in events_of(saving)[:4]] == [EpochEnd, Checkpoint, EpochEnd, Checkpoint]
    assert not [event for event in events_of(saving, checkpoint_every_s=60.0) if isinstance(event, Checkpoint)]


def test_a_stop_ends_the_function_whatever_it_catches():
    cleaned = []

    def stubborn(run):
        try:
            for epoch in itertools.count(1):
                with contextlib.suppress(Exception):
                    run.report(epoch, error=1.0)
        finally:
            cleaned.append(True)

    events = events_of(stubborn, until=3)
    assert isinstance(events[-1], Stopped)
    assert cleaned == [True]


def test_a_state_of_another_replicate_or_one_that_is_cut_short_is_not_used():
    state = events_of(saving, until=2)[-2].state
    for damaged, key in ((state, "other"), (state[:-1], "k"), (b"something", "k"), (b"", "k")):
        with pytest.raises(DamagedCheckpointError):
            unpacked(damaged, key)
        first = next(e for e in events_of(saving, key=key, checkpoint=damaged) if isinstance(e, EpochEnd))
        assert first.epoch == 1


def test_a_function_that_has_saved_its_last_epoch_may_just_return():
    stopped = events_of(saving, until=6)
    *_, last = events_of(saving, checkpoint=stopped[-2].state)
    assert isinstance(last, Finished)
    assert last.epochs == 6


# ------------------------------------------------------------------------------------------ what may go wrong


def test_a_report_without_the_metric_says_what_it_has_and_what_to_write():
    failed = failure(lambda run: run.report(1, loss=1.0, mse=2.0))
    assert failed.signature == "MetricMissing"
    assert failed.message == (
        "the report of epoch 1 has no metric 'error', which the study is judged by; it has loss, mse. "
        "Report it, `run.report(1, error=...)`, or name another in `objective: metric:`"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_the_combinations_own_failure(value):
    def diverging(run):
        run.report(1, error=1.0)
        run.report(2, error=value)

    failed = failure(diverging)
    assert failed.signature == DIVERGED
    assert f"error is not finite in epoch 2 ({value})" in failed.message


def test_another_metric_that_is_not_finite_is_left_out():
    *_, last = events_of(lambda run: run.report(1, error=1.0, other=math.nan))
    assert last.metrics == {}


def test_a_metric_that_is_no_number_is_told():
    failed = failure(lambda run: run.report(1, error=[1.0]))
    assert failed.signature == "NotANumber"
    assert failed.message == "error of epoch 1 is no number but list. Report numbers, for instance float(error)"


def test_an_exception_in_the_third_epoch_says_what_and_where():
    def breaking(run):
        run.report(1, error=1.0)
        run.report(2, error=1.0)
        raise ValueError("the matrix is singular")

    failed = failure(breaking)
    assert failed.signature == "ValueError"
    line = breaking.__code__.co_firstlineno + 3
    assert failed.message == f"ValueError after epoch 2 (line {line} of {__file__}): the matrix is singular"
    assert "breaking" in failed.trace
    assert "clustersweep/own" not in failed.trace


def test_memory_that_is_not_to_be_had_is_told_as_such():
    def hungry(run):
        raise MemoryError

    assert failure(hungry).signature == OUT_OF_MEMORY


def test_a_function_that_ends_the_process_ends_its_replicate_only():
    assert failure(lambda run: sys.exit(3)).signature == "SystemExit"


@pytest.mark.parametrize("state", ["text", None, 3, {"a": 1}])
def test_a_state_that_is_not_bytes_is_told(state):
    def saves(run):
        run.report(1, error=1.0)
        run.save(state)

    failed = failure(saves)
    assert failed.signature == "CheckpointNotBytes"
    assert failed.message == (
        f"run.save takes bytes, and was given {type(state).__name__}. "
        "Turn it into bytes, for instance with pickle.dumps"
    )


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        ((0,), "epoch 0 was reported where epoch 1 was due: epochs count from 1 (Keras' callbacks count from 0: "),
        ((2,), "epoch 2 was reported where epoch 1 was due: every epoch is reported once and in its order, and its "),
        ((1, 1), "epoch 1 was reported where epoch 2 was due"),
        ((1, 2, 4), "epoch 4 was reported where epoch 3 was due"),
        ((1.5,), "an epoch is a whole number from 1, and 1.5 was reported"),
    ],
)
def test_epochs_out_of_order_are_told(epochs, words):
    def disordered(run):
        for epoch in epochs:
            run.report(epoch, error=1.0)

    failed = failure(disordered)
    assert failed.signature == "EpochsOutOfOrder"
    assert failed.message.startswith(words)


def test_a_function_without_a_name_of_its_own_is_trained_too():
    *_, last = events_of(functools.partial(lambda value, run: run.report(1, error=value), 0.5))
    assert last.val_loss == 0.5


def test_a_function_that_never_reports_is_told():
    def silent(run):
        pass

    failed = failure(silent)
    assert failed.signature == "NothingReported"
    assert failed.message == "silent ended without having reported anything. Call run.report(1, error=...) in it"
