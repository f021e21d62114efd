"""How launches of one user share a machine: arithmetic, and files that real processes lock."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from simulated_clock import SimulatedClock

from clustersweep.errors import WorkersError
from clustersweep.sweep.timings import Timings
from clustersweep.sweep.turns import (
    Claim,
    Turn,
    folder_of_turns,
    free_cpus,
    has_room,
    visible_gpus,
    wait_for_room,
    why_not,
)

# A launch that has a turn until it is killed.
HOLDER = """
import json, sys, time
from pathlib import Path
from clustersweep.sweep.turns import Claim, Turn
turn = Turn(Path(sys.argv[1]), Claim("grid", 1, 0.0, 4, 4, (0, 1, 2, 3)))
print("there", flush=True)
time.sleep(600)
"""


def claim(cpus, among=range(4), gpus=(), study="small", pid=1):
    return Claim(study, pid, 0.0, cpus, len(among), tuple(among), tuple(gpus))


@pytest.mark.parametrize(
    ("before", "mine", "room"),
    [
        ([], claim(4), True),
        ([claim(2)], claim(2), True),
        ([claim(2)], claim(3), False),
        ([claim(4)], claim(1), False),
        ([claim(2), claim(4)], claim(1), False),  # the second waits, and is not passed by
        ([claim(4, among=range(4, 8))], claim(4), True),  # pinned to other CPUs: two jobs on one node
        ([claim(4, among=range(2, 6))], claim(2), True),
        ([claim(4, among=range(2, 6))], claim(3), False),
        ([claim(1, gpus=["0"])], claim(1, gpus=["0"]), False),
        ([claim(1, gpus=["0"])], claim(1, gpus=["1"]), True),
        ([claim(1, gpus=["0", "1"])], claim(1, gpus=["1", "2"]), False),
        ([claim(1, gpus=["0"])], claim(1), True),
    ],
)
def test_a_launch_has_room_beside_all_that_came_before_it_and_have_not_ended(before, mine, room):
    assert has_room(mine, before) is room


def test_the_first_launch_always_has_room_and_one_that_has_it_keeps_it_whoever_comes_and_goes():
    claims = [claim(3), claim(2), claim(1), claim(4), claim(1)]
    waiting, order = list(range(len(claims))), []
    while waiting:
        trains = [
            one for place, one in enumerate(waiting) if has_room(claims[one], [claims[i] for i in waiting[:place]])
        ]
        assert trains[0] == waiting[0]
        assert sum(claims[one].cpus for one in trains) <= 4
        order.append(trains)
        waiting.remove(trains[0])
    assert order == [[0], [1, 2], [2], [3], [4]]


def test_who_came_first_and_what_would_let_a_launch_train_is_told():
    since = time.mktime((2026, 11, 26, 14, 2, 0, 0, 0, -1))
    before = [
        Claim("grid", 4711, since, 3, 4, (0, 1, 2, 3)),
        Claim("naive", 4712, since + 60, 2, 4, (0, 1, 2, 3)),
    ]
    why, remedy = why_not(claim(4), before, 1)
    assert why == (
        "it takes 4 of 4 CPUs, and these came first:\n"
        "  grid: 3 CPUs, process 4711, since 2026-11-26 14:02, trains\n"
        "  naive: 2 CPUs, process 4712, since 2026-11-26 14:03, waits, too"
    )
    assert remedy == "Launches run side by side with fewer --workers each, or all on one Ray cluster (--address)"
    assert why_not(claim(4), before[1:], 1)[1] == "With --workers 2 it has room now"
    assert why_not(claim(4), before[1:], 2)[1] == "With --workers 1 it has room now"
    assert free_cpus(claim(4), before) == -1


def test_who_has_the_gpus_is_told():
    why, remedy = why_not(claim(1, gpus=["0"]), [claim(1, gpus=["0", "1"], study="grid")], 1)
    assert why.startswith(
        "it takes 1 of 4 CPUs and GPU 0, and these came first:\n  grid: 1 CPU and GPU 0, 1, process 1"
    )
    assert remedy == "Launches run side by side on GPUs of their own (CUDA_VISIBLE_DEVICES)"


@pytest.mark.parametrize(
    ("devices", "environ", "gpus"),
    [
        ([], {}, ()),
        ([], {"CUDA_VISIBLE_DEVICES": "0"}, ()),
        (["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"], {}, ("0", "1")),
        (["nvidia0", "nvidia1"], {"CUDA_VISIBLE_DEVICES": "1"}, ("1",)),
        (["nvidia0", "nvidia1"], {"CUDA_VISIBLE_DEVICES": "0, 1"}, ("0", "1")),
        (["nvidia0"], {"CUDA_VISIBLE_DEVICES": ""}, ()),
        (["nvidia0"], {"CUDA_VISIBLE_DEVICES": "-1"}, ()),
    ],
)
def test_a_launch_takes_the_gpus_that_it_may_see(tmp_path, devices, environ, gpus):
    for name in devices:
        (tmp_path / name).touch()
    assert visible_gpus(environ, tmp_path) == gpus


def test_turns_are_in_the_order_in_which_they_were_taken_and_a_release_leaves_no_file(tmp_path):
    folder = tmp_path / "turns"
    with Turn(folder, claim(1, study="a")) as first, Turn(folder, claim(2, study="b")) as second:
        third = Turn(folder, claim(3, gpus=["0"], study="c"))
        assert first.before() == []
        assert second.before() == [first.claim]
        assert third.before() == [first.claim, second.claim]
        second.release()
        assert third.before() == [first.claim]
        with Turn(folder, claim(1, study="d")) as fourth:
            assert fourth.before() == [first.claim, third.claim]
        third.release()
    assert [file.name for file in folder.iterdir()] == ["lock"]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_turns_that_are_taken_at_the_same_time_have_an_order(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        turns = list(threads.map(lambda number: Turn(tmp_path, claim(1, study=str(number))), range(32)))
    assert sorted(len(turn.before()) for turn in turns) == list(range(32))
    for turn in turns:
        turn.release()


def test_a_killed_launch_gives_its_turn_back_at_once(tmp_path, children):
    holder = children([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "there\n"
    with Turn(tmp_path, claim(1)) as turn:
        assert [one.study for one in turn.before()] == ["grid"]
        assert not has_room(turn.claim, turn.before())
        holder.kill()
        holder.wait()
        assert turn.before() == []
        assert len([file for file in tmp_path.iterdir() if file.name.isdecimal()]) == 1


def pausing(moments, *, wanted=True):
    def pause(seconds):
        moments.append(seconds)
        return wanted

    return pause


def test_a_launch_says_after_a_while_for_whom_it_waits_and_that_it_goes_on(tmp_path):
    told, clock = [], SimulatedClock()

    def pause(seconds):
        clock.sleep(seconds)
        if clock.now == 7:
            first.release()
        return True

    def tell(text):
        told.append((clock.now, text))

    with Turn(tmp_path, claim(3, study="grid")) as first, Turn(tmp_path, claim(4)) as turn:
        wait_for_room(turn, 1, 7200.0, tell, pause, timings=Timings(tell_after_s=3.0), clock=clock)
    assert [at for at, _ in told] == [3.0, 7.0]
    [waits, goes_on] = [text for _, text in told]
    assert waits.startswith(
        "no room on this machine yet: it takes 4 of 4 CPUs, and these came first:\n  grid: 3 CPUs, process 1, since "
    )
    assert waits.endswith("\nwaiting for 2.0 h at most, then this goes on by itself. With --workers 1 it has room now")
    assert goes_on == "room on this machine after 7 s"


def test_a_launch_that_has_room_or_nothing_to_train_any_more_waits_for_nobody_and_says_nothing(tmp_path):
    told, moments = [], []
    with Turn(tmp_path, claim(2)), Turn(tmp_path, claim(2)) as beside, Turn(tmp_path, claim(2)) as last:
        wait_for_room(beside, 1, None, told.append, pausing(moments))
        assert moments == []
        wait_for_room(last, 1, None, told.append, pausing(moments, wanted=False))
    assert len(moments) == 1
    assert told == []


@pytest.mark.parametrize(("wait_s", "after"), [(0.0, ""), (5.0, " after 5 s")])
def test_a_launch_that_waited_as_long_as_it_was_told_to_says_for_whom(tmp_path, wait_s, after):
    clock = SimulatedClock()
    with (
        Turn(tmp_path, claim(4, study="grid")),
        Turn(tmp_path, claim(1)) as turn,
        pytest.raises(WorkersError) as refused,
    ):
        wait_for_room(turn, 1, wait_s, [].append, lambda seconds: clock.sleep(seconds) or True, clock=clock)
    assert str(refused.value).startswith(
        f"no room on this machine{after}: it takes 1 of 4 CPUs, and these came first:\n"
    )
    assert str(refused.value).endswith(
        "trains\nLaunches run side by side with fewer --workers each, or all on one Ray cluster (--address). Else "
        "launch again later, or wait longer (--wait)"
    )


def test_a_folder_that_others_can_write_to_or_that_is_a_link_is_refused_with_the_way_round(tmp_path):
    mine, link, file = tmp_path / "mine", tmp_path / "link", tmp_path / "file"
    mine.mkdir()
    mine.chmod(0o777)
    link.symlink_to(mine)
    file.touch()
    for folder in (mine, link, file):
        with pytest.raises(WorkersError) as refused:
            Turn(folder, claim(1))
        assert str(refused.value).startswith(f"{folder}: launches on this machine cannot take turns there: ")
        assert str(refused.value).endswith(". Remove it, or name a folder of your own with CLUSTERSWEEP_LAUNCHES")


def test_turns_are_taken_beside_other_temporary_files_of_this_machine_or_where_a_variable_says(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert folder_of_turns({}, 1000) == tmp_path / "clustersweep-1000"
    assert folder_of_turns({"CLUSTERSWEEP_LAUNCHES": str(tmp_path / "mine")}, 1000) == tmp_path / "mine"
