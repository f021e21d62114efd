"""The loop, on storage in memory and on workers that answer by arithmetic instead of training."""

import dataclasses
import itertools
import os
import socket
import statistics
import time

import pytest
from arithmetic_task import tasks
from arithmetic_workers import EPOCHS, ArithmeticWorkers, arithmetic_plan, losses, undisturbed
from simulated_clock import SimulatedClock

from clustersweep.errors import StorageAwayError, StorageError
from clustersweep.storage.store import Storage
from clustersweep.study.cost import fitted
from clustersweep.study.events import Checkpoint, Failed, Finished
from clustersweep.sweep.events import ReplicateBegan, ReplicateDone, TrialDone, WorkerLost
from clustersweep.sweep.launch import remove_leftovers
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.sweep.timings import Timings
from clustersweep.workers.protocol import Lost


@pytest.fixture
def storage():
    return Storage.in_memory(tasks)


@pytest.fixture
def files(tmp_path):
    return RunFolder(tmp_path / "run")


def sweep(plan, storage, files, workers, **options):
    events = []
    outcome = Sweep(plan, storage.begin(plan), storage, workers, files, on_event=events.append, **options).run()
    return outcome, events


@pytest.mark.parametrize("workers", [1, 2, 5, 20])
def test_every_feasible_replicate_is_trained_exactly_once_whatever_the_number_of_workers(
    tmp_path, storage, files, workers
):
    plan, hired = arithmetic_plan(tmp_path), ArithmeticWorkers(workers)
    outcome, events = sweep(plan, storage, files, hired)
    assert (outcome.finished, outcome.failed, outcome.interrupted, outcome.aborted) == (3, 0, False, "")
    trained = [replicate.key for _, replicate in hired.log]
    assert sorted(trained) == sorted(plan.replicate(t, seed).key for t in plan.trials for seed in (0, 1))
    assert storage.results("small").count("complete") == 3
    assert sum(isinstance(n, TrialDone) for n in events) == 3
    assert sum(isinstance(n, ReplicateDone) for n in events) == 6


@pytest.mark.parametrize(("over_seeds", "of"), [("mean", statistics.fmean), ("min", min), ("max", max)])
def test_a_trials_value_is_the_objective_over_its_seeds(tmp_path, storage, files, over_seeds, of):
    plan = arithmetic_plan(tmp_path, objective={"over_seeds": over_seeds})
    sweep(plan, storage, files, ArithmeticWorkers())
    for trial in storage.results("small").ranked():
        values = [result.value for result in trial.replicates.values()]
        assert len(set(values)) == 2
        assert trial.value == pytest.approx(of(values), abs=0)


def test_the_seeds_of_a_trial_stay_on_one_worker_while_there_is_other_work(tmp_path, storage, files):
    hired = ArithmeticWorkers(2)
    sweep(arithmetic_plan(tmp_path), storage, files, hired)
    first, second = hired.log[0], hired.log[1]
    assert first[1].trial != second[1].trial
    by_worker = [replicate.trial for worker, replicate in hired.log if worker == first[0]]
    assert by_worker[0] == by_worker[1]


def test_at_the_end_the_seeds_of_the_last_trial_are_spread_over_idle_workers(tmp_path, storage, files):
    hired = ArithmeticWorkers(6)
    sweep(arithmetic_plan(tmp_path), storage, files, hired)
    assert len({worker for worker, _ in hired.log}) == 6


def test_the_learning_curve_in_the_database_is_the_mean_over_the_seeds(tmp_path, storage, files):
    plan = arithmetic_plan(tmp_path)
    sweep(plan, storage, files, ArithmeticWorkers())
    params = {"kernel_size": 3, "conv_blocks": 1}
    stored = next(t for t in storage.backend.get_all_trials(0) if t.params == params)
    trial = next(t for t in storage.results("small").trials if t.params == params)
    first, second = (result.curve for result in trial.replicates.values())
    by_hand = {epoch: (first[epoch - 1][1] + second[epoch - 1][1]) / 2 for epoch in (1, 2, 3)}
    assert stored.intermediate_values == pytest.approx(by_hand)


