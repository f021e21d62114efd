"""Sweeps that stop trials at rungs, on workers that answer by arithmetic: the same decisions whatever happens."""

import dataclasses
import functools
import random

import arithmetic_task
import pytest
from arithmetic_task import tasks
from arithmetic_workers import ArithmeticWorkers, arithmetic_plan

from clustersweep.storage.store import Storage
from clustersweep.study.events import DIVERGED, OUT_OF_MEMORY, Failed
from clustersweep.study.results import TrialState
from clustersweep.sweep.events import RaceLooked, ReplicatePaused, RungDecided, TrialStopped
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.workers.protocol import Lost

pytestmark = pytest.mark.integration  # not for what they need: for their two minutes

# 2 x 3 x 2 = 12 combinations of two seeds; at 12 pixels all are possible.
TWELVE = {
    "search_space": {"kernel_size": [2, 3], "conv_blocks": None, "filters": [2, 4, 6], "dense_layers": [1, 2]},
    "network": {"filters": None, "dense_layers": None, "dense_units": [8, 6]},
    "training": {"epochs": 12, "patience": 12},
}
RULE = {"rungs": [1, 3, 6], "keep": 0.34, "spare_ties": False}


@pytest.fixture(scope="module", autouse=True)
def at_once():
    """Epochs take no time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(arithmetic_task, "EPOCH_S", 0.0)
        yield


@pytest.fixture
def storage():
    return Storage.in_memory(tasks)


@pytest.fixture
def files(tmp_path):
    return RunFolder(tmp_path / "run")


def planned(folder, rule=RULE, **changes):
    return arithmetic_plan(folder, **TWELVE, **({"stop_early": rule} if rule else {}), **changes)


class KilledError(Exception):
    """The launch was killed."""


def launched(plan, storage, files, workers, *, after=None, retry_failed=True):
    """Sweep what is left, until so many events have come, if that is given."""
    events = []

    def on_event(event):
        events.append(event)
        if after is not None and len(events) >= after:
            raise KilledError

    opened = storage.begin(plan, retry_failed=retry_failed)
    return Sweep(plan, opened, storage, workers, files, on_event=on_event).run(), events


class ShuffledWorkers(ArithmeticWorkers):
    """Workers of which now one and now another gets on, and some die."""

    def __init__(self, count, generator, dying=0.0):
        super().__init__(count)
        self._generator, self._dying = generator, dying

    def events(self, timeout_s):
        streams = self._streams
        chosen = self._generator.sample(list(streams), min(len(streams), 2))
        self._streams = {name: streams[name] for name in chosen}
        found = super().events(timeout_s)
        self._streams |= {name: stream for name, stream in streams.items() if name not in chosen}
        return found

    def _fault(self, replicate, epoch):
        return Lost("killed") if self._generator.random() < self._dying else None


def came_to(storage):
    """What every combination came to: state, rung, value, and the curve of every seed."""
    return {
        tuple(sorted(trial.params.items())): (
            trial.state, trial.stopped, trial.value,
            {seed: one.curve for seed, one in sorted({**trial.replicates, **trial.paused}.items())},
        )
        for trial in storage.results("small").trials
    }  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the sweep comes to that nothing disturbs."""
    folder, stored = tmp_path_factory.mktemp("whole"), Storage.in_memory(tasks)
    launched(planned(folder), stored, RunFolder(folder / "run"), ArithmeticWorkers(1))
    return came_to(stored)


def test_each_rung_keeps_its_share_and_the_rest_is_stopped_with_rung_rank_and_value(tmp_path, storage, files):
    outcome, events = launched(planned(tmp_path), storage, files, ArithmeticWorkers(2))
    found = storage.results("small")
    assert (found.count(TrialState.STOPPED), found.count(TrialState.COMPLETE)) == (11, 1)
    assert (outcome.finished, outcome.stopped, outcome.failed, outcome.open_rung) == (1, 11, 0, None)
    assert [(e.rung.epoch, len(e.rung.places)) for e in events if isinstance(e, RungDecided)] == [
        (1, 12),
        (3, 5),
        (6, 2),
    ]
    assert sum(isinstance(e, TrialStopped) for e in events) == 11
    by_rung = {epoch: [t for t in found.trials if t.stopped and t.stopped.epoch == epoch] for epoch in (1, 3, 6)}
    assert [len(trials) for trials in by_rung.values()] == [7, 3, 1]
    for epoch, trials in by_rung.items():
        for trial in trials:
            assert {len(one.curve) for one in trial.paused.values()} == {epoch}
            assert trial.stopped.value == pytest.approx(sum(one.value for one in trial.paused.values()) / 2)
            assert trial.stopped.best < trial.stopped.value
    assert sorted(trial.stopped.rank for trial in by_rung[1]) == list(range(6, 13))
    assert sum(isinstance(e, ReplicatePaused) for e in events) == 2 * (12 + 5 + 2)


