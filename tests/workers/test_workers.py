"""Ray's actors and their in-process twin, with real Ray; they train arithmetic where no network is needed."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import arithmetic_task
import psutil
import pytest
import ray
from arithmetic_workers import NOTHING, TASK, arithmetic_plan
from small_data import small_data
from small_study import CLUSTERS, small_plan

from clustersweep.cpus import available_cpus
from clustersweep.errors import WorkersError
from clustersweep.masses.task import tasks
from clustersweep.storage.store import Storage
from clustersweep.study.events import EpochEnd
from clustersweep.sweep.events import EpochDone, ReplicateBegan, ReplicateDone, WorkerLost
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.workers import connection as ray_cluster
from clustersweep.workers.connection import (
    NoAnswer,
    Node,
    Software,
    no_room_for,
    nodes,
    other_versions,
    require_no_problems,
    room,
)
from clustersweep.workers.gpus import unseen_gpus
from clustersweep.workers.protocol import InProcessWorkers
from clustersweep.workers.ray_pool import RayWorkers, ReplicateActor
from clustersweep.workers.timings import RayTimings

EPOCHS = 300
LONG = {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 2}  # long enough to be killed in the middle


ray.cloudpickle.register_pickle_by_value(arithmetic_task)


@pytest.fixture(scope="module")
def clusters():
    return small_data(60, 40, bands=10)


@pytest.fixture(scope="module")
def token_file(tmp_path_factory):
    return tmp_path_factory.mktemp("ray") / "token"


@pytest.fixture
def token(monkeypatch, token_file):
    """Have Ray, which a test starts itself, ask for a token: a process that had one once does so from then on."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray_cluster._make_token(token_file)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token_file))
    ray._raylet.Config.initialize("")


def sweep(plan, workers, folder: Path, on_event=lambda event: None, **options):
    storage = Storage.in_memory(tasks)
    try:
        outcome = Sweep(
            plan, storage.begin(plan), storage, workers, RunFolder(folder), on_event=on_event, **options
        ).run()
    finally:
        workers.close()
    return outcome, storage.results("small")


def curves(results):
    return {(tuple(t.params.items()), seed): r.curve for t in results.trials for seed, r in t.replicates.items()}


def undisturbed(folder: Path, **training):
    """Return the losses of an undisturbed sweep in this process."""
    outcome, results = sweep(arithmetic_plan(folder, training=training), InProcessWorkers(TASK, NOTHING), folder)
    assert outcome.finished == 3
    return curves(results)


@pytest.fixture(scope="module")
def in_process(tmp_path_factory):
    """The losses of the small study, trained as long as `LONG` says, in this process."""
    return undisturbed(tmp_path_factory.mktemp("in_process"), **LONG)


@pytest.fixture(scope="module")
def in_process_in_short(tmp_path_factory):
    """The losses of the small study as it is, in this process."""
    return undisturbed(tmp_path_factory.mktemp("in_process_in_short"))


@ray.remote
class _Where:
    def gpus(self):
        return ray.get_runtime_context().get_accelerator_ids()["GPU"]


def nodes_of(resources):
    return [Node(f"node-{number}", f"10.0.0.{number}", has) for number, has in enumerate(resources)]


# --- room on a cluster: arithmetic ---------------------------------------------------------------------------


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


@pytest.mark.integration
def test_ray_leaves_no_gpu_idle_with_the_share_that_auto_chooses(token):
    ray.init(
        address="local", num_cpus=8, num_gpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    try:
        [node] = nodes()
        for slots in (4, 5, 7, 8):
            counts, share = room([Node(node.identity, node.address, {"CPU": float(slots), "GPU": 4.0})], 1, "auto")
            actors = [_Where.options(num_cpus=1, num_gpus=share).remote() for _ in range(sum(counts.values()))]
            used = {gpu for found in ray.get([actor.gpus.remote() for actor in actors]) for gpu in found}
            assert len(used) == 4, slots
            for actor in actors:
                ray.kill(actor)
    finally:
        ray.shutdown()


@pytest.mark.parametrize(("gpus", "told"), [("auto", True), (0, False)])
def test_a_launch_says_which_nodes_without_a_gpu_it_leaves_alone(monkeypatch, caplog, gpus, told):
    workers = RayWorkers.__new__(RayWorkers)
    vars(workers).update(
        _cpus=2, _limit=None, _lost_nodes=set(), _visible_gpus={"node-0": 1}, _wait_s=0.0, _timings=RayTimings()
    )
    has = [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}, {"CPU": 0.0}, {"CPU": 2.0}]
    module = "clustersweep.workers.ray_pool"
    monkeypatch.setattr(f"{module}.nodes", lambda: nodes_of(has))
    monkeypatch.setattr(f"{module}.fitting", lambda asked, answer_s: asked)
    used = workers._first_room(gpus, shared=True)
    assert [node.address for node in used] == (["10.0.0.0"] if told else ["10.0.0.0", "10.0.0.1", "10.0.0.3"])
    assert [record.getMessage() for record in caplog.records] == told * [
        "no GPU, and so not used beside nodes with GPUs: 10.0.0.1, 10.0.0.3. Another kind of device may change the "
        "last bits; resources.gpus_per_worker: 0 trains on the CPUs of all nodes"
    ]


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