def test_a_dead_workers_replicate_goes_on_from_its_checkpoint_and_gives_the_same_losses(tmp_path, storage, files):
    plan = arithmetic_plan(tmp_path)
    hired = ArithmeticWorkers(2, [(1, 3, Lost("killed"))])
    outcome, events = sweep(plan, storage, files, hired)
    assert outcome.failed == 0
    assert losses(storage) == undisturbed(plan, tmp_path)
    lost = next(n for n in events if isinstance(n, WorkerLost))
    assert lost.again
    again = [n for n in events if isinstance(n, ReplicateBegan) and n.replicate.key == lost.replicate.key]
    assert [n.epoch for n in again] == [0, 2]


def test_a_replicate_that_kills_its_worker_three_times_fails_with_the_reason(tmp_path, storage, files):
    where = {"kernel_size": 7}
    hired = ArithmeticWorkers(1, [(1, 1, Lost("exit code 9"), where)] * 3)
    outcome, _ = sweep(arithmetic_plan(tmp_path), storage, files, hired)
    assert outcome.failed == 1
    failed = next(t for t in storage.results("small").trials if t.state == "failed")
    assert failed.replicates[1].signature == "WorkerLost"
    assert failed.replicates[1].error == "its worker died 3 times: exit code 9"
    assert failed.replicates[0].state == "complete"  # the other seed's result is kept
    assert failed.value is None


def test_a_failed_replicate_fails_its_trial_and_no_other(tmp_path, storage, files):
    broken = Failed("NonFiniteLoss", "the loss is not finite", "trace")
    outcome, _ = sweep(arithmetic_plan(tmp_path), storage, files, ArithmeticWorkers(2, [(0, 2, broken)]))
    assert (outcome.finished, outcome.failed) == (3, 1)
    failed = next(t for t in storage.results("small").trials if t.state == "failed")
    assert failed.replicates[0].error == "the loss is not finite\ntrace"


def test_three_combinations_that_fail_alike_stop_the_sweep(tmp_path, storage, files):
    broken = [(0, 1, Failed("ValueError", "bad layer"))] * 3
    plan = arithmetic_plan(tmp_path, search_space={"kernel_size": [2, 3, 4, 5]})
    outcome, _ = sweep(plan, storage, files, ArithmeticWorkers(1, broken))
    assert outcome.aborted.startswith("3 combinations failed alike (ValueError: bad layer)")
    assert not outcome.interrupted
    assert storage.results("small").count("waiting") > 0


def test_combinations_that_diverge_do_not_stop_the_sweep_for_the_others(tmp_path, storage, files):
    broken = [(0, 1, Failed("NonFiniteLoss", "the loss is not finite"))] * 3
    plan = arithmetic_plan(tmp_path, search_space={"kernel_size": [2, 3, 4, 5]})
    outcome, _ = sweep(plan, storage, files, ArithmeticWorkers(1, broken))
    assert (outcome.aborted, outcome.failed, outcome.finished) == ("", 3, len(plan.trials))


def test_what_fails_before_its_first_epoch_spares_the_other_seeds_of_its_combination(tmp_path, storage, files):
    bad = [(0, 1, Failed("ValueError", "bad layer"), {"kernel_size": 7})]
    plan, hired = arithmetic_plan(tmp_path, seeds=[0, 1, 2]), ArithmeticWorkers(1, bad)
    outcome, events = sweep(plan, storage, files, hired)
    assert (outcome.finished, outcome.failed, outcome.aborted) == (3, 1, "")
    tried = [r.seed for _, r in hired.log if r.trial.params["kernel_size"] == 7]
    assert tried == [0]
    failed = next(t for t in storage.results("small").trials if t.state == "failed")
    assert [r.signature for r in failed.replicates.values()] == ["ValueError"] * 3
    assert failed.replicates[2].error == "not trained, as seed 0 failed before its first epoch: bad layer"
    assert sum(isinstance(n, ReplicateDone) for n in events) == plan.replicates
    again = ArithmeticWorkers(1)
    sweep(plan, storage, files, again)
    assert sorted(r.seed for _, r in again.log) == [0, 1, 2]  # the next launch tries all of them
    assert storage.results("small").count("complete") == 3