def test_stopped_trials_keep_their_checkpoints_and_curves_in_the_database(tmp_path, storage, files):
    plan = planned(tmp_path)
    launched(plan, storage, files, ArithmeticWorkers(2))
    stopped = {tuple(t.params.items()) for t in storage.results("small").trials if t.stopped}
    keys = {plan.replicate(t, s).key for t in plan.trials for s in (0, 1) if tuple(t.params.items()) in stopped}
    assert files.checkpoints() == keys
    frozen = next(t for t in storage.backend.get_all_trials(0) if t.user_attrs.get("stopped", {}).get("epoch") == 3)
    assert frozen.state.name == "PRUNED"
    assert list(frozen.intermediate_values) == [1, 2, 3]
    note = storage.backend.get_study_system_attrs(0)[f"dashboard:{frozen._trial_id}:note_str:0"]
    assert note.startswith(f"**Stopped early: {frozen.user_attrs['stopped']['reason']}.**")
    assert frozen.user_attrs["stopped"]["reason"].startswith(
        f"rank {frozen.user_attrs['stopped']['rank']} of 5 after epoch 3: "
    )


@pytest.mark.parametrize("workers", [1, 2, 5, 30])
def test_decisions_and_losses_are_the_same_on_any_number_of_workers(tmp_path, storage, files, whole, workers):
    launched(planned(tmp_path), storage, files, ArithmeticWorkers(workers))
    assert came_to(storage) == whole


@pytest.mark.parametrize("seed", range(100))
def test_decisions_and_losses_are_the_same_with_workers_and_launches_killed_anywhere(
    tmp_path, storage, files, whole, seed
):
    generator, plan = random.Random(seed), planned(tmp_path)
    for _ in range(50):
        hired = ShuffledWorkers(generator.choice([1, 2, 5]), generator, dying=generator.choice([0.0, 0.03]))
        try:
            outcome, _ = launched(plan, storage, files, hired, after=generator.randint(5, 120))
        except KilledError:
            continue
        assert (outcome.open_rung, outcome.failed) == (None, 0)
        break
    assert came_to(storage) == whole
    assert len(storage.backend.get_all_trials(0)) == 12  # none was added twice
    assert storage.begin(plan) == []


def test_what_is_finished_is_not_touched_by_the_next_launch(tmp_path, storage, files, whole):
    plan = planned(tmp_path)
    launched(plan, storage, files, ArithmeticWorkers(2))
    assert storage.begin(plan) == []
    assert came_to(storage) == whole


def test_a_rule_that_is_taken_away_lets_all_go_on_from_where_they_were(tmp_path, storage, files):
    launched(planned(tmp_path), storage, files, ArithmeticWorkers(2))
    _, events = launched(planned(tmp_path, rule=None), storage, files, ArithmeticWorkers(2))
    found = storage.results("small")
    assert found.count(TrialState.COMPLETE) == 12
    other = Storage.in_memory(tasks)
    launched(planned(tmp_path, rule=None), other, RunFolder(tmp_path / "other"), ArithmeticWorkers(2))
    assert came_to(storage) == came_to(other)
    assert {e.epoch for e in events if type(e).__name__ == "ReplicateBegan"} == {1, 3, 6}  # none from the beginning
    assert len(storage.backend.get_all_trials(0)) == 12 + 11  # what was stopped is gone on from by another trial


