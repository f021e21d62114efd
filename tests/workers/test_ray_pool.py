"""Ray's actors and their in-process twin, with real Ray; they train arithmetic where no network is needed."""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
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
from clustersweep.storage.store import Storage
from clustersweep.study.events import EpochEnd
from clustersweep.sweep.events import EpochDone, ReplicateBegan, ReplicateDone, WorkerLost
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.tasks import tasks
from clustersweep.workers import connection as ray_cluster
from clustersweep.workers.connection import (
    Node,
    nodes,
    room,
)
from clustersweep.workers.protocol import InProcessWorkers
from clustersweep.workers.ray_pool import RayWorkers, ReplicateActor
from clustersweep.workers.timings import RayTimings

EPOCHS = 100
LONG = {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 1}  # two seconds: long enough to be killed in the middle


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
    ask_for_token(monkeypatch, token_file)


def ask_for_token(monkeypatch, token_file):
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


def wait_for_idle(workers, count=1):
    """Have so many workers say that they are there."""
    deadline = time.monotonic() + 100
    while len(workers.idle()) < count:
        assert workers.events(1.0) == []
        assert time.monotonic() < deadline


def curves(results):
    return {(tuple(t.params.items()), seed): r.curve for t in results.trials for seed, r in t.replicates.items()}


