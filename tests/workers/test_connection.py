"""A cluster's machines: room for workers, the software they must have, the token that lets in. No Ray is started."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from ray_nodes import ENOUGH, nodes_of

from clustersweep.errors import WorkersError
from clustersweep.workers import connection as ray_cluster
from clustersweep.workers.connection import (
    NoAnswer,
    Software,
    no_room_for,
    other_versions,
    require_no_problems,
    room,
    unfit_warnings,
)

HERE = Software({"python": "3.11.7", "clustersweep": "0.1.0", "ray": "2.60.0", "tensorflow": "2.21.0"})


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "expected"),
    [
        ([{"CPU": 4.0}], 1, "auto", (4, 0.0)),
        ([{"CPU": 5.0}], 2, "auto", (2, 0.0)),
        ([{"CPU": 16.0, "GPU": 2.0}], 1, "auto", (8, 0.25)),
        ([{"CPU": 3.0, "GPU": 2.0}], 1, "auto", (3, 0.5)),
        ([{"CPU": 16.0, "GPU": 2.0}], 1, 0, (16, 0.0)),
        ([{"CPU": 16.0, "GPU": 2.0}], 1, 0.6, (2, 0.6)),
        ([{"CPU": 16.0, "GPU": 4.0}], 1, 1, (4, 1.0)),
        ([{"CPU": 16.0, "GPU": 1.0}], 1, 0.1, (10, 0.1)),
        ([{"CPU": 6.0}, {"CPU": 6.0}], 4, "auto", (2, 0.0)),
        ([{"CPU": 8.0}, {"CPU": 2.0, "GPU": 1.0}], 1, "auto", (2, 0.5)),
    ],
)
def test_there_are_as_many_workers_as_the_cluster_has_room_for(nodes, cpus, gpus, expected):
    counts, share = room(nodes_of(nodes), cpus, gpus)
    assert (sum(counts.values()), share) == expected


@pytest.mark.parametrize(
    ("nodes", "limit", "counts", "per_gpu"),
    [
        ([(8, 4)], None, [8], 2),
        ([(4, 4)], None, [4], 1),
        ([(2, 4)], None, [2], 1),
        ([(64, 4)], None, [16], 4),
        ([(64, 4)], 8, [8], 2),
        ([(64, 4)], 3, [4], 1),  # room for four, of whom three are hired
        ([(7, 4)], None, [7], 2),
        ([(5, 4)], None, [4], 1),  # five halves would leave one idle: Ray fills a GPU before it takes the next
        ([(8, 1), (8, 1)], 2, [1, 1], 1),
        ([(16, 1), (4, 4)], None, [1, 4], 1),
        ([(8, 0), (4, 1)], None, [0, 4], 4),
    ],
)
def test_workers_are_spread_over_all_gpus_before_two_share_one(nodes, limit, counts, per_gpu):
    given = nodes_of([{"CPU": float(slots), "GPU": float(gpus)} for slots, gpus in nodes])
    found, share = room(given, 1, "auto", limit=limit)
    assert ([*found.values()], share) == (counts, 1 / per_gpu)


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "says"),
    [
        ([{"CPU": 2.0}], 1, 1.0, "one needs 1 CPU and 1 GPU, the cluster has 2 CPU and 0 GPU"),
        ([{"CPU": 2.0}], 4, "auto", "one needs 4 CPU and 0 GPU, the cluster has 2 CPU and 0 GPU"),
    ],
)
def test_a_worker_that_does_not_fit_is_refused_and_the_error_says_what_the_cluster_has(nodes, cpus, gpus, says):
    with pytest.raises(WorkersError, match=f"no room for a worker: {says}. Lower resources"):
        room(nodes_of(nodes), cpus, gpus)
    assert sum(room(nodes_of(nodes), cpus, gpus, least=0)[0].values()) == 0


@pytest.mark.parametrize(
    ("has", "says"),
    [
        ({}, None),
        (NoAnswer("cannot be asked: no such module", alive=True), "cannot be asked: no such module"),
        ({"tensorflow": "2.20.0"}, "tensorflow 2.20.0 instead of 2.21.0"),
        ({"clustersweep": "none", "python": "3.12.1"},
         "python 3.12.1 instead of 3.11.7, clustersweep none instead of 0.1.0"),
    ],
)  # fmt: skip
def test_a_node_that_would_train_other_numbers_or_none_is_refused_with_what_is_wrong(monkeypatch, has, says):
    nodes = nodes_of([ENOUGH, ENOUGH])
    answers = {"node-0": HERE, "node-1": has if isinstance(has, NoAnswer) else Software({**HERE.versions, **has})}
    monkeypatch.setattr(ray_cluster, "software_here", lambda: HERE)
    monkeypatch.setattr(ray_cluster, "software_of", lambda asked, answer_s: answers)
    problems, gone = other_versions(nodes, 30.0)
    assert (problems, gone) == ({} if says is None else {"node-1": says}, {})
    if problems:
        lines = rf"10\.0\.0\.0  fits\n  10\.0\.0\.1  {says}\nInstall the same versions"
        with pytest.raises(WorkersError, match=lines):
            require_no_problems(problems, nodes)
    else:
        require_no_problems(problems, nodes)


def test_a_node_that_is_gone_by_the_time_it_is_asked_is_no_reason_to_refuse_the_others(monkeypatch):
    nodes = nodes_of([ENOUGH, ENOUGH])
    unable = NoAnswer("cannot be asked: it is on fire", alive=True)
    monkeypatch.setattr(
        ray_cluster, "software_of", lambda asked, answer_s: {"node-0": ray_cluster.software_here(), "node-1": unable}
    )
    monkeypatch.setattr(ray_cluster, "nodes", lambda: nodes[:1])
    assert ray_cluster.fitting(nodes, 30.0) == nodes[:1]
    monkeypatch.setattr(ray_cluster, "nodes", lambda: nodes)
    with pytest.raises(WorkersError, match=r"10\.0\.0\.1  cannot be asked: it is on fire"):
        ray_cluster.fitting(nodes, 30.0)


def test_a_node_that_cannot_be_asked_any_more_is_told_and_the_others_are_used(monkeypatch, caplog):
    nodes = nodes_of([ENOUGH, ENOUGH])
    silent = NoAnswer("does not answer within 30 s", alive=False)
    monkeypatch.setattr(
        ray_cluster, "software_of", lambda asked, answer_s: {"node-0": ray_cluster.software_here(), "node-1": silent}
    )
    monkeypatch.setattr(ray_cluster, "nodes", lambda: nodes)  # the head has not noticed yet
    assert ray_cluster.fitting(nodes, 30.0) == nodes[:1]
    [said] = [record.getMessage() for record in caplog.records]
    assert said == "the node 10.0.0.1 is gone and not used: does not answer within 30 s"


def test_a_node_whose_object_store_cannot_hold_the_data_is_told_with_both_sizes():
    nodes = nodes_of([ENOUGH, {**ENOUGH, "object_store_memory": 2**20}])
    assert no_room_for(500 * 2**20, nodes) == {"node-1": "its object store has 1 MiB for 500 MiB of data"}
    assert no_room_for(2**20, nodes) == {}


def test_the_token_is_made_where_the_file_system_has_no_hard_links_and_one_that_is_there_stays(tmp_path, monkeypatch):
    def no_links(*given, **named):
        raise PermissionError(1, "Operation not permitted")  # as vfat and many network file systems answer

    monkeypatch.setattr("os.link", no_links)
    token = tmp_path / "home" / "ray_token"
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: (ray_cluster._make_token(token), token.read_text())[1], range(16)))
    assert {len(text) for text in made} == {64}
    assert made == {token.read_text()}  # every launch beside another reads the same
    assert token.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in token.parent.iterdir()] == ["ray_token"]


def test_a_token_file_that_a_killed_launch_left_empty_gets_its_token(tmp_path):
    token = tmp_path / "ray_token"
    token.touch(0o600)
    ray_cluster._make_token(token)
    assert len(token.read_text()) == 64


def test_a_machine_that_joins_without_fitting_is_told_and_the_others_are_not():
    joined = nodes_of([ENOUGH, ENOUGH, ENOUGH])[1:]
    problems = {"node-1": "tensorflow 2.20.0 instead of 2.21.0"}
    assert unfit_warnings(joined, problems) == [
        "the node 10.0.0.1 that joined the cluster is not used: tensorflow 2.20.0 instead of 2.21.0"
    ]
