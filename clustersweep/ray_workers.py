"""The door to Ray: long-lived actors that train replicates, on this machine or on a cluster."""

import contextlib
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Ray prints a page about every worker that dies, whatever the log level; the sweep says so itself, in a line.
# Read when Ray is imported.
os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = "A worker died or was killed"

import ray
import ray.exceptions

from clustersweep.errors import WorkersError
from clustersweep.training.data import TrainingData
from clustersweep.training.events import Failed
from clustersweep.trial import Replicate
from clustersweep.workers import Lost, Station, WorkerEvent

# Workers that share a GPU when `gpus_per_worker` is `auto`: small networks leave most of one idle.
AUTO_WORKERS_PER_GPU = 4
# So many workers in a row that die without having told anything mean that no worker can start.
MAX_STILLBORN = 3
# How long a sweep waits for a cluster that is full, before it says so and ends.
START_PATIENCE_S = 600.0
# Variables that hold or name secrets of the database: no business of Ray's processes, which inherit the driver's.
SECRETS = ("CLUSTERSWEEP_STORAGE", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE")


class _Actor:
    """A worker's process. `train` streams; `stop` runs beside it in a group of its own."""

    def __init__(self, cpus: int, gpu_share: float, checkpoint_every_s: float) -> None:
        from clustersweep.training.device import configure_device

        configure_device(cpus, gpu_share)
        self._every_s = checkpoint_every_s

    def take(self, data: TrainingData) -> None:
        """Take the data; the worker is there when this returns."""
        self._station = Station(data, self._every_s)

    def train(self, replicate: Replicate, checkpoint: bytes | None) -> Iterator[WorkerEvent]:
        yield from self._station.train(replicate, checkpoint)

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]  # Ray is not read by mypy
    def stop(self) -> None:
        self._station.stop()


_REMOTE = ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"control": 1})(_Actor)