def test_what_fails_later_or_diverges_does_not_spare_the_other_seeds(tmp_path, storage, files):
    faults = [
        (0, 2, Failed("ValueError", "bad luck"), {"kernel_size": 7}),
        (0, 1, Failed("NonFiniteLoss", "not finite"), {"kernel_size": 3, "conv_blocks": 1}),
    ]
    plan, hired = arithmetic_plan(tmp_path), ArithmeticWorkers(1, faults)
    outcome, _ = sweep(plan, storage, files, hired)
    assert outcome.failed == 2
    assert len(hired.log) == plan.replicates


def test_a_seed_that_fails_at_once_spares_none_where_another_has_trained(tmp_path, storage, files):
    bad = [(1, 1, Failed("ValueError", "bad luck"), {"kernel_size": 7})]
    plan, hired = arithmetic_plan(tmp_path, seeds=[0, 1, 2]), ArithmeticWorkers(1, bad)
    outcome, _ = sweep(plan, storage, files, hired)
    assert outcome.failed == 1
    assert len(hired.log) == plan.replicates


class Away:
    """A storage whose database goes away after so many finished replicates, and stays so."""

    def __init__(self, storage, after):
        self._storage, self._left = storage, after

    def __getattr__(self, name):
        return getattr(self._storage, name)

    def record_replicate(self, trial, result):
        self._left -= 1
        if self._left < 0:
            raise StorageAwayError("no server listens")
        self._storage.record_replicate(trial, result)


def test_when_the_database_stays_away_what_runs_is_checkpointed_before_the_sweep_ends(tmp_path, storage, files):
    plan, hired = arithmetic_plan(tmp_path), ArithmeticWorkers(2, [(0, 2, Lost("x"), {"kernel_size": 7})])
    open_trials = storage.begin(plan)
    with pytest.raises(StorageAwayError):
        Sweep(plan, open_trials, Away(storage, 0), hired, files, clock=SimulatedClock()).run()
    assert storage.results("small").count("complete") == 0
    begun = {replicate.key for _, replicate in hired.log}
    kept = {path.stem for path in (files.path / "checkpoints").iterdir()}
    assert kept == begun
    assert sweep(plan, storage, files, ArithmeticWorkers(2))[0].finished == 3
    assert losses(storage) == undisturbed(plan, tmp_path)


def test_a_worker_that_dies_after_its_replicate_ended_takes_nothing_with_it(tmp_path, storage, files):
    class Dying(ArithmeticWorkers):
        def events(self, timeout_s):
            told = super().events(timeout_s)
            return told + [(worker, Lost("late")) for worker, event in told if isinstance(event, Finished)]

    outcome, events = sweep(arithmetic_plan(tmp_path), storage, files, Dying())
    assert (outcome.finished, outcome.failed) == (3, 0)
    assert not any(isinstance(n, WorkerLost) for n in events)


def test_a_worker_that_dies_after_epochs_but_before_any_checkpoint_is_not_tried_for_ever(tmp_path, storage, files):
    class Forgetful(ArithmeticWorkers):
        def events(self, timeout_s):
            told = super().events(timeout_s)
            return [(worker, event) for worker, event in told if not isinstance(event, Checkpoint)]

    outcome, _ = sweep(
        arithmetic_plan(tmp_path), storage, files, Forgetful(1, [(1, 3, Lost("killed"), {"kernel_size": 7})] * 9)
    )
    assert outcome.failed == 1