def test_a_looser_rule_gives_what_it_gives_from_the_beginning_and_opens_only_what_it_keeps(tmp_path, storage, files):
    loose = RULE | {"keep": 0.6}
    launched(planned(tmp_path), storage, files, ArithmeticWorkers(2))
    launched(planned(tmp_path, rule=loose), storage, files, ArithmeticWorkers(2))
    other = Storage.in_memory(tasks)
    launched(planned(tmp_path, rule=loose), other, RunFolder(tmp_path / "other"), ArithmeticWorkers(3))
    now, fresh = came_to(storage), came_to(other)
    for params, (state, stopped, value, curves) in fresh.items():
        assert (now[params][0], now[params][2], now[params][3]) == (state, value, curves)
        if stopped is not None and now[params][1].epoch == stopped.epoch == 1:
            assert now[params][1].rank == stopped.rank
    assert storage.begin(planned(tmp_path, rule=loose)) == []


def test_a_grid_that_grows_decides_anew_with_what_is_there_and_adds_no_trial_for_what_stays_stopped(
    tmp_path, storage, files
):
    grown = {**TWELVE["search_space"], "filters": [2, 4, 6, 8]}
    launched(planned(tmp_path), storage, files, ArithmeticWorkers(2))
    plan = arithmetic_plan(tmp_path, **(TWELVE | {"search_space": grown}), stop_early=RULE)
    launched(plan, storage, files, ArithmeticWorkers(2))
    other = Storage.in_memory(tasks)
    launched(plan, other, RunFolder(tmp_path / "other"), ArithmeticWorkers(2))
    now, fresh = came_to(storage), came_to(other)
    finished = {p for p, (state, *_) in fresh.items() if state is TrialState.COMPLETE}
    assert finished <= {p for p, (state, *_) in now.items() if state is TrialState.COMPLETE}
    assert len(now) == len(fresh) == 16
    again = sum(t.user_attrs.get("supersedes") is not None for t in storage.backend.get_all_trials(0))
    assert again <= sum(now[p][0] != fresh[p][0] or len(now[p][3][0]) > 1 for p in now)


def test_a_complete_grid_counts_at_a_rung_with_its_curves_until_there(tmp_path, storage, files, whole):
    launched(planned(tmp_path, rule=None), storage, files, ArithmeticWorkers(2))
    plan = planned(tmp_path)
    assert storage.begin(plan) == []  # nothing is taken back
    assert storage.results("small").count(TrialState.COMPLETE) == 12
    grown = {**TWELVE["search_space"], "kernel_size": [2, 3, 4]}
    plan = arithmetic_plan(tmp_path, **(TWELVE | {"search_space": grown}), stop_early=RULE)
    _, events = launched(plan, storage, files, ArithmeticWorkers(2))
    first = next(event.rung for event in events if isinstance(event, RungDecided))
    assert (first.epoch, len(first.places)) == (1, 18)
    assert storage.results("small").count(TrialState.COMPLETE) >= 12


def test_a_seed_that_diverges_puts_its_trial_last_and_is_not_tried_again(tmp_path, storage, files):
    plan = planned(tmp_path)
    diverged = Failed(DIVERGED, "the loss is not finite")
    best = min(storage_free_values(plan, tmp_path), key=lambda pair: pair[1])[0]
    outcome, _ = launched(plan, storage, files, ArithmeticWorkers(2, [(1, 2, diverged, dict(best))]))
    trial = next(t for t in storage.results("small").trials if t.params == dict(best))
    assert (trial.state, trial.stopped.epoch, trial.stopped.rank, trial.stopped.value) == (
        TrialState.STOPPED,
        3,
        5,
        None,
    )
    assert trial.stopped.reason == "rank 5 of 5 after epoch 3, as a seed diverged"
    assert outcome.open_rung is None
    assert storage.begin(plan) == []


def storage_free_values(plan, folder):
    """The combinations with what they come to, each trained to its end."""
    stored = Storage.in_memory(tasks)
    whole = dataclasses.replace(plan, study=dataclasses.replace(plan.study, stop_early=None))
    launched(whole, stored, RunFolder(folder / "free"), ArithmeticWorkers(1))
    return [(tuple(t.params.items()), t.value) for t in stored.results("small").trials]


def test_what_fails_for_the_machines_reasons_keeps_the_rung_open_until_it_is_tried_again(
    tmp_path, storage, files, whole
):
    plan, broken = planned(tmp_path), Failed("OSError", "a disk was away")
    params = dict(plan.trials[4].params)
    outcome, events = launched(plan, storage, files, ArithmeticWorkers(2, [(1, 1, broken, params)]))
    assert (outcome.open_rung, outcome.finished) == (1, 0)
    assert not [e for e in events if isinstance(e, RungDecided)]
    outcome, _ = launched(plan, storage, files, ArithmeticWorkers(2))
    assert outcome.open_rung is None
    assert came_to(storage) == whole


