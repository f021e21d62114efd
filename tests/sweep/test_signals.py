"""Ctrl-C, SIGTERM and a closed terminal, in this very process."""

import os
import signal
import threading

import pytest

from clustersweep.sweep.signals import interrupt_on_signals, stop_on_signals

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


def send(number):
    os.kill(os.getpid(), number)
    threading.Event().wait(0.01)  # Python handles it between two instructions


@pytest.mark.parametrize("number", SIGNALS)
def test_each_interrupts_as_ctrl_c_does_and_what_was_there_before_comes_back(number):
    before = handlers()
    with pytest.raises(KeyboardInterrupt), interrupt_on_signals():
        send(number)
    assert handlers() == before


def test_a_function_may_be_interrupted_as_often_as_it_is_called():
    @interrupt_on_signals()
    def work():
        send(signal.SIGTERM)

    before = handlers()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            work()
        assert handlers() == before


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_is_a_question_and_the_second_interrupts(number):
    with stop_on_signals() as stop:
        assert not stop()
        send(number)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            send(number)


def test_while_it_is_a_question_inside_it_is_one_and_interrupts_again_after():
    with interrupt_on_signals():
        with stop_on_signals() as stop:
            send(signal.SIGTERM)
            assert stop()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)


def test_what_is_ignored_stays_so_as_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupt_on_signals(), stop_on_signals() as stop:
            send(signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_signals_are_left_alone():
    before, seen = handlers(), []

    def work():
        with interrupt_on_signals():
            seen.append(handlers())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