@pytest.mark.parametrize("event", [Lost("killed for its memory", True), Failed("ResourceExhaustedError", "no memory")])
def test_what_runs_out_of_memory_is_tried_once_more_alone_and_then_fails(tmp_path, storage, files, event):
    plan, hired = arithmetic_plan(tmp_path), ArithmeticWorkers(2, [(0, 2, event, {"kernel_size": 7})])
    outcome, _ = sweep(plan, storage, files, hired)
    assert outcome.failed == 0
    assert hired.log[-1][1].trial.params["kernel_size"] == 7  # after everything else
    assert hired.made_alone == [len(hired.log) - 1]  # before it is given out, and nothing else
    assert losses(storage) == undisturbed(plan, tmp_path)
    again = Storage.in_memory(tasks)
    outcome, _ = sweep(
        plan, again, RunFolder(tmp_path / "other"), ArithmeticWorkers(2, [(0, 1, event, {"kernel_size": 7})] * 2)
    )
    assert outcome.failed == 1
    [failed] = [r for t in again.results("small").trials for r in t.replicates.values() if r.state == "failed"]
    assert failed.signature == "ResourceExhaustedError"
    assert failed.error.startswith("out of memory, also with nothing else training: ")
    assert "smaller training.batch_size" in failed.error
    assert "gpus_per_worker" not in failed.error


def test_the_remedy_names_a_whole_gpu_where_a_share_had_not_the_memory_also_alone(tmp_path, storage, files):
    no_memory = Failed("ResourceExhaustedError", "OOM when allocating tensor")
    hired = ArithmeticWorkers(2, [(0, 1, no_memory, {"kernel_size": 7})] * 2)
    hired.on_share = True
    sweep(arithmetic_plan(tmp_path), storage, files, hired)
    [failed] = [r for t in storage.results("small").trials for r in t.replicates.values() if r.state == "failed"]
    assert failed.error.startswith(
        "out of memory, also with nothing else training: OOM when allocating tensor. Give it a whole GPU "
        "(resources.gpus_per_worker: 1), train it where there is more memory (--address), or in another study"
    )


def test_a_worker_that_was_dead_before_it_took_a_replicate_up_is_nothing_against_that(tmp_path, storage, files):
    """Ray's memory monitor kills idle workers, too, when one that trains takes all memory."""
    killed = Lost("killed for its memory", out_of_memory=True)

    class KilledIdle(ArithmeticWorkers):
        dead = 3  # of those that are given the replicate to be trained alone

        def _train(self, replicate, checkpoint, until):
            if self.faults or not self.dead or (replicate.seed, replicate.trial.params["kernel_size"]) != (0, 7):
                yield from super()._train(replicate, checkpoint, until)
            else:
                self.dead -= 1
                yield killed

    plan, hired = arithmetic_plan(tmp_path), KilledIdle(2, [(0, 2, killed, {"kernel_size": 7})])
    outcome, events = sweep(plan, storage, files, hired)
    assert (outcome.failed, hired.dead) == (0, 0)
    assert [n.again for n in events if isinstance(n, WorkerLost)] == [True] * 4
    assert len({replicate.key for _, replicate in hired.log[-4:]}) == 1  # alone, until a worker that lives has it
    assert losses(storage) == undisturbed(plan, tmp_path)


def test_failures_with_different_causes_do_not_stop_the_sweep(tmp_path, storage, files):
    broken = [(0, 1, Failed(name, "x")) for name in ("A", "B", "C")]
    outcome, _ = sweep(arithmetic_plan(tmp_path), storage, files, ArithmeticWorkers(1, broken))
    assert (outcome.aborted, outcome.failed) == ("", 3)


def test_a_sweep_that_is_asked_to_stop_checkpoints_and_a_relaunch_gives_the_same_losses(tmp_path, storage, files):
    plan = arithmetic_plan(tmp_path)
    asked = iter([False] * 6)
    outcome, events = sweep(plan, storage, files, ArithmeticWorkers(2), stop=lambda: next(asked, True))
    assert outcome.interrupted
    assert storage.results("small").count("complete") < 3
    done_before = {n.replicate.key for n in events if isinstance(n, ReplicateDone)}
    hired = ArithmeticWorkers(2)
    outcome, events = sweep(plan, storage, files, hired)
    assert not outcome.interrupted
    assert losses(storage) == undisturbed(plan, tmp_path)
    assert not done_before & {replicate.key for _, replicate in hired.log}
    assert any(n.epoch > 0 for n in events if isinstance(n, ReplicateBegan))