def test_what_failed_ranks_last_where_it_is_said_that_it_is_not_tried_again(tmp_path, storage, files):
    plan, broken = planned(tmp_path), Failed("OSError", "a disk was away")
    params = dict(plan.trials[4].params)
    launched(plan, storage, files, ArithmeticWorkers(2, [(1, 1, broken, params)]))
    outcome, _ = launched(plan, storage, files, ArithmeticWorkers(2), retry_failed=False)
    assert outcome.open_rung is None
    trial = next(t for t in storage.results("small").trials if t.params == params)
    assert (trial.state, trial.stopped.rank) == (TrialState.STOPPED, 12)


def test_what_runs_out_of_memory_is_tried_alone_before_the_rung_is_complete(tmp_path, storage, files, whole):
    plan = planned(tmp_path)
    hired = ArithmeticWorkers(3, [(1, 1, Failed(OUT_OF_MEMORY, "no memory"), dict(plan.trials[2].params))])
    outcome, _ = launched(plan, storage, files, hired)
    assert hired.made_alone[0] >= 24  # when all others had got there
    assert outcome.open_rung is None
    assert came_to(storage) == whole


def test_a_launch_that_was_killed_between_a_checkpoint_and_its_record_trains_nothing_twice(
    tmp_path, storage, files, whole
):
    plan = planned(tmp_path)

    class Away(ArithmeticWorkers):
        def events(self, timeout_s):
            found = super().events(timeout_s)
            if any(type(event).__name__ == "Stopped" for _, event in found):
                raise KilledError
            return found

    with pytest.raises(KilledError):
        launched(plan, storage, files, Away(1))
    hired = ArithmeticWorkers(2)
    launched(plan, storage, files, hired)
    assert came_to(storage) == whole
    assert len(hired.log) == 2 * (12 + 5 + 2 + 1) - 1


def test_trials_that_are_sure_to_be_kept_do_not_wait_for_the_last_one(tmp_path, storage, files):
    seen = []
    sweep = planned(tmp_path, rule=RULE | {"rungs": [1], "keep": 0.9})
    _, events = launched(sweep, storage, files, ArithmeticWorkers(2))
    for event in events:
        if isinstance(event, RungDecided):
            break
        seen += [event.epoch] if type(event).__name__ == "ReplicateBegan" else []
    assert set(seen) == {0, 1}  # some had gone on before the rung was complete


def test_the_rules_of_a_study_are_recorded_with_their_date_and_are_not_part_of_its_definition(tmp_path, storage, files):
    digests = set()
    for rule in (RULE, RULE, RULE | {"keep": 0.5}, None):
        plan = planned(tmp_path, rule=rule)
        digests.add(plan.digest)
        launched(plan, storage, files, ArithmeticWorkers(2))
    [_] = digests
    recorded = storage.backend.get_study_user_attrs(0)["rules"]
    assert [one["stop_early"] and one["stop_early"]["keep"] for one in recorded] == [0.34, 0.5, None]
    assert all(one["at"].endswith("+00:00") for one in recorded)


def test_seeds_that_are_added_are_trained_to_the_rungs_and_all_is_decided_anew(tmp_path, storage, files):
    launched(planned(tmp_path), storage, files, ArithmeticWorkers(2))
    more = planned(tmp_path, seeds=[0, 1, 2])
    launched(more, storage, files, ArithmeticWorkers(2))
    other = Storage.in_memory(tasks)
    launched(more, other, RunFolder(tmp_path / "other"), ArithmeticWorkers(2))
    now, fresh = came_to(storage), came_to(other)
    complete = {params for params, (state, *_) in fresh.items() if state is TrialState.COMPLETE}
    assert all(now[params][2:] == fresh[params][2:] for params in complete)
    assert storage.begin(more) == []


# --- further seeds for the best

RACE = {"at_most": 6, "budget": 10.0}


