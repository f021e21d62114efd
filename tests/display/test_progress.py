"""What a launch says where nobody watches a terminal: lines."""

import io

import pytest
from rich.console import Console
from small_study import small_plan

from clustersweep.display.progress import Display
from clustersweep.storage.store import Storage
from clustersweep.study.events import EpochEnd
from clustersweep.study.results import CompleteReplicate, FailedReplicate, PausedReplicate, StoppedAt
from clustersweep.study.stopping import Place, Rung
from clustersweep.sweep.events import (
    EpochDone,
    ReplicateBegan,
    ReplicateDone,
    ReplicatePaused,
    RungDecided,
    StorageAway,
    StorageBack,
    TrialDone,
    TrialStopped,
)
from clustersweep.sweep.events import WorkerLost as Lost
from clustersweep.tasks import tasks


@pytest.fixture
def said(tmp_path):
    """Give what a display says of some events about the first replicate of a small plan."""
    plan = small_plan(tmp_path)
    replicate = plan.replicate(plan.trials[0], 0)

    def say(*make):
        out = io.StringIO()
        display = Display(Console(file=out, width=200))
        display.begin(plan, Storage.in_memory(tasks).begin(plan))
        out.truncate(0)
        out.seek(0)
        for one in make:
            display.on_event(one(replicate))
        display.end()
        return out.getvalue()

    return say


def test_a_lost_worker_is_told_with_the_reason_and_what_becomes_of_its_replicate(said):
    text = said(lambda r: Lost("worker-2", r, "exit code 9", True))
    assert text.startswith("worker-2 died (exit code 9); seed 0 of ")
    assert text.endswith(" goes on elsewhere\n")
    assert said(lambda r: Lost("worker-2", r, "again", False)).endswith(" is given up\n")


def test_a_database_that_is_away_and_back_is_told(said):
    text = said(lambda r: StorageAway("no server listens at h:5432", 600.0), lambda r: StorageBack(63.0))
    assert text == (
        "no server listens at h:5432\nwaiting for it, 10 min at most: workers go on, and nothing is lost\n"
        "the database is back after 63 s\n"
    )


def test_a_trial_that_is_complete_is_a_line_with_its_loss_and_one_that_failed_says_why(said):
    done = CompleteReplicate(0, 0.25, 2, 3, 12.0, "h:1")
    failed = FailedReplicate(1, "bad layer\ntrace", "ValueError", 0, 0.0, "h:1")
    text = said(
        lambda r: ReplicateBegan("worker-1", r, 0, "h", 1),
        lambda r: EpochDone("worker-1", r, EpochEnd(1, 0.5, 0.25, 1.0)),
        lambda r: ReplicateDone("worker-1", r, done),
        lambda r: TrialDone(1, r, 0.25, (done,)),
        lambda r: TrialDone(2, r, None, (done, failed)),
    )
    first, second = text.splitlines()
    assert first.startswith("trial 1 (1 of 3): ")
    assert "val_loss 0.2500 (seeds 0.2500 to 0.2500), 12.0 s" in first
    assert second.startswith("trial 2 (2 of 3): ")
    assert "failed: bad layer" in second


def left_after(plan, *events):
    """Give the share of the whole work that a display thinks is left after some events."""
    display = Display(Console(file=io.StringIO()))
    display.begin(plan, Storage.in_memory(tasks).begin(plan))
    whole = display._remaining.left_s
    for one in events:
        display.on_event(one)
    return display._remaining.left_s / whole


def test_what_is_left_is_the_same_however_a_replicate_came_to_its_end(tmp_path):
    plan = small_plan(tmp_path)
    first = plan.replicate(plan.trials[0], 0)
    began = [ReplicateBegan("worker-1", first, epoch, "h", 1) for epoch in (0, 1, 2)]
    epochs = [EpochDone("worker-1", first, EpochEnd(epoch, 0.5, 0.25, 1.0)) for epoch in (1, 2, 3)]
    done = ReplicateDone("worker-1", first, CompleteReplicate(0, 0.25, 2, 3, 12.0, "h:1"))
    lost = Lost("worker-1", first, "exit code 9", True)
    undisturbed = left_after(plan, began[0], *epochs, done)
    assert left_after(plan, began[2], epochs[2], done) == pytest.approx(undisturbed)  # resumed
    assert left_after(plan, began[0], *epochs[:2], lost, began[1], *epochs[1:], done) == pytest.approx(undisturbed)


def test_a_rung_is_a_line_with_what_goes_on_and_why(said):
    places = [Place(0, 1, 0.1, kept=True), Place(1, 2, 0.11, kept=True, tied=True), Place(2, 3, 0.3, kept=False)]
    one = said(lambda r: RungDecided(Rung(3, 0.01, 0.02, tuple(places))))
    assert one == (
        "after epoch 3: 2 of 3 trials go on, 1 of them as the noise of the seeds cannot tell them from the best; "
        "1 stopped\n"
    )
    alone = said(lambda r: RungDecided(Rung(3, 0.01, 0.02, (places[0], places[2]))))
    assert alone == "after epoch 3: 1 of 2 trials goes on; 1 stopped\n"


def test_a_study_that_stops_early_says_so_first(tmp_path):
    out = io.StringIO()
    plan = small_plan(tmp_path, stop_early={"rungs": [1, 2], "keep": 0.5})
    Display(Console(file=out, width=200)).begin(plan, Storage.in_memory(tasks).begin(plan))
    assert (
        "stops early: after epochs 1 and 2 the best 50%, and what the noise of the seeds cannot tell from the best, go "
        "on\n" in out.getvalue()
    )


def test_trials_that_are_stopped_count_as_done(tmp_path):
    plan, out = small_plan(tmp_path), io.StringIO()
    replicate = plan.replicate(plan.trials[0], 0)
    display = Display(Console(file=out, width=200))
    display.begin(plan, Storage.in_memory(tasks).begin(plan))
    paused = PausedReplicate(0, 0.5, 1, 1.0, "w", ((0.5, 0.5),))
    display.on_event(ReplicatePaused("worker-1", replicate, paused))
    display.on_event(TrialStopped(1, replicate, StoppedAt(1, 3, 3, 0.5, 0.1)))
    done = CompleteReplicate(0, 0.25, 2, 3, 12.0, "h:1")
    display.on_event(TrialDone(2, plan.replicate(plan.trials[1], 0), 0.25, (done,)))
    assert "trial 2 (2 of 3)" in out.getvalue()
    assert display._bar.tasks[0].completed == 2  # both seeds of what was stopped