def test_a_lost_launchs_last_replicate_only_needs_its_trial_to_be_finished(tmp_path, storage, files):
    plan = arithmetic_plan(tmp_path)
    sweep(plan, storage, files, ArithmeticWorkers())
    finished = storage.results("small").trials[-1]
    other = Storage.in_memory(tasks)
    opened = next(t for t in other.begin(plan) if dict(t.trial.params) == finished.params)
    other.start(opened)
    for result in finished.replicates.values():
        other.record_replicate(opened, result)
    hired = ArithmeticWorkers()
    sweep(plan, other, files, hired)
    assert opened.trial not in [replicate.trial for _, replicate in hired.log]
    assert other.results("small").count("complete") == 3


def test_a_damaged_checkpoint_means_starting_that_replicate_again(tmp_path, storage, files):
    plan = arithmetic_plan(tmp_path)
    files.save_checkpoint(plan.replicate(plan.trials[0], 0).key, b"not a checkpoint")
    _, events = sweep(plan, storage, files, ArithmeticWorkers())
    assert all(n.epoch == 0 for n in events if isinstance(n, ReplicateBegan))
    assert losses(storage) == undisturbed(plan, tmp_path)


def test_checkpoints_of_finished_replicates_are_removed_and_only_the_best_weights_kept(tmp_path, storage, files):
    plan = arithmetic_plan(tmp_path)
    sweep(plan, storage, files, ArithmeticWorkers())
    assert list((files.path / "checkpoints").iterdir()) == []
    kept = {path.stem for path in (files.path / "weights").iterdir()}
    values = {key: value for key, (value, _) in losses(storage).items()}
    for trial in plan.trials:
        params = tuple(sorted(trial.params.items()))
        best = min((0, 1), key=lambda seed, params=params: values[params, seed])
        assert {plan.replicate(trial, seed).key for seed in (0, 1)} & kept == {plan.replicate(trial, best).key}


def test_what_a_killed_launch_left_is_removed_but_no_checkpoint_of_what_is_not_complete(tmp_path, storage, files):
    plan = arithmetic_plan(tmp_path)
    fails = Failed("ValueError", "broken")
    Sweep(plan, storage.begin(plan), storage, ArithmeticWorkers(1, [(0, 1, fails, {"kernel_size": 7})]), files).run()
    grown = arithmetic_plan(tmp_path, seeds=[0, 1, 2])
    every = {grown.replicate(trial, seed).key for trial in grown.trials for seed in (0, 1, 2)}
    for key in (*every, "of-another-study"):
        files.save_checkpoint(key, b"left")
    for folder in ("checkpoints", "weights"):
        (files.path / folder / ".0123456789abcdef.part").write_bytes(b"half")
    complete = {
        grown.replicate(trial, result.seed).key
        for trial in grown.trials
        for stored in storage.results("small").trials
        if stored.params == trial.params
        for result in stored.replicates.values()
        if result.state == "complete"
    }
    assert 0 < len(complete) < 6
    remove_leftovers(grown, storage, storage.begin(grown), files)
    assert files.checkpoints() == (every - complete) | {"of-another-study"}
    assert not list(files.path.rglob("*.part"))


def test_where_nothing_was_left_the_database_is_not_asked(tmp_path, storage, files, monkeypatch):
    plan = arithmetic_plan(tmp_path)
    sweep(plan, storage, files, ArithmeticWorkers())
    monkeypatch.setattr(storage, "results", None)
    remove_leftovers(plan, storage, storage.begin(plan), files)
    assert files.checkpoints() == frozenset()