def test_the_best_that_cannot_be_told_apart_get_further_seeds_until_they_can_or_may_have_no_more(
    tmp_path, storage, files
):
    plan = planned(tmp_path, rule=None, extra_seeds=RACE)
    outcome, events = launched(plan, storage, files, ArithmeticWorkers(2))
    found = storage.results("small")
    looks = [event.race for event in events if isinstance(event, RaceLooked)]
    assert outcome.race == looks[-1] == found.race
    assert [look.seeds for look in looks[-1].looks] == [2, 3, 5, 6][: len(looks)]
    assert looks[-1].settled is not None
    assert len(looks) > 1
    left = [t for t in found.trials if t.number in found.race.left]
    assert {len(t.replicates) for t in left} == {looks[-1].looks[-1].seeds}
    assert found.ranked()[0].number == found.race.left[0]
    assert sum(len(t.replicates) for t in found.trials) == 24 + sum(
        len(seeds) for look in events_of(events) for seeds in look
    )
    assert storage.begin(plan) == []


def events_of(events):
    return [[seeds for _, seeds in event.work] for event in events if isinstance(event, RaceLooked)]


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """What a sweep with a race comes to that nothing disturbs, with and without stopping, and how far the race is."""

    @functools.cache
    def run(keep):
        folder, stored = tmp_path_factory.mktemp("raced"), Storage.in_memory(tasks)
        plan = planned(folder, rule=None if keep is None else RULE | {"keep": keep}, extra_seeds=RACE)
        launched(plan, stored, RunFolder(folder / "run"), ArithmeticWorkers(1))
        return came_to(stored), stored.results("small").race

    return run


@pytest.mark.parametrize("keep", [None, 0.5])
@pytest.mark.parametrize("seed", range(20))
def test_who_gets_further_seeds_is_the_same_with_workers_and_launches_killed_anywhere(
    tmp_path, storage, files, raced, keep, seed
):
    rule = None if keep is None else RULE | {"keep": keep}
    generator, plan = random.Random(seed), planned(tmp_path, rule=rule, extra_seeds=RACE)
    for _ in range(80):
        hired = ShuffledWorkers(generator.choice([1, 2, 5]), generator, dying=generator.choice([0.0, 0.03]))
        try:
            launched(plan, storage, files, hired, after=generator.randint(5, 200))
        except KilledError:
            continue
        break
    whole, race = raced(keep)
    assert came_to(storage) == whole
    assert without_numbers(storage.results("small").race) == without_numbers(race)
    assert storage.begin(plan) == []


def without_numbers(race):
    return (
        race.settled,
        race.seeds,
        [(look.seeds, look.noise, look.margin, [s.value for s in look.entrants]) for look in race.looks],
    )


def test_a_rule_for_further_seeds_that_is_added_to_a_complete_grid_trains_these_only(tmp_path, storage, files, raced):
    launched(planned(tmp_path, rule=None), storage, files, ArithmeticWorkers(2))
    hired = ArithmeticWorkers(2)
    launched(planned(tmp_path, rule=None, extra_seeds=RACE), storage, files, hired)
    assert {replicate.seed for _, replicate in hired.log} == {2, 3, 4, 5}
    whole, _ = raced(None)
    assert came_to(storage) == whole


def test_a_further_seed_that_fails_costs_the_trial_nothing_and_is_tried_again(tmp_path, storage, files, raced):
    plan = planned(tmp_path, rule=None, extra_seeds=RACE)
    outcome, _ = launched(plan, storage, files, ArithmeticWorkers(2, [(2, 1, Failed("OSError", "away"))]))
    found = storage.results("small")
    assert found.count(TrialState.COMPLETE) == 12
    assert (outcome.race.settled, outcome.failed) == (None, 0)
    launched(plan, storage, files, ArithmeticWorkers(2))
    whole, _ = raced(None)
    assert {p: (state, value) for p, (state, _, value, _) in came_to(storage).items()} == {
        p: (state, value) for p, (state, _, value, _) in whole.items()
    }


def test_seeds_of_the_study_that_the_best_had_as_further_ones_are_not_trained_again(tmp_path, storage, files):
    launched(planned(tmp_path, rule=None, extra_seeds=RACE), storage, files, ArithmeticWorkers(2))
    raced_trials = {t.number for t in storage.results("small").trials if len(t.replicates) > 2}
    hired = ArithmeticWorkers(2)
    launched(planned(tmp_path, rule=None, seeds=[0, 1, 2]), storage, files, hired)
    assert len(hired.log) == 12 - len(raced_trials)