HERE = Software({"python": "3.11.7", "clustersweep": "0.1.0", "ray": "2.60.0", "tensorflow": "2.21.0"})
ENOUGH = {"CPU": 2.0, "object_store_memory": 1e9}


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


# --- real workers ---------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_workers_on_ray_give_the_same_bits_as_this_process(clusters, token_file, tmp_path):
    (tmp_path / "here").mkdir()
    _, here = sweep(small_plan(tmp_path, training=LONG), InProcessWorkers(CLUSTERS, clusters), tmp_path / "here")
    workers = RayWorkers(CLUSTERS, lambda: clusters, clusters.bytes, token_file=token_file)
    _, results = sweep(small_plan(tmp_path, training=LONG), workers, tmp_path)
    assert curves(results) == curves(here)
    pids = {r.worker for t in results.trials for r in t.replicates.values()}
    assert len(pids) == min(available_cpus(), 6)
    assert not any(name.endswith(f":{os.getpid()}") for name in pids)
    assert token_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.integration
def test_a_killed_workers_replicate_goes_on_elsewhere_and_gives_the_same_bits(token_file, tmp_path, in_process):
    workers = RayWorkers(TASK, lambda: NOTHING, 8, token_file=token_file, checkpoint_every_s=0.05)
    pids, killed, events = {}, [], []

    def on_event(event):
        events.append(event)
        if isinstance(event, ReplicateBegan):
            pids[event.worker] = event.pid
        if isinstance(event, EpochDone) and event.event.epoch == EPOCHS // 6 and not killed:
            killed.append(event.worker)
            os.kill(pids[event.worker], signal.SIGKILL)

    outcome, results = sweep(arithmetic_plan(tmp_path, training=LONG), workers, tmp_path, on_event)
    assert outcome.failed == 0
    assert curves(results) == in_process
    [lost] = [n for n in events if isinstance(n, WorkerLost)]
    assert (lost.worker, lost.again) == (killed[0], True)
    began = [n for n in events if isinstance(n, ReplicateBegan) and n.replicate.key == lost.replicate.key]
    assert began[0].epoch == 0
    assert began[-1].epoch > 0  # from its checkpoint, not from the start
    assert began[-1].worker != lost.worker
    assert len(began) == 2
    assert sum(isinstance(n, ReplicateBegan) for n in events) == 7  # nothing else was trained twice


@pytest.mark.integration
def test_workers_that_are_asked_to_stop_hand_over_their_checkpoints(token_file, tmp_path, in_process):
    epochs = 2000
    plan = arithmetic_plan(tmp_path, training={"epochs": epochs, "patience": epochs})
    workers = RayWorkers(TASK, lambda: NOTHING, 8, token_file=token_file)
    storage, files, seen = Storage.in_memory(tasks), RunFolder(tmp_path), []
    sweep_ = Sweep(
        plan, storage.begin(plan), storage, workers, files, on_event=seen.append,
        stop=lambda: sum(isinstance(n, EpochDone) for n in seen) > 5,
    )  # fmt: skip
    try:
        outcome = sweep_.run()
    finally:
        workers.close()
    assert outcome.interrupted
    running = {n.replicate.key for n in seen if isinstance(n, ReplicateBegan)}
    assert {path.stem for path in (tmp_path / "checkpoints").iterdir()} == running


