"""What the training of a replicate tells: how failures are named, and how events are printed."""

import pytest

from clustersweep.study.events import OUT_OF_MEMORY, Device, EpochEnd, Failed, Finished, failure_of


def test_a_failure_has_the_errors_name_its_first_line_and_where_it_was_raised() -> None:
    with pytest.raises(ValueError, match="first") as caught:
        raise ValueError("first line\nsecond line")
    failure = failure_of(caught.value)
    assert (failure.signature, failure.message) == ("ValueError", "first line")
    assert failure.trace.startswith("Traceback (most recent call last):\n")
    assert failure.trace.endswith("ValueError: first line\nsecond line\n")
    assert __file__ in failure.trace


def test_an_error_of_another_process_keeps_the_trace_that_was_told_of_it() -> None:
    assert failure_of(KeyError("a"), "from afar") == Failed("KeyError", "'a'", "from afar")


def test_memory_that_is_not_to_be_had_has_one_name_whoever_missed_it() -> None:
    assert failure_of(MemoryError("no room")).signature == OUT_OF_MEMORY


def test_a_message_has_at_most_500_characters() -> None:
    assert len(failure_of(RuntimeError("x" * 9000)).message) == 500


def test_events_are_printed_as_one_short_line_each() -> None:
    device = Device("CPU", "EPYC", 1, "float32", deterministic=False)
    assert str(device) == "CPU EPYC, 1 thread, float32, order of sums left open"
    assert str(EpochEnd(3, 0.25, 0.125, 1.5)) == "epoch 3: loss 0.2500, val_loss 0.1250, 1.5 s"
    finished = Finished(0.125, 3, 5, 9.0, ((0.25, 0.125),), 0, b"weights", val_nll=-0.5)
    assert str(finished) == "finished: val_loss 0.1250, val_nll -0.5000 at epoch 3 of 5, 9.0 s"
    assert str(Failed("NonFiniteLoss", "too fast", "trace")) == "failed: NonFiniteLoss: too fast"


def test_events_can_be_put_into_sets_also_with_metrics_of_a_trainer_of_ones_own() -> None:
    one, other = (EpochEnd(1, 0.5, 0.25, 1.0, metrics={"accuracy": value}) for value in (0.5, 0.75))
    assert len({one, other, EpochEnd(1, 0.5, 0.25, 1.0, metrics={"accuracy": 0.5})}) == 2