def test_a_report_that_is_being_written_beside_a_launch_is_left_alone(tmp_path, storage, files):
    plan = arithmetic_plan(tmp_path)
    opened, part = storage.begin(plan), files.path / ".0123456789abcdef.part"
    files.path.mkdir()
    part.write_bytes(b"half")
    remove_leftovers(plan, storage, opened, files)
    assert part.exists()
    os.utime(part, (time.time() - 4000,) * 2)
    remove_leftovers(plan, storage, opened, files)
    assert not part.exists()


def test_a_disk_that_takes_no_checkpoints_stops_the_sweep_with_a_storage_error(tmp_path, storage):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file/checkpoints"):
        sweep(arithmetic_plan(tmp_path), storage, RunFolder(tmp_path / "file"), ArithmeticWorkers())


@pytest.mark.parametrize(("loss", "has_likelihood"), [("mse", False), ("nll", True)])
def test_the_likelihood_of_networks_with_a_variance_is_kept(tmp_path, storage, files, loss, has_likelihood):
    plan = arithmetic_plan(tmp_path, training={"loss": loss})
    sweep(plan, storage, files, ArithmeticWorkers())
    kept = [result for trial in storage.results("small").ranked() for result in trial.replicates.values()]
    assert len(kept) == 6
    assert all(result.val_nll == (-result.value if has_likelihood else None) for result in kept)


def test_a_sweep_measures_how_fast_its_workers_are(tmp_path, storage, files):
    outcome, _ = sweep(arithmetic_plan(tmp_path), storage, files, ArithmeticWorkers())
    assert [sums.count for sums in outcome.speeds.values()] == [6]
    assert fitted(*outcome.speeds.values()).measured
    assert (outcome.workers, outcome.epochs) == (2, 6 * EPOCHS)
    assert outcome.seconds > 0


def test_losing_the_study_to_another_launch_stops_the_sweep(tmp_path, storage, files):
    def gone():
        raise RuntimeError("lost the lock")

    clock = SimulatedClock(step_s=1.0)
    with pytest.raises(RuntimeError, match="lost the lock"):
        sweep(arithmetic_plan(tmp_path), storage, files, ArithmeticWorkers(), check_lock=gone, clock=clock)


def test_the_lock_is_looked_at_and_curves_are_written_as_often_as_timings_say(tmp_path, storage, files):
    looks, curves, clock = [], [], SimulatedClock(step_s=1.0)
    record = storage.record_curve
    storage.record_curve = lambda *given: (curves.append(clock.now), record(*given))
    timings = Timings(look_every_s=10.0, curves_every_s=20.0)
    sweep(
        arithmetic_plan(tmp_path), storage, files, ArithmeticWorkers(1), clock=clock, timings=timings,
        check_lock=lambda: looks.append(clock.now),
    )  # fmt: skip
    for moments, every_s in ((looks, 10.0), (curves, 20.0)):
        assert len(moments) > 1
        assert all(every_s <= after - before < 2 * every_s for before, after in itertools.pairwise(moments))


def test_a_worker_that_does_not_stop_is_not_waited_for_longer_than_its_grace(tmp_path, storage, files):
    class Deaf(ArithmeticWorkers):
        def events(self, timeout_s):
            clock.sleep(timeout_s)
            return []

    clock = SimulatedClock()
    outcome, _ = sweep(
        arithmetic_plan(tmp_path), storage, files, Deaf(), clock=clock, timings=Timings(stop_grace_s=7.0),
        stop=lambda: clock.now > 100.0,
    )  # fmt: skip
    assert outcome.interrupted
    assert 107.0 < clock.now < 109.0


def test_the_results_say_which_worker_trained_and_whether_it_was_resumed(tmp_path, storage, files):
    sweep(arithmetic_plan(tmp_path), storage, files, ArithmeticWorkers(1, [(0, 2, Lost("x"))]))
    replicates = [r for t in storage.results("small").trials for r in t.replicates.values()]
    assert {r.worker for r in replicates} == {f"{socket.gethostname()}:{os.getpid()}"}
    assert sum(r.resumed for r in replicates) == 1
    assert dataclasses.asdict(replicates[0])["epochs"] == EPOCHS