@pytest.mark.integration
def test_rays_processes_do_not_hold_the_databases_secrets_nor_let_in_who_has_no_token(token_file, monkeypatch):
    monkeypatch.setenv("CLUSTERSWEEP_STORAGE", "postgresql://me:hunter2@host/db")
    monkeypatch.setenv("PGPASSWORD", "hunter3")
    workers = RayWorkers(TASK, lambda: NOTHING, 8, token_file=token_file)
    try:
        while not workers.idle():
            workers.events(1.0)
        children = psutil.Process().children(recursive=True)
        environments = [child.environ() for child in children if child.is_running()]
        assert any("gcs_server" in child.name() for child in children)
        # Nothing that one launch has no use for: what passes logs on, makes a cluster grow, serves a dashboard.
        commands = [" ".join(child.cmdline()) for child in children if child.is_running()]
        assert not [one for one in commands if re.search(r"/(log_monitor|monitor|dashboard)\.py|ray::IDLE", one)]
        assert len(environments) > 4
        assert not [e for e in environments if "hunter" in str(e)]
        assert os.environ["PGPASSWORD"] == "hunter3"
        address = ray.get_runtime_context().gcs_address
        script = f"import ray; ray.init(address={address!r}, log_to_driver=False); print(ray.cluster_resources())"
        own = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        strangers = [
            subprocess.Popen([sys.executable, "-c", script], env=own | has, stdout=subprocess.PIPE, text=True)
            for has in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "guess"})
        ]
        for stranger in strangers:
            said, _ = stranger.communicate(timeout=100)
            assert stranger.returncode != 0
            assert "CPU" not in said
    finally:
        workers.close()


@pytest.mark.integration
def test_a_share_of_a_gpu_that_is_not_there_is_refused(token_file):
    try:
        with pytest.raises(WorkersError, match="one needs 1 CPU and 1 GPU, the cluster has .* and 0 GPU"):
            RayWorkers(TASK, lambda: NOTHING, 8, gpus_per_worker=1, token_file=token_file)
    finally:
        ray.shutdown()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("address", "says"), [("127.0.0.1:1", "Connection refused"), ("ray://head:10001", "an address is `host:port`")]
)
def test_a_cluster_that_does_not_answer_is_a_workers_error_that_names_it(token_file, address, says):
    with pytest.raises(WorkersError, match=rf"Ray does not answer at {address}: .*{says}.* Check --address"):
        RayWorkers(TASK, lambda: NOTHING, 8, address=address, token_file=token_file)


@pytest.mark.parametrize("raised", [Exception, RuntimeError])
@pytest.mark.parametrize(
    ("address", "says"),
    [
        (
            None,
            "this machine: The current node timed out during startup. Launch again when this machine has less to do",
        ),
        (
            "auto",
            "auto: The current node timed out during startup. Check --address, or leave it out to use this machine",
        ),
    ],
)
def test_a_machine_too_busy_for_ray_to_start_in_time_is_a_workers_error_without_a_trace(
    monkeypatch, token_file, address, says, raised
):
    def late(**given):
        raise raised("The current node timed out during startup.\nAnd more")  # as Ray says it, with no class of its own

    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # which a start on this machine sets, for this test alone
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token_file))
    monkeypatch.setattr(ray._raylet, "Config", SimpleNamespace(initialize=lambda text: None))
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(WorkersError) as refused:
        ray_cluster.connect(address, 8, token_file)
    assert str(refused.value) == f"Ray does not answer at {says}"


def test_a_fault_of_this_package_is_not_told_as_one_of_ray(monkeypatch, token_file):
    def wrong(**given):
        raise TypeError("no such argument")

    monkeypatch.setattr(ray, "init", wrong)
    with pytest.raises(TypeError):
        ray_cluster.connect("auto", 8, token_file)


# --- GPUs that Ray counts and TensorFlow does not see: what a workstation without CUDA's libraries is ----------------


@pytest.fixture
def blind(monkeypatch):
    """Have Ray count two GPUs and two CPUs on this machine, where TensorFlow sees no GPU."""
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 2, "GPU": 2}')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "17,18")  # which is none also where there is one
    yield
    ray.shutdown()


REMEDY = (
    r"Install it there with CUDA's libraries \(`make setup GPU=1`\) and check the driver \(`nvidia-smi`\), or ask for "
    r"CPUs with resources.gpus_per_worker: 0"
)


@pytest.mark.integration
def test_cpus_train_where_tensorflow_sees_no_gpu_and_that_is_told_with_the_remedy(
    clusters, token_file, tmp_path, blind, caplog
):
    timings = RayTimings(tell_after_s=0.0)  # workers that are on their way fill their own machine
    workers = RayWorkers(CLUSTERS, lambda: clusters, clusters.bytes, token_file=token_file, timings=timings)
    assert [node.gpus for node in nodes()] == [2]
    _, results = sweep(small_plan(tmp_path), workers, tmp_path)
    assert {device.kind for t in results.trials for r in t.replicates.values() for device in r.devices} == {"CPU"}
    [said] = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(rf"TensorFlow sees 0 of 2 GPUs on [\d.]+, so CPUs train\. {REMEDY}", said)


