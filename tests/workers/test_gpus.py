"""GPUs that Ray counts and TensorFlow does not see, and nodes that have none: what is asked, and what is told."""

import pytest
from ray_nodes import nodes_of

from clustersweep.workers.connection import room
from clustersweep.workers.gpus import gpu_warnings, to_be_asked, unseen_gpus


def test_what_tensorflow_does_not_see_of_a_nodes_gpus_is_told_in_a_line():
    found = nodes_of([{"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 2.0}])
    seen = {"node-0": 1, "node-2": 2, "node-3": 0}
    assert [node.with_gpus(seen.get(node.identity)).gpus for node in found] == [1, 0, 1, 0]
    assert unseen_gpus(found, seen) == "TensorFlow sees 1 of 4 GPUs on 10.0.0.0, 0 of 2 GPUs on 10.0.0.3"
    assert unseen_gpus(found, {"node-2": 1}) == ""


@pytest.mark.parametrize(("gpus", "told"), [("auto", True), (0, False)])
def test_a_launch_says_which_nodes_without_a_gpu_it_leaves_alone(gpus, told):
    alive = nodes_of([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}, {"CPU": 0.0}, {"CPU": 2.0}])
    counts, share = room(alive, 2, gpus)
    used = [node.address for node in alive if counts[node.identity]]
    assert used == (["10.0.0.0"] if told else ["10.0.0.0", "10.0.0.1", "10.0.0.3"])
    assert list(gpu_warnings(alive, "", 2, share)) == told * [
        "no GPU, and so not used beside nodes with GPUs: 10.0.0.1, 10.0.0.3. Another kind of device may change the "
        "last bits; resources.gpus_per_worker: 0 trains on the CPUs of all nodes"
    ]


def test_a_node_whose_gpus_tensorflow_does_not_see_is_left_alone_beside_one_where_it_does():
    counted, seen = nodes_of([{"CPU": 4.0, "GPU": 2.0}, {"CPU": 4.0, "GPU": 2.0}]), {"node-0": 0, "node-1": 2}
    alive = [node.with_gpus(seen[node.identity]) for node in counted]
    counts, share = room(alive, 1, "auto")
    assert (counts, share) == ({"node-0": 0, "node-1": 4}, 0.5)
    told = list(gpu_warnings(alive, unseen_gpus(counted, seen), 1, share))
    assert told[0].startswith("TensorFlow sees 0 of 2 GPUs on 10.0.0.0, and no other is used there. Install it there")
    assert told[1].startswith("no GPU, and so not used beside nodes with GPUs: 10.0.0.0.")
    assert len(told) == 2


def test_where_no_gpu_is_seen_cpus_train_and_that_is_told():
    counted, seen = nodes_of([{"CPU": 4.0, "GPU": 2.0}]), {"node-0": 0}
    alive = [node.with_gpus(0) for node in counted]
    (told,) = gpu_warnings(alive, unseen_gpus(counted, seen), 1, room(alive, 1, "auto")[1])
    assert told.startswith("TensorFlow sees 0 of 2 GPUs on 10.0.0.0, so CPUs train. Install it there")


def test_nobody_is_asked_twice_for_gpus_nor_where_there_are_none_or_cpus_are_wanted():
    found = nodes_of([{"CPU": 4.0, "GPU": 2.0}, {"CPU": 4.0}, {"CPU": 4.0, "GPU": 1.0}])
    assert to_be_asked(found, {"node-0": 2}, "auto") == found[2:]
    assert to_be_asked(found, {}, 0.5) == [found[0], found[2]]
    assert to_be_asked(found, {}, 0) == []
