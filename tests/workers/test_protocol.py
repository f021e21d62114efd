"""What a worker is wherever it runs, with arithmetic to train: what it tells, that it stops, that it goes on."""

import os

import pytest
from arithmetic_task import Nothing, Trainers
from arithmetic_workers import NOTHING, TASK, arithmetic_plan

from clustersweep.study.events import Checkpoint, EpochEnd, Failed, Finished, Stopped
from clustersweep.workers.protocol import Began, InProcessWorkers, ReplicateRunner


@pytest.fixture
def replicate(tmp_path):
    plan = arithmetic_plan(tmp_path)
    return plan.replicate(plan.trials[0], 0)


def events(stream):
    return [type(event) for event in stream]


def test_a_worker_says_who_it_is_before_it_tells_of_the_training(replicate):
    began, *rest = ReplicateRunner(Trainers(), 60.0).train(replicate, None)
    assert isinstance(began, Began)
    assert began.pid == os.getpid()
    assert events(rest) == [EpochEnd, EpochEnd, EpochEnd, Finished]


def test_a_worker_that_is_asked_to_stop_hands_over_a_checkpoint_from_which_another_goes_on(replicate):
    runner = ReplicateRunner(Trainers(), 60.0)
    runner.stop()
    told = list(runner.train(replicate, None))
    assert events(told) == [Began, EpochEnd, Checkpoint, Stopped]
    again = list(ReplicateRunner(Trainers(), 60.0).train(replicate, told[2].state))
    assert events(again) == [Began, EpochEnd, EpochEnd, Finished]
    undisturbed = list(ReplicateRunner(Trainers(), 60.0).train(replicate, None))[-1]
    assert (again[-1].curve, again[-1].resumed) == (undisturbed.curve, 1)


def test_a_combination_that_cannot_be_built_has_failed_and_the_worker_lives(replicate):
    class Broken(Trainers):
        def trainer(self, spec):
            raise ValueError("no such layer")

    began, failed = ReplicateRunner(Broken(), 60.0).train(replicate, None)
    assert isinstance(began, Began)
    assert isinstance(failed, Failed)
    assert (failed.signature, failed.message) == ("ValueError", "no such layer")
    assert "in trainer" in failed.trace


def test_the_worker_of_this_process_is_idle_until_it_is_given_something_and_after_its_last_event(replicate):
    workers = InProcessWorkers(TASK, NOTHING)
    assert (workers.idle(), workers.events(0.0)) == (("worker-1",), [])
    workers.start("worker-1", replicate, None)
    told = []
    while not workers.idle():
        told += workers.events(0.0)
    assert {name for name, _ in told} == {"worker-1"}
    assert events(event for _, event in told) == [Began, EpochEnd, EpochEnd, EpochEnd, Finished]
    workers.start("worker-1", replicate, None)
    workers.close()
    assert workers.idle() == ("worker-1",)


@pytest.mark.parametrize(("share", "is_share"), [(0.0, False), (0.5, True), (1.0, False)])
def test_a_process_keeps_the_share_of_a_gpu_that_it_began_with(monkeypatch, share, is_share):
    monkeypatch.setattr(Trainers, "gpu_share", share)
    assert InProcessWorkers(TASK, Nothing()).alone() is is_share
