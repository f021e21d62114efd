"""Ray's actors and their in-process twin, with real Ray and TensorFlow."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray
from small_study import small_plan

from clustersweep.errors import WorkersError
from clustersweep.notices import EpochDone, ReplicateBegan, WorkerLost
from clustersweep.ray_workers import RayWorkers, _room
from clustersweep.run_folder import RunFolder
from clustersweep.storage import Storage
from clustersweep.sweep import Sweep
from clustersweep.training.data import prepare
from clustersweep.workers import InProcessWorkers

EPOCHS = 150
LONG = {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 2}  # long enough to be killed in the middle


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    log_mass = rng.normal(14.0, 0.4, 60)
    redshift = rng.uniform(0.1, 0.8, len(log_mass))
    images = rng.poisson(10 ** (log_mass - 14)[:, None, None, None], (60, 12, 12, 10)).astype(np.uint8)
    return prepare(images, log_mass, redshift, train=np.arange(40), validation=np.arange(40, 60), transform="sqrt")


@pytest.fixture(scope="module")
def token_file(tmp_path_factory):
    return tmp_path_factory.mktemp("ray") / "token"


def sweep(plan, workers, folder: Path, notify=lambda notice: None, **options):
    storage = Storage.in_memory()
    try:
        outcome = Sweep(plan, storage.begin(plan), storage, workers, RunFolder(folder), notify=notify, **options).run()
    finally:
        workers.close()
    return outcome, storage.results("small")


def curves(results):
    return {(tuple(t.params.items()), seed): r.curve for t in results.trials for seed, r in t.replicates.items()}


@pytest.fixture(scope="module")
def in_process(data, tmp_path_factory):
    """The losses of an undisturbed sweep in this process."""
    folder = tmp_path_factory.mktemp("in_process")
    outcome, results = sweep(small_plan(folder, training=LONG), InProcessWorkers(data), folder)
    assert outcome.finished == 3
    return curves(results)


# --- room on a cluster: arithmetic ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "expected"),
    [
        ([{"CPU": 4.0}], 1, "auto", (4, 0.0)),
        ([{"CPU": 5.0}], 2, "auto", (2, 0.0)),
        ([{"CPU": 16.0, "GPU": 2.0}], 1, "auto", (8, 0.25)),
        ([{"CPU": 3.0, "GPU": 2.0}], 1, "auto", (3, 0.25)),
        ([{"CPU": 16.0, "GPU": 2.0}], 1, 0, (16, 0.0)),
        ([{"CPU": 16.0, "GPU": 2.0}], 1, 0.6, (2, 0.6)),
        ([{"CPU": 16.0, "GPU": 4.0}], 1, 2, (2, 2.0)),
        ([{"CPU": 16.0, "GPU": 1.0}], 1, 0.1, (10, 0.1)),
        ([{"CPU": 6.0}, {"CPU": 6.0}], 4, "auto", (2, 0.0)),
        ([{"CPU": 8.0}, {"CPU": 2.0, "GPU": 1.0}], 1, "auto", (2, 0.25)),
    ],
)
def test_there_are_as_many_workers_as_the_cluster_has_room_for(nodes, cpus, gpus, expected):
    assert _room(nodes, cpus, gpus) == expected


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "says"),
    [
        ([{"CPU": 2.0}], 1, 1.0, "one needs 1 CPU and 1 GPU, the cluster has 2 CPU and 0 GPU"),
        ([{"CPU": 2.0}], 4, "auto", "one needs 4 CPU and 0 GPU, the cluster has 2 CPU and 0 GPU"),
    ],
)
def test_a_worker_that_does_not_fit_is_refused_and_the_error_says_what_the_cluster_has(nodes, cpus, gpus, says):
    with pytest.raises(WorkersError, match=f"no room for a worker: {says}. Lower resources"):
        _room(nodes, cpus, gpus)


# --- real workers ---------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_workers_on_ray_give_the_same_bits_as_this_process(data, token_file, tmp_path, in_process):
    workers = RayWorkers(lambda: data, data.bytes, token_file=token_file)
    _, results = sweep(small_plan(tmp_path, training=LONG), workers, tmp_path)
    assert curves(results) == in_process
    pids = {r.worker for t in results.trials for r in t.replicates.values()}
    assert len(pids) == min(os.cpu_count() or 1, 6)
    assert not any(name.endswith(f":{os.getpid()}") for name in pids)
    assert token_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.integration
def test_a_killed_workers_replicate_goes_on_elsewhere_and_gives_the_same_bits(data, token_file, tmp_path, in_process):
    workers = RayWorkers(lambda: data, data.bytes, token_file=token_file, checkpoint_every_s=0.05)
    pids, killed, notices = {}, [], []

    def notify(notice):
        notices.append(notice)
        if isinstance(notice, ReplicateBegan):
            pids[notice.worker] = notice.pid
        if isinstance(notice, EpochDone) and notice.event.epoch == EPOCHS // 2 and not killed:
            killed.append(notice.worker)
            os.kill(pids[notice.worker], signal.SIGKILL)

    outcome, results = sweep(small_plan(tmp_path, training=LONG), workers, tmp_path, notify)
    assert outcome.failed == 0
    assert curves(results) == in_process
    [lost] = [n for n in notices if isinstance(n, WorkerLost)]
    assert (lost.worker, lost.again) == (killed[0], True)
    began = [n for n in notices if isinstance(n, ReplicateBegan) and n.replicate.key == lost.replicate.key]
    assert began[0].epoch == 0
    assert began[-1].epoch > 0  # from its checkpoint, not from the start
    assert began[-1].worker != lost.worker
    assert len(began) == 2
    assert sum(isinstance(n, ReplicateBegan) for n in notices) == 7  # nothing else was trained twice


@pytest.mark.integration
def test_workers_that_are_asked_to_stop_hand_over_their_checkpoints(data, token_file, tmp_path, in_process):
    epochs = 2000
    plan = small_plan(tmp_path, training={"epochs": epochs, "patience": epochs})
    workers = RayWorkers(lambda: data, data.bytes, token_file=token_file)
    storage, files, seen = Storage.in_memory(), RunFolder(tmp_path), []
    started = time.monotonic()
    sweep_ = Sweep(
        plan, storage.begin(plan), storage, workers, files, notify=seen.append,
        stop=lambda: sum(isinstance(n, EpochDone) for n in seen) > 5,
    )  # fmt: skip
    try:
        outcome = sweep_.run()
    finally:
        workers.close()
    assert outcome.interrupted
    assert time.monotonic() - started < 60
    running = {n.replicate.key for n in seen if isinstance(n, ReplicateBegan)}
    assert {path.stem for path in (tmp_path / "checkpoints").iterdir()} == running


@pytest.mark.integration
def test_rays_processes_do_not_hold_the_databases_secrets_nor_let_in_who_has_no_token(data, token_file, monkeypatch):
    monkeypatch.setenv("CLUSTERSWEEP_STORAGE", "postgresql://me:hunter2@host/db")
    monkeypatch.setenv("PGPASSWORD", "hunter3")
    workers = RayWorkers(lambda: data, data.bytes, token_file=token_file)
    try:
        while not workers.idle():
            workers.events(1.0)
        children = psutil.Process().children(recursive=True)
        environments = [child.environ() for child in children if child.is_running()]
        assert any("gcs_server" in child.name() for child in children)
        assert len(environments) > 4
        assert not [e for e in environments if "hunter" in str(e)]
        assert os.environ["PGPASSWORD"] == "hunter3"
        address = ray.get_runtime_context().gcs_address
        script = f"import ray; ray.init(address={address!r}, log_to_driver=False); print(ray.cluster_resources())"
        for stranger in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "guess"}):
            env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | stranger
            done = subprocess.run(
                [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False, timeout=100
            )
            assert done.returncode != 0
            assert "CPU" not in done.stdout
    finally:
        workers.close()


@pytest.mark.integration
def test_a_share_of_a_gpu_that_is_not_there_is_refused(data, token_file):
    try:
        with pytest.raises(WorkersError, match="one needs 1 CPU and 64 GPU, the cluster has .* and 0 GPU"):
            RayWorkers(lambda: data, data.bytes, gpus_per_worker=64, token_file=token_file)
    finally:
        ray.shutdown()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("address", "says"), [("127.0.0.1:1", "Connection refused"), ("ray://head:10001", "an address is `host:port`")]
)
def test_a_cluster_that_does_not_answer_is_a_workers_error_that_names_it(data, token_file, address, says):
    with pytest.raises(WorkersError, match=rf"Ray does not answer at {address}: .*{says}.* Check --address"):
        RayWorkers(lambda: data, data.bytes, address=address, token_file=token_file)


@pytest.mark.gpu
def test_workers_share_the_gpus_of_a_machine_that_has_some(data, token_file, tmp_path):
    workers = RayWorkers(lambda: data, data.bytes, gpus_per_worker="auto", token_file=token_file)
    assert workers._gpu_share == 0.25
    outcome, _ = sweep(small_plan(tmp_path), workers, tmp_path)
    assert outcome.failed == 0