def undisturbed(folder: Path, **training):
    """Return the losses of an undisturbed sweep in this process, whose epochs take no time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(arithmetic_task, "EPOCH_S", 0.0)
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


# --- room on a cluster: arithmetic ---------------------------------------------------------------------------


@pytest.mark.integration
def test_ray_leaves_no_gpu_idle_with_the_share_that_auto_chooses(token):
    with ray_cluster._no_idle_processes():
        ray.init(
            address="local", num_cpus=5, num_gpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
        )
    try:
        [node] = nodes()
        for slots, whole in ((4, True), (5, False)):  # four halves would leave one of three idle, five do not
            counts, share = room([Node(node.identity, node.address, {"CPU": float(slots), "GPU": 3.0})], 1, "auto")
            assert share == (1 if whole else 0.5)
            actors = [_Where.options(num_cpus=1, num_gpus=share).remote() for _ in range(sum(counts.values()))]
            used = {gpu for found in ray.get([actor.gpus.remote() for actor in actors]) for gpu in found}
            assert len(used) == 3, slots
            for actor in actors:
                ray.kill(actor)
    finally:
        ray.shutdown()


# --- real workers ---------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_workers_on_ray_give_the_same_bits_as_this_process(clusters, token_file, tmp_path):
    (tmp_path / "here").mkdir()
    axes = {"kernel_size": [3], "conv_blocks": [1, 2]}
    plan = small_plan(tmp_path, search_space=axes, seeds=[0], training={"epochs": 2})
    _, here = sweep(plan, InProcessWorkers(CLUSTERS, clusters), tmp_path / "here")
    workers = RayWorkers(CLUSTERS, lambda: clusters, clusters.bytes, token_file=token_file)
    count = min(available_cpus(), 2)
    wait_for_idle(workers, count)  # else one is done with all before the next has started
    _, results = sweep(plan, workers, tmp_path)
    assert curves(results) == curves(here)
    assert len(curves(here)) == 2
    pids = {r.worker for t in results.trials for r in t.replicates.values()}
    assert len(pids) == count
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
def test_workers_that_are_asked_to_stop_hand_over_their_checkpoints(token_file, tmp_path):
    plan = arithmetic_plan(tmp_path, training={"epochs": 2000, "patience": 2000, "batch_size": 1})
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
        wait_for_idle(workers)
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
    token_file, tmp_path, in_process_in_short, blind, caplog
):
    timings = RayTimings(tell_after_s=0.0)  # workers that are on their way fill their own machine
    workers = RayWorkers(TASK, lambda: NOTHING, 8, token_file=token_file, timings=timings)
    assert [node.gpus for node in nodes()] == [2]
    assert workers._gpu_share == 0
    _, results = sweep(arithmetic_plan(tmp_path), workers, tmp_path)
    assert curves(results) == in_process_in_short
    [said] = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(rf"TensorFlow sees 0 of 2 GPUs on [\d.]+, so CPUs train\. {REMEDY}", said)


@pytest.mark.integration
def test_a_worker_with_a_share_and_no_visible_gpu_is_an_error_with_the_remedy(
    clusters, token_file, tmp_path, blind, caplog
):
    timings = RayTimings(count_gpus_s=0.01)  # nobody answers, and Ray is believed
    workers = RayWorkers(CLUSTERS, lambda: clusters, clusters.bytes, token_file=token_file, limit=1, timings=timings)
    says = rf"a worker on \S+ was given 1 GPU, and TensorFlow sees none there\. {REMEDY}"
    with pytest.raises(WorkersError, match=f"^{says}$"):
        sweep(small_plan(tmp_path), workers, tmp_path)
    assert caplog.text.count("No more workers are started there") == 1


# --- workers that take too much memory --------------------------------------------------------------------------

ATE_TOO_MUCH = {"kernel_size": 7, "conv_blocks": 1}


def hog(used_bytes, until_bytes, ended):
    """Workers that in the middle of one combination take memory until Ray ends them, or until a limit.

    In the middle of the others they wait until a file says that it has.
    """

    class Hog(ReplicateActor):
        def train(self, replicate, checkpoint, until=None):
            kept, patience = [], time.monotonic() + 60
            for event in super().train(replicate, checkpoint, until):
                yield event
                if not isinstance(event, EpochEnd) or event.epoch < EPOCHS // 3:
                    continue
                while replicate.trial.params == ATE_TOO_MUCH and used_bytes() < until_bytes:
                    kept.append(b"1" * 2**26)  # bytes that are no zeros take real memory
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
        def train(self, replicate, checkpoint, until=None):
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

        def train(self, replicate, checkpoint, until=None):
            if replicate.trial.params == ATE_TOO_MUCH and not self._whole:
                raise MemoryError
            yield from super().train(replicate, checkpoint, until)

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


@pytest.mark.gpu
def test_workers_share_the_gpus_of_a_machine_that_has_some(clusters, token_file, tmp_path):
    workers = RayWorkers(CLUSTERS, lambda: clusters, clusters.bytes, gpus_per_worker="auto", token_file=token_file)
    assert workers._gpu_share in {1.0, 1 / 2, 1 / 3, 1 / 4}
    outcome, _ = sweep(small_plan(tmp_path), workers, tmp_path)
    assert outcome.failed == 0


# --- clusters of several nodes, on this machine ---------------------------------------------------------------


@contextlib.contextmanager
def started_cluster():
    """A Ray cluster with a head of one CPU, to which nodes can be added and from which they can be taken."""
    from ray.cluster_utils import Cluster

    with ray_cluster._no_idle_processes():
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 200 * 2**20})
        yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def lasting_cluster(token_file):
    """The cluster of all tests that leave its head alone."""
    with pytest.MonkeyPatch.context() as patched:
        ask_for_token(patched, token_file)
        with started_cluster() as cluster:
            yield cluster


@pytest.fixture
def cluster(token, lasting_cluster):
    """A cluster of a head with one CPU. What a test adds to it is taken away again."""
    yield lasting_cluster
    ray.shutdown()
    for node in list(lasting_cluster.worker_nodes):
        lasting_cluster.remove_node(node, allow_graceful=False)


@pytest.fixture
def own_cluster(token):
    """A cluster of a head with one CPU for one test, which may do to it what it likes."""
    with started_cluster() as cluster:
        yield cluster


def fill(workers):
    """Have somebody else take the only CPU of a cluster from the worker that has it."""
    others = _Where.options(num_cpus=1).remote()  # stands for another launch, and came first:
    ray.kill(next(iter(workers._actors.values())))
    ray.get(others.gpus.remote())
    return others


@pytest.mark.integration
def test_a_launch_waits_for_room_on_a_full_cluster_says_so_and_goes_on_when_there_is_some(
    token_file, tmp_path, cluster, in_process_in_short, caplog
):
    timings = RayTimings(tell_after_s=1.0, start_s=1.0)
    workers = RayWorkers(TASK, lambda: NOTHING, 8, address=cluster.address, token_file=token_file, timings=timings)
    others = fill(workers)
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
    timings = RayTimings(tell_after_s=0.1, start_s=1.0)
    workers = RayWorkers(
        TASK, lambda: NOTHING, 8, address=cluster.address, token_file=token_file, wait_s=3.0, timings=timings
    )
    began = time.monotonic()
    others = fill(workers)  # Ray ends an actor that nobody holds
    try:
        with pytest.raises(
            WorkersError,
            match=r"no worker could be started in \d+ s: one needs 1 CPU and 0 GPU, the cluster has 0 CPU and 0 GPU "
            r"free\. Wait longer for others to finish \(--wait\), or name another cluster with --address",
        ):
            all(workers.events(0.2) == [] for _ in range(1000))
    finally:
        workers.close()
        del others
    assert time.monotonic() - began >= 2.9


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
def test_a_node_that_is_killed_and_that_ray_still_lists_neither_ends_its_sweep_nor_costs_the_next_launch_anything(
    token_file, tmp_path, late_to_notice, own_cluster, in_process, in_process_in_short, monkeypatch, caplog
):
    node = own_cluster.add_node(num_cpus=2, object_store_memory=200 * 2**20)
    where = {"address": own_cluster.address, "token_file": token_file}
    timings = RayTimings(look_every_s=0.5)
    workers = RayWorkers(TASK, lambda: NOTHING, 8, **where, checkpoint_every_s=0.05, timings=timings)
    seen = []

    def on_event(event):
        seen.append(event)
        there = isinstance(event, EpochDone) and workers._roster.node_of[event.worker] == node.node_id
        if there and event.event.epoch > 20 and not any(isinstance(one, WorkerLost) for one in seen):
            kill_node(node)
            seen.append(WorkerLost(event.worker, event.replicate, "killed by the test", again=True))

    outcome, results = sweep(arithmetic_plan(tmp_path, training=LONG), workers, tmp_path, on_event)
    assert (outcome.finished, outcome.failed) == (3, 0)
    assert curves(results) == in_process
    assert any(isinstance(event, WorkerLost) for event in seen)
    # The next is from a machine that is none of the cluster's: its own node has never heard of the one that was killed.
    monkeypatch.setattr(ray_cluster, "folder_of_node_here", lambda address: None)
    caplog.clear()
    workers = RayWorkers(TASK, lambda: NOTHING, 8, **where, timings=RayTimings(answer_s=15.0))
    assert node.node_id in {node.identity for node in ray_cluster.nodes()}
    outcome, results = sweep(arithmetic_plan(tmp_path), workers, tmp_path / "next")
    assert (outcome.finished, outcome.failed) == (3, 0)
    assert curves(results) == in_process_in_short
    told = [record.getMessage() for record in caplog.records]
    [said] = [text for text in told if not text.startswith("the cluster is full")]  # where workers are slow to go
    assert re.match(
        r"the node .* is gone and not used: (cannot be asked: .* doesn't exist any more|does not answer)", said
    )


@pytest.mark.integration
def test_a_cluster_that_loses_its_head_is_an_error_that_says_how_to_go_on(token_file, tmp_path, own_cluster):
    plan = arithmetic_plan(tmp_path, training={"epochs": 100000, "patience": 100000, "batch_size": 1})
    timings = RayTimings(look_every_s=0.5, head_patience_s=2.0)
    workers = RayWorkers(TASK, lambda: NOTHING, 8, address=own_cluster.address, token_file=token_file, timings=timings)
    killed = []

    def on_event(event):
        if isinstance(event, EpochDone) and not killed:
            killed.append(own_cluster.head_node.kill_gcs_server(check_alive=False))

    with pytest.raises(WorkersError, match=r"the head of the Ray cluster at .* does not answer .*ran is checkpointed"):
        sweep(plan, workers, tmp_path, on_event)