class RayWorkers:
    """Actors on a Ray cluster, each training one replicate at a time.

    Args:
        data: Gives the data; called when the workers are on their way, so that both are prepared side by side. They
            are shipped once, through Ray's object store.
        data_bytes: At least as much memory as the data take.
        address: A running cluster; None starts one on this machine.
        cpus_per_worker: Threads of each worker.
        gpus_per_worker: Share of a GPU for each, or `auto`.
        limit: No more workers than this.
        token_file: Where the token of a cluster on this machine is kept, readable by its owner only.
        checkpoint_every_s: Least time between two checkpoints of a replicate.

    Raises:
        WorkersError: The cluster cannot be reached or has no room for one worker.
        ClusterSweepError: What `data` raises; the workers are gone then.
    """

    def __init__(
        self,
        data: Callable[[], TrainingData],
        data_bytes: int,
        *,
        address: str | None = None,
        cpus_per_worker: int = 1,
        gpus_per_worker: float | str = "auto",
        limit: int | None = None,
        token_file: Path,
        checkpoint_every_s: float = 10.0,
    ) -> None:
        _connect(address, data_bytes, token_file)
        self._cpus, self._every_s = cpus_per_worker, checkpoint_every_s
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        count, self._gpu_share = _room(nodes, cpus_per_worker, gpus_per_worker)
        self._data: Any = None
        self._actors: dict[str, Any] = {}
        self._starting: dict[Any, str] = {}  # workers that have not said yet that they are there
        self._streams: dict[Any, str] = {}
        self._hired = 0
        self._proven: set[str] = set()  # workers that have told something
        self._stillborn = 0
        self._broken = ""
        self._waiting_since = time.monotonic()
        for _ in range(min(count, limit or count)):
            self._hire()
        try:
            self._data = ray.put(data())
        except BaseException:
            self.close()
            raise
        for name, actor in self._actors.items():
            self._give(name, actor)

    def idle(self) -> tuple[str, ...]:
        """See `workers.Workers`. One that Ray has not found room for yet is not idle."""
        busy = {*self._streams.values(), *self._starting.values()}
        return tuple(name for name in self._actors if name not in busy)

    def start(self, worker: str, replicate: Replicate, checkpoint: bytes | None) -> None:
        """See `workers.Workers`."""
        stream = self._actors[worker].train.options(num_returns="streaming").remote(replicate, checkpoint)
        self._streams[stream] = worker

    def events(self, timeout_s: float) -> list[tuple[str, WorkerEvent]]:
        """See `workers.Workers`. A worker that died is replaced.

        Raises:
            WorkersError: Workers die as soon as they are started, or the cluster has no room for any.
        """
        if self._broken:
            raise WorkersError(self._broken)
        waited_for = [*self._streams, *self._starting]
        if not waited_for:
            return []
        ready, _ = ray.wait(waited_for, num_returns=len(waited_for), timeout=0, fetch_local=False)
        if not ready:
            ready, _ = ray.wait(waited_for, num_returns=1, timeout=timeout_s, fetch_local=False)
        found: list[tuple[str, WorkerEvent]] = []
        for told in ready:
            if told in self._starting:
                self._arrived(told)
            else:
                found += self._told(told)
        self._check_room()
        return found

    def _arrived(self, ref: Any) -> None:
        """Note that a worker is there, or that it died on its way."""
        worker = self._starting.pop(ref)
        try:
            ray.get(ref)
        except ray.exceptions.RayError as error:
            self._replace(worker, error)

    def _told(self, stream: Any) -> list[tuple[str, WorkerEvent]]:
        """Take one event from a worker; none at the end of its replicate."""
        worker = self._streams[stream]
        try:
            event = ray.get(next(stream))
        except StopIteration:
            del self._streams[stream]
            return []
        except ray.exceptions.RayTaskError as error:  # the worker lives, and its own code is at fault
            del self._streams[stream]
            return [(worker, Failed(type(error.cause).__name__, str(error.cause), str(error)))]
        except ray.exceptions.RayError as error:
            del self._streams[stream]
            self._replace(worker, error)
            return [(worker, Lost(_first_line(error), isinstance(error, ray.exceptions.OutOfMemoryError)))]
        self._proven.add(worker)
        self._stillborn = 0
        return [(worker, event)]

    def _check_room(self) -> None:
        """Say so, next time, when nobody trains and Ray has found no room for anybody for minutes."""
        if self._streams or len(self._starting) < len(self._actors):
            self._waiting_since = time.monotonic()
        elif time.monotonic() - self._waiting_since > START_PATIENCE_S:
            free = ray.available_resources()
            self._broken = (
                f"no worker could be started in {START_PATIENCE_S:.0f} s: one needs {self._cpus} CPU and "
                f"{self._gpu_share:g} GPU, the cluster has {free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU "
                "free. Wait for others to finish, or name another cluster with --address"
            )

    def stop(self) -> None:
        """See `workers.Workers`."""
        for actor in self._actors.values():
            actor.stop.remote()

    def close(self) -> None:
        """See `workers.Workers`. Also ends the cluster where it was started for this sweep."""
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors, self._streams = {}, {}
        ray.shutdown()

    def _hire(self) -> None:
        self._hired += 1
        name = f"worker-{self._hired}"
        options = _REMOTE.options(num_cpus=self._cpus, num_gpus=self._gpu_share)
        self._actors[name] = options.remote(self._cpus, self._gpu_share, self._every_s)
        if self._data is not None:
            self._give(name, self._actors[name])

    def _give(self, name: str, actor: Any) -> None:
        """Have a worker take the data; it is there when it has."""
        self._starting[actor.take.remote(self._data)] = name

    def _replace(self, worker: str, error: ray.exceptions.RayError) -> None:
        ray.kill(self._actors.pop(worker))
        if worker not in self._proven:
            self._stillborn += 1
        if self._stillborn >= MAX_STILLBORN:
            # Raised by the next `events`: what others have told in this one must not be lost.
            self._broken = f"{self._stillborn} workers in a row died before they trained anything: {error}"
        else:
            self._hire()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _make_token(path: Path) -> None:
    """Make the token that Ray's processes ask of one another, once; only its owner can read it."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent)  # mode 0600
    with open(handle, "w") as file:
        file.write(secrets.token_hex(32))
    with contextlib.suppress(FileExistsError):
        os.link(beside, path)  # never half a token, and never another than a launch beside this one reads
    os.unlink(beside)


@contextlib.contextmanager
def _without_secrets() -> Iterator[None]:
    """Keep the database's secrets from processes that are started meanwhile."""
    kept = {name: os.environ.pop(name) for name in SECRETS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _connect(address: str | None, data_bytes: int, token_file: Path) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # else `uv run` makes a new environment for every worker
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    try:
        if address is None:
            # Ray listens on all interfaces, even for this machine alone: nobody gets in without the token.
            _make_token(token_file)
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ["RAY_AUTH_TOKEN_PATH"] = str(token_file)
            # Ray has read its environment when it was imported; this is how it reads it again itself.
            ray._raylet.Config.initialize("")
            # The default takes 30 % of the memory for objects; the data are all that goes there.
            with _without_secrets():
                ray.init(address="local", object_store_memory=256 * 2**20 + data_bytes, **quiet)
        else:
            _reach(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        where = address or "this machine"
        raise WorkersError(
            f"Ray does not answer at {where}: {str(error).strip().splitlines()[0]}. "
            "Check --address, or leave it out to use this machine"
        ) from None


def _reach(address: str) -> None:
    """Fail within seconds where nothing listens; Ray itself would try for minutes.

    Raises:
        OSError: Nothing answers, or it is no address.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        raise OSError("an address is `host:port` of the cluster's head (6379 as a rule), or `auto`")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
        pass


def _room(nodes: list[dict[str, float]], cpus: int, gpus: float | str) -> tuple[int, float]:
    """Give the number of workers that a cluster's nodes have room for, and the share of a GPU that each takes.

    Raises:
        WorkersError: Not even one fits on any node.
    """
    has_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    share = gpus if isinstance(gpus, float | int) else (1 / AUTO_WORKERS_PER_GPU if has_gpus else 0.0)
    count = 0
    for node in nodes:  # a worker never stands on two
        fit = int(node.get("CPU", 0.0) // cpus)
        if share > 0:
            # A share above one half leaves room for one worker on each GPU; Ray never splits one over two.
            node_gpus = node.get("GPU", 0.0)
            fit = min(fit, int(node_gpus) * int(1 / share) if share <= 1 else int(node_gpus // share))
        count += fit
    if count < 1:
        has = " + ".join(f"{node.get('CPU', 0):g} CPU and {node.get('GPU', 0):g} GPU" for node in nodes)
        raise WorkersError(
            f"no room for a worker: one needs {cpus} CPU and {share:g} GPU, the cluster has {has}. Lower "
            "resources.cpus_per_worker or resources.gpus_per_worker, or name a larger cluster with --address"
        )
    return count, float(share)