@pytest.mark.integration
def test_a_share_of_a_gpu_that_tensorflow_does_not_see_is_refused_with_the_remedy(token_file, blind):
    says = (
        "no room for a worker: one needs 1 CPU and 0.5 GPU, the cluster has 2 CPU and 0 GPU. .* "
        rf"TensorFlow sees 0 of 2 GPUs on [\d.]+\. {REMEDY}$"
    )
    with pytest.raises(WorkersError, match=says):
        RayWorkers(TASK, lambda: NOTHING, 8, gpus_per_worker=0.5, token_file=token_file)


@pytest.mark.integration
def test_a_worker_with_a_share_and_no_visible_gpu_is_an_error_with_the_remedy(clusters, token_file, tmp_path, blind):
    timings = RayTimings(count_gpus_s=0.01)  # nobody answers, and Ray is believed
    workers = RayWorkers(CLUSTERS, lambda: clusters, clusters.bytes, token_file=token_file, timings=timings)
    says = rf"a worker on \S+ was given 1 GPU, and TensorFlow sees none there\. {REMEDY}"
    with pytest.raises(WorkersError, match=f"^{says}$"):
        sweep(small_plan(tmp_path), workers, tmp_path)


def test_what_tensorflow_does_not_see_of_a_nodes_gpus_is_told_in_a_line():
    found = nodes_of([{"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 2.0}])
    seen = {"node-0": 1, "node-2": 2, "node-3": 0}
    assert [node.with_gpus(seen.get(node.identity)).gpus for node in found] == [1, 0, 1, 0]
    assert unseen_gpus(found, seen) == "TensorFlow sees 1 of 4 GPUs on 10.0.0.0, 0 of 2 GPUs on 10.0.0.3"
    assert unseen_gpus(found, {"node-2": 1}) == ""


def test_a_node_whose_gpus_tensorflow_does_not_see_is_left_alone_beside_one_where_it_does(monkeypatch, caplog):
    workers = RayWorkers.__new__(RayWorkers)
    vars(workers).update(_cpus=1, _limit=None, _lost_nodes=set(), _visible_gpus={}, _wait_s=0.0, _timings=RayTimings())
    asked = []
    module = "clustersweep.workers.ray_pool"
    monkeypatch.setattr(f"{module}.nodes", lambda: nodes_of([{"CPU": 4.0, "GPU": 2.0}, {"CPU": 4.0, "GPU": 2.0}]))
    monkeypatch.setattr(
        f"{module}.tensorflow_gpus", lambda asks, timings: asked.append(asks) or {"node-0": 0, "node-1": 2}
    )
    monkeypatch.setattr(f"{module}.fitting", lambda asks, answer_s: asks)
    assert [node.address for node in workers._first_room("auto", shared=True)] == ["10.0.0.1"]
    assert (workers._room, workers._gpu_share) == ({"node-1": 4}, 0.5)
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith("TensorFlow sees 0 of 2 GPUs on 10.0.0.0, and no other is used there. Install it there")
    assert told[1].startswith("no GPU, and so not used beside nodes with GPUs: 10.0.0.0.")
    assert len(told) == 2
    workers._first_room("auto", shared=True)
    workers._visible_gpus = {}
    workers._first_room(0, shared=True)
    assert len([asks for asks in asked if asks]) == 1  # nobody is asked twice, nor where CPUs are wanted


def test_a_node_that_joins_without_a_gpu_that_tensorflow_sees_is_told_and_left_alone(monkeypatch, caplog):
    workers = RayWorkers.__new__(RayWorkers)
    vars(workers).update(
        _actors=dict.fromkeys("abc"), _node_of={"a": "node-0", "b": "node-1", "c": "node-1"}, _failure="", _limit=None,
        _room={"node-0": 1, "node-1": 2}, _starting={1: "b", 2: "c"},
    )  # fmt: skip
    blind = ray.exceptions.RayTaskError(
        "prepare", "a trace\nof pages", WorkersError("TensorFlow sees no GPU on b. Mend it")
    )

    def get(ref):
        raise blind.as_instanceof_cause()

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "kill", lambda actor: None)
    workers._has_started(1)
    workers._has_started(2)
    assert (workers._room, [*workers._actors], workers._failure) == ({"node-0": 1, "node-1": 0}, ["a"], "")
    assert [record.getMessage() for record in caplog.records] == [
        "TensorFlow sees no GPU on b. Mend it. No more workers are started there"
    ]
    workers._starting = {3: "a"}
    workers._has_started(3)
    assert workers._failure == "TensorFlow sees no GPU on b. Mend it"  # nobody is left


# --- workers that take too much memory --------------------------------------------------------------------------

ATE_TOO_MUCH = {"kernel_size": 7, "conv_blocks": 1}


def hog(used_bytes, until_bytes, ended):
    """Workers that in the middle of one combination take memory until Ray ends them, or until a limit.

    In the middle of the others they wait until a file says that it has.
    """

    class Hog(ReplicateActor):
        def train(self, replicate, checkpoint):
            kept, patience = [], time.monotonic() + 60
            for event in super().train(replicate, checkpoint):
                yield event
                if not isinstance(event, EpochEnd) or event.epoch < EPOCHS // 3:
                    continue
                while replicate.trial.params == ATE_TOO_MUCH and used_bytes() < until_bytes:
                    kept.append(os.urandom(1) * 2**26)  # bytes that are no zeros take real memory
                while replicate.trial.params != ATE_TOO_MUCH and not ended.exists() and time.monotonic() < patience:
                    time.sleep(0.05)

    return Hog


@pytest.fixture
def hogs(monkeypatch, tmp_path):
    """Have Ray end a hog when a third of the memory that is free now is taken.

    Gives the class of such workers, and the file that is to say that one was ended.
    """
    from ray._private.utils import get_cgroup_mem_stats  # what Ray's monitor looks at

    def memory():
        whole = psutil.virtual_memory()
        return get_cgroup_mem_stats() or (whole.total - whole.available, whole.total)

    # Two of these at the same time, by two who test on one machine, would end each other's workers.
    with (Path(tempfile.gettempdir()) / f"clustersweep-test-memory-{os.getuid()}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        used, total = memory()
        free = total - used
        if free < 8 * 2**30:
            message = f"only {free / 2**30:.1f} GiB of memory are free: what runs beside would disturb"
            pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
        monkeypatch.setenv("RAY_memory_usage_threshold", str((used + free / 3) / total))
        monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
        yield hog(lambda: memory()[0], used + free * 2 / 3, tmp_path / "ended"), tmp_path / "ended"


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_what_ray_ends_for_its_memory_is_tried_once_more_alone_and_then_fails_with_the_reason(
    token_file, tmp_path, in_process, hogs
):
    actor, ended = hogs
    plan = arithmetic_plan(tmp_path, training=LONG, seeds=[0])
    workers = RayWorkers(TASK, lambda: NOTHING, 8, token_file=token_file, checkpoint_every_s=0.05, limit=2, actor=actor)
    seen, left, beside = [], {plan.replicate(trial, 0).key for trial in plan.trials}, []

    def on_event(event):
        seen.append(event)
        if isinstance(event, ReplicateBegan):
            left.add(event.replicate.key)
            if event.replicate.trial.params == ATE_TOO_MUCH:
                beside.append(left - {event.replicate.key})
        if isinstance(event, ReplicateDone | WorkerLost):  # Ray may end the younger one beside it, too
            left.discard(event.replicate.key)
        if isinstance(event, WorkerLost) and event.replicate.trial.params == ATE_TOO_MUCH:
            ended.touch()

    outcome, results = sweep(plan, workers, tmp_path, on_event)
    assert (outcome.finished, outcome.failed, outcome.aborted) == (3, 1, "")
    [failed] = [trial for trial in results.trials if trial.state == "failed"]
    assert failed.params == ATE_TOO_MUCH
    assert failed.replicates[0].signature == "ResourceExhaustedError"
    assert re.match(
        r"out of memory, also with nothing else training: .* low on memory.* where there is more memory \(--address\)",
        failed.replicates[0].error,
    )
    assert failed.replicates[0].epochs >= EPOCHS // 3
    assert [len(others) for others in beside] == [2, 0]  # once more, when nothing else trained or was to be trained
    began = [n.epoch for n in seen if isinstance(n, ReplicateBegan) and n.replicate.trial.params == ATE_TOO_MUCH]
    assert began[1] > began[0] == 0  # from its checkpoint
    others = {key: curve for key, curve in curves(results).items() if key[0] != tuple(ATE_TOO_MUCH.items())}
    assert others == {key: curve for key, curve in in_process.items() if key in others}
    assert len(others) == 2


@pytest.mark.integration
def test_a_worker_that_python_gives_no_memory_outside_the_training_is_told_as_out_of_memory(token_file, tmp_path):
    class Hungry(ReplicateActor):
        def train(self, replicate, checkpoint):
            yield from ()
            raise MemoryError

    workers = RayWorkers(TASK, lambda: NOTHING, 8, token_file=token_file, limit=1, actor=Hungry)
    axes = {"kernel_size": [3], "conv_blocks": [1]}
    plan, seen = arithmetic_plan(tmp_path, seeds=[0], search_space=axes), []
    _, results = sweep(plan, workers, tmp_path, seen.append)
    [failed] = [replicate for trial in results.trials for replicate in trial.replicates.values()]
    assert failed.signature == "ResourceExhaustedError"
    assert failed.error.startswith("out of memory, also with nothing else training: MemoryError. ")


@pytest.mark.integration
def test_what_does_not_fit_into_a_share_of_a_gpu_is_tried_alone_on_a_whole_one(
    token_file, tmp_path, in_process_in_short, blind, caplog
):
    class Capped(ReplicateActor):
        """As on a GPU's share: one network finds no memory in less than a whole one. It trains on CPUs, though."""

        def __init__(self, task, cpus, gpu_share, *others):
            super().__init__(task, cpus, 0.0, *others)
            self._whole = gpu_share == 1

        def train(self, replicate, checkpoint):
            if replicate.trial.params == ATE_TOO_MUCH and not self._whole:
                raise MemoryError
            yield from super().train(replicate, checkpoint)

    timings = RayTimings(count_gpus_s=0.01)  # nobody answers, and Ray is believed
    workers = RayWorkers(
        TASK, lambda: NOTHING, 8, gpus_per_worker=0.5, token_file=token_file, timings=timings, actor=Capped
    )
    seen, at_once = [], []

    def on_event(event):
        seen.append(event)
        if isinstance(event, ReplicateBegan) and event.replicate.trial.params == ATE_TOO_MUCH:
            at_once.append((len(workers._actors), workers._gpu_share, ray.available_resources().get("GPU", 0.0)))

    outcome, results = sweep(arithmetic_plan(tmp_path), workers, tmp_path, on_event)
    assert (outcome.finished, outcome.failed) == (3, 0)
    assert curves(results) == in_process_in_short
    assert at_once == [(1, 1.0, 1.0)] * 2  # both seeds, one after the other, on one worker with one of the two GPUs
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 0.5 GPU for a worker: what met it is trained once more, one replicate after another, on a "
        "whole GPU. resources.gpus_per_worker: 1 gives every worker one"
    ]


@pytest.mark.parametrize(
    ("beside", "says"), [({}, "3 workers in a row died .*: low on memory. Free"), ({"s": "w"}, "")]
)
def test_workers_that_find_no_memory_end_the_sweep_only_where_nobody_trains(monkeypatch, caplog, beside, says):
    workers = RayWorkers.__new__(RayWorkers)
    vars(workers).update(
        _actors=dict.fromkeys("abc"), _node_of=dict.fromkeys("abc", "node-0"), _answered=set(), _failed_starts=0,
        _failure="",
        _streams=beside, _short_of_memory=False, _lost_nodes=set(),
    )  # fmt: skip
    filled = []
    monkeypatch.setattr(workers, "_start_workers", lambda: filled.append(1), raising=False)
    monkeypatch.setattr(ray, "kill", lambda actor: None)
    monkeypatch.setattr("clustersweep.workers.ray_pool.nodes", lambda: nodes_of([ENOUGH]))
    for worker in "abc":
        workers._replace(worker, ray.exceptions.OutOfMemoryError("low on memory\nand pages more"))
    assert re.match(says or "$", workers._failure)
    # Beside others no new one is tried at once, and that is told once.
    assert (len(filled), len(caplog.records)) == ((0, 1) if beside else (2, 0))


@pytest.mark.gpu
def test_workers_share_the_gpus_of_a_machine_that_has_some(clusters, token_file, tmp_path):
    workers = RayWorkers(CLUSTERS, lambda: clusters, clusters.bytes, gpus_per_worker="auto", token_file=token_file)
    assert workers._gpu_share in {1.0, 1 / 2, 1 / 3, 1 / 4}
    outcome, _ = sweep(small_plan(tmp_path), workers, tmp_path)
    assert outcome.failed == 0


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


# --- clusters of several nodes, on this machine ---------------------------------------------------------------


@pytest.fixture
def cluster(token):
    """A Ray cluster with a head of one CPU, to which nodes can be added and from which they can be taken."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 200 * 2**20})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.integration
def test_a_launch_waits_for_room_on_a_full_cluster_says_so_and_goes_on_when_there_is_some(
    token_file, tmp_path, cluster, in_process_in_short, caplog
):
    timings = RayTimings(tell_after_s=1.0, start_s=1.0)
    workers = RayWorkers(TASK, lambda: NOTHING, 8, address=cluster.address, token_file=token_file, timings=timings)
    others = _Where.options(num_cpus=1).remote()  # stands for another launch, and came first:
    ray.kill(next(iter(workers._actors.values())))
    ray.get(others.gpus.remote())
    deadline = time.monotonic() + 60
    while not caplog.records:
        assert workers.events(0.2) == []
        assert time.monotonic() < deadline
    assert workers.idle() == ()
    [said] = [record.getMessage() for record in caplog.records]
    assert said == (
        "the cluster is full: one needs 1 CPU and 0 GPU, the cluster has 0 CPU and 0 GPU free. Waiting for others to "
        "finish, 10 min at most (--wait)"
    )
    ray.kill(others)
    outcome, results = sweep(arithmetic_plan(tmp_path), workers, tmp_path)
    assert (outcome.finished, outcome.failed) == (3, 0)
    assert curves(results) == in_process_in_short


@pytest.mark.integration
def test_a_launch_that_finds_no_room_on_a_full_cluster_as_long_as_it_was_told_to_wait_says_what_it_needs(
    token_file, cluster
):
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    others = _Where.options(num_cpus=1, lifetime="detached", name="others").remote()
    ray.get(others.gpus.remote())
    ray.shutdown()
    timings = RayTimings(tell_after_s=0.1, start_s=1.0)
    workers = RayWorkers(
        TASK, lambda: NOTHING, 8, address=cluster.address, token_file=token_file, wait_s=3.0, timings=timings
    )
    began = time.monotonic()
    try:
        with pytest.raises(
            WorkersError,
            match=r"no worker could be started in \d+ s: one needs 1 CPU and 0 GPU, the cluster has 0 CPU and 0 GPU "
            r"free\. Wait longer for others to finish \(--wait\), or name another cluster with --address",
        ):
            all(workers.events(0.2) == [] for _ in range(1000))
    finally:
        workers.close()
    assert time.monotonic() - began >= 3.0


@pytest.mark.integration
def test_a_launch_waits_for_machines_to_join_and_what_goes_wrong_meanwhile_is_told_at_once(token_file, cluster, caplog):
    def paused(seconds):
        raise OSError("no such catalogue")

    given = {"address": cluster.address, "cpus_per_worker": 2, "token_file": token_file}
    with pytest.raises(OSError, match="no such catalogue"):
        RayWorkers(TASK, lambda: NOTHING, 8, **given, pause=paused)
    [said] = [record.getMessage() for record in caplog.records]
    assert said == (
        "no room for a worker: one needs 2 CPU and 0 GPU, the cluster has 1 CPU and 0 GPU. Lower "
        "resources.cpus_per_worker or resources.gpus_per_worker, or name a larger cluster with --address. Waiting for "
        "machines to join, 10 min at most (--wait)"
    )
    with pytest.raises(WorkersError, match="no room for a worker: one needs 2 CPU and 0 GPU, the cluster has 1 CPU"):
        RayWorkers(TASK, lambda: NOTHING, 8, **given, wait_s=0.0)
    joined = []

    def join(seconds):
        joined.append(cluster.add_node(num_cpus=2, object_store_memory=200 * 2**20))

    workers = RayWorkers(TASK, lambda: NOTHING, 8, **given, pause=join)
    workers.close()
    assert len(joined) == 1


@pytest.mark.integration
def test_ray_on_this_machine_takes_no_more_cpus_than_the_workers_need(token_file):
    workers = RayWorkers(TASK, lambda: NOTHING, 8, token_file=token_file, limit=1)
    try:
        assert ray.cluster_resources()["CPU"] == 1
    finally:
        workers.close()


@pytest.mark.integration
def test_machines_that_join_are_used_and_one_that_leaves_costs_nothing_but_time(
    token_file, tmp_path, cluster, in_process
):
    plan = arithmetic_plan(tmp_path, training=LONG)
    workers = RayWorkers(
        TASK, lambda: NOTHING, 8, address=cluster.address, token_file=token_file, checkpoint_every_s=0.05,
        timings=RayTimings(look_every_s=0.5),
    )  # fmt: skip
    seen, joined, left = [], [], []

    def on_event(event):
        seen.append(event)
        if isinstance(event, EpochDone) and not joined:
            joined.append(cluster.add_node(num_cpus=1, object_store_memory=200 * 2**20))
        if isinstance(event, EpochDone) and event.worker != "worker-1" and event.event.epoch > 20 and not left:
            left.append(event.worker)
            cluster.remove_node(joined[0], allow_graceful=False)

    outcome, results = sweep(plan, workers, tmp_path, on_event)
    assert (outcome.finished, outcome.failed) == (3, 0)
    assert curves(results) == in_process
    assert left
    assert [event.worker for event in seen if isinstance(event, WorkerLost)] == left


@pytest.fixture
def late_to_notice(monkeypatch):
    """Have the head of a cluster that is started after this notice for minutes no node that is killed."""
    monkeypatch.setenv("RAY_health_check_period_ms", "200000")


def kill_node(node):
    """End a node as a plug that is pulled does: nobody says goodbye."""
    for pid in [one.process.pid for started in node.all_processes.values() for one in started]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.integration
def test_a_node_that_was_killed_and_that_ray_still_lists_costs_a_launch_nothing(
    token_file, tmp_path, late_to_notice, cluster, in_process_in_short, monkeypatch, caplog
):
    killed = cluster.add_node(num_cpus=1, object_store_memory=200 * 2**20)
    kill_node(killed)
    # From a machine that is none of the cluster's: its own node has never heard of the one that was killed.
    monkeypatch.setattr(ray_cluster, "folder_of_node_here", lambda address: None)
    timings = RayTimings(answer_s=15.0)
    workers = RayWorkers(TASK, lambda: NOTHING, 8, address=cluster.address, token_file=token_file, timings=timings)
    assert killed.node_id in {node.identity for node in ray_cluster.nodes()}
    outcome, results = sweep(arithmetic_plan(tmp_path), workers, tmp_path)
    assert (outcome.finished, outcome.failed) == (3, 0)
    assert curves(results) == in_process_in_short
    [said] = [record.getMessage() for record in caplog.records]
    assert re.match(
        r"the node .* is gone and not used: (cannot be asked: .* doesn't exist any more|does not answer)", said
    )


@pytest.mark.integration
def test_a_node_that_is_killed_under_its_workers_and_that_ray_still_lists_does_not_end_the_sweep(
    token_file, tmp_path, late_to_notice, cluster, in_process
):
    node = cluster.add_node(num_cpus=3, object_store_memory=200 * 2**20)
    workers = RayWorkers(
        TASK, lambda: NOTHING, 8, address=cluster.address, token_file=token_file, checkpoint_every_s=0.05,
        timings=RayTimings(look_every_s=0.5),
    )  # fmt: skip
    seen = []

    def on_event(event):
        seen.append(event)
        there = isinstance(event, EpochDone) and workers._node_of[event.worker] == node.node_id
        if there and event.event.epoch > 20 and not any(isinstance(one, WorkerLost) for one in seen):
            kill_node(node)
            seen.append(WorkerLost(event.worker, event.replicate, "killed by the test", again=True))

    outcome, results = sweep(arithmetic_plan(tmp_path, training=LONG), workers, tmp_path, on_event)
    assert (outcome.finished, outcome.failed) == (3, 0)
    assert curves(results) == in_process


@pytest.mark.integration
def test_a_cluster_that_loses_its_head_is_an_error_that_says_how_to_go_on(token_file, tmp_path, cluster):
    plan = arithmetic_plan(tmp_path, training={"epochs": 100000, "patience": 100000, "batch_size": 2})
    timings = RayTimings(look_every_s=0.5, head_patience_s=2.0)
    workers = RayWorkers(TASK, lambda: NOTHING, 8, address=cluster.address, token_file=token_file, timings=timings)
    killed = []

    def on_event(event):
        if isinstance(event, EpochDone) and not killed:
            killed.append(cluster.head_node.kill_gcs_server(check_alive=False))

    with pytest.raises(WorkersError, match=r"the head of the Ray cluster at .* does not answer .*ran is checkpointed"):
        sweep(plan, workers, tmp_path, on_event)


def test_a_machine_that_joins_without_fitting_is_told_once_and_left_alone(monkeypatch, caplog):
    workers = RayWorkers.__new__(RayWorkers)
    vars(workers).update(
        _head="127.0.0.1:1", _head_gone_since=None, _room={"node-0": 1}, _node_of={"worker-1": "node-0"}, _actors={},
        _data_bytes=1, _cpus=1, _gpu_share=0.0, _limit=None, _lost_nodes=set(), _visible_gpus={}, _timings=RayTimings(),
    )  # fmt: skip
    hired = []
    monkeypatch.setattr(workers, "_start_worker", hired.append, raising=False)
    module = "clustersweep.workers.ray_pool"
    monkeypatch.setattr(f"{module}.reach", lambda address: None)
    monkeypatch.setattr(f"{module}.nodes", lambda: nodes_of([ENOUGH, ENOUGH, ENOUGH]))
    monkeypatch.setattr(
        f"{module}.other_versions", lambda asked, answer_s: ({"node-1": "tensorflow 2.20.0 instead of 2.21.0"}, {})
    )
    for _ in range(2):
        workers._check_nodes()
        monkeypatch.setattr(workers, "_node_of", {"worker-1": "node-0", "a": "node-2", "b": "node-2"})
    assert hired == ["node-2", "node-2"]
    assert [record.getMessage() for record in caplog.records] == [
        "the node 10.0.0.1 that joined the cluster is not used: tensorflow 2.20.0 instead of 2.21.0"
    ]
