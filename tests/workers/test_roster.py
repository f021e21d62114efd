"""Where workers are started, and what is decided when one dies: plain values in, plain values out, no Ray."""

import pytest

from clustersweep.workers.roster import MAX_FAILED_STARTS, Death, GiveUp, Replace, Roster, Silence, Wait, decide

KILLED = Death("exit code 9")
WITHOUT_MEMORY = Death("low on memory", out_of_memory=True)
CROWDED_OUT = Death("low on memory", out_of_memory=True, others_train=True)
TOLD = "a machine has no memory for one more worker beside those that train: fewer train there"
NODE_GONE = Death("its node is gone", node_is_there=False)


@pytest.mark.parametrize("death", [KILLED, WITHOUT_MEMORY, CROWDED_OUT, NODE_GONE])
def test_a_worker_that_had_told_something_is_replaced_and_not_counted_however_it_died(death):
    assert decide(death, answered=True, failed_starts=0) == (Replace(), 0)


def test_a_worker_that_died_before_it_told_anything_is_replaced_and_counted():
    assert decide(KILLED, answered=False, failed_starts=1) == (Replace(), 2)


@pytest.mark.parametrize(
    ("death", "why"),
    [(KILLED, "exit code 9"), (WITHOUT_MEMORY, "low on memory. Free some memory there")],
)
def test_three_in_a_row_that_never_told_anything_end_the_sweep_with_the_reason(death, why):
    done, number = decide(death, answered=False, failed_starts=MAX_FAILED_STARTS - 1)
    assert done == GiveUp(f"3 workers in a row died before they trained anything: {why}")
    assert number == MAX_FAILED_STARTS


def test_a_worker_whose_node_is_gone_did_not_fail_to_start():
    assert decide(NODE_GONE, answered=False, failed_starts=2) == (Replace(), 2)


def test_a_worker_that_finds_no_memory_beside_others_is_waited_with_and_not_counted():
    assert decide(CROWDED_OUT, answered=False, failed_starts=2) == (Wait(), 2)


def staffed(limit=None, **nodes):
    """A roster of nodes with room for as many workers as they have."""
    roster = Roster(limit, {node: len(workers) for node, workers in nodes.items()})
    for node, workers in nodes.items():
        for worker in workers:
            roster.hire(worker, node)
    return roster


@pytest.mark.parametrize(
    ("death", "says"),
    [
        (WITHOUT_MEMORY, [Replace(), Replace(), GiveUp]),
        # Beside others no new one is tried at once, and that is told once.
        (CROWDED_OUT, [Wait(TOLD), Wait(""), Wait("")]),
    ],
)
def test_workers_that_find_no_memory_end_the_sweep_only_where_nobody_trains(death, says):
    roster = staffed(here="abc")
    done = [roster.dies(worker, death) for worker in "abc"]
    assert [one if one in says else type(one) for one in done] == says


def test_a_worker_that_tells_something_has_the_count_begin_again():
    roster = staffed(here="abcd")
    for worker in "ab":
        roster.dies(worker, KILLED)
    roster.answers("c")
    assert isinstance(roster.dies("d", KILLED), Replace)
    assert roster.failed_starts == 1


def test_a_node_that_is_gone_has_no_more_room_and_the_others_stay():
    roster = staffed(one="ab", other="c")
    roster.dies("a", NODE_GONE)
    assert (roster.room, roster.lost_nodes, roster.vacancies()) == ({"other": 1}, {"one"}, [])


@pytest.mark.parametrize(("limit", "expected"), [(None, ["two", "two", "one", "two"]), (3, ["two", "two"]), (1, [])])
def test_workers_are_started_where_most_room_is_and_no_more_than_the_limit(limit, expected):
    roster = Roster(limit, {"one": 2, "two": 3, "none": 0}, {"a": "one"})
    assert roster.vacancies() == expected


def test_a_node_without_a_gpu_that_tensorflow_sees_is_told_once_and_left_alone():
    roster = staffed(here="a", blind="bc")
    assert roster.abandon_node_of("b")
    assert not roster.abandon_node_of("c")
    assert (roster.room, [*roster.node_of], roster.vacancies()) == ({"here": 1, "blind": 0}, ["a"], [])


def test_machines_that_join_have_the_room_that_was_found_and_one_that_does_not_fit_stays_without():
    roster = staffed(here="a", left="b")
    roster.see_nodes(["here", "unfit", "new"], {"unfit": 0, "new": 2})
    assert roster.vacancies() == ["new", "new"]
    roster.see_nodes(["here", "unfit", "new"], {})  # known by now
    assert roster.room == {"here": 1, "unfit": 0, "new": 2}


def test_one_worker_alone_takes_the_place_of_all_where_there_is_room_for_it():
    roster = staffed(here="ab", there="c")
    roster.leave_one({"there": 1})
    assert (roster.room, roster.vacancies()) == ({"here": 0, "there": 1}, ["there"])
    roster.hire("d", "there")
    assert roster.vacancies() == []


def test_a_head_that_is_silent_longer_than_the_patience_is_gone():
    silence = Silence(20.0, answered_at=0.0)
    assert [silence.means_gone(now) for now in (5.0, 10.0, 15.0, 20.5)] == [False, False, False, True]


def test_the_silence_counts_from_the_last_answer_also_where_something_else_took_that_long():
    """Ray ends this process a minute after the head is gone, so a check of nodes that blocks counts too."""
    silence = Silence(20.0, answered_at=0.0)
    assert [silence.means_gone(now) for now in (40.0, 45.0)] == [False, True]  # asked twice


def test_a_head_that_answers_in_between_is_there():
    silence = Silence(20.0, answered_at=0.0)
    assert not silence.means_gone(19.0)
    silence.answers(21.0)
    assert [silence.means_gone(now) for now in (30.0, 40.9, 41.1)] == [False, False, True]
