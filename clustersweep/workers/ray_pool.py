"""The door to Ray: long-lived actors that train replicates, on this machine or on a cluster."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clustersweep.errors import UNSEEN_GPU_REMEDY, WorkersError, first_line
from clustersweep.study.events import failure_of
from clustersweep.study.results import Replicate
from clustersweep.study.task import Data, Task
from clustersweep.words import duration
from clustersweep.workers.connection import (
    Connection,
    Node,
    NodeAffinitySchedulingStrategy,
    connect,
    fitting,
    is_gone,
    no_room_for,
    nodes,
    other_versions,
    ray,
    reach,
    require_no_problems,
    room,
    unfit_warnings,
)
from clustersweep.workers.gpus import gpu_warnings, tensorflow_gpus, to_be_asked, unseen_gpus
from clustersweep.workers.protocol import Lost, ReplicateRunner, WorkerEvent
from clustersweep.workers.roster import Death, GiveUp, Replace, Roster, Silence, Wait
from clustersweep.workers.timings import RayTimings

_HEAD_ANSWERS_S = 5.0  # to a connection: with the patience below what Ray itself has, a minute
# How long a cluster without room is waited for: machines may be on their way to it, and others end.
WAIT_S = 600.0

_log = logging.getLogger(__name__)


class ReplicateActor:
    """A worker's process on Ray. `train` streams; `stop` runs beside it in a group of its own."""

    def __init__(self, task: Task, cpus: int, gpu_share: float, checkpoint_every_s: float, deterministic: bool) -> None:
        self._trainers = functools.partial(task.trainers, cpus=cpus, gpus=gpu_share, deterministic=deterministic)
        self._checkpoint_every_s = checkpoint_every_s

    def prepare(self, data: Data) -> None:
        """Take the data; the worker is there when this returns.

        Raises:
            WorkersError: TensorFlow sees no GPU for it. Here, as Ray gives no cause of what fails before.
        """
        self._runner = ReplicateRunner(self._trainers(data), self._checkpoint_every_s)

    def train(self, replicate: Replicate, checkpoint: bytes | None, until: int | None = None) -> Iterator[WorkerEvent]:
        """Train a replicate; see `ReplicateRunner`."""
        yield from self._runner.train(replicate, checkpoint, until)

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]  # Ray is not read by mypy
    def stop(self) -> None:
        """Have the replicate that is training stop at the end of its epoch."""
        self._runner.stop()


class RayWorkers:
    """Actors on a Ray cluster, each training one replicate at a time.

    Args:
        task: What is trained.
        data: Gives the data; called when the workers are on their way, so that both are prepared side by side. They
            are shipped once, through Ray's object store.
        data_bytes: At least as much memory as the data take.
        address: A running cluster; None starts one on this machine.
        cpus_per_worker: Threads of each worker.
        gpus_per_worker: Share of a GPU for each, or `auto`.
        deterministic: Whether reruns on a GPU give the same bits; see `training.device`.
        limit: No more workers than this.
        token_file: Where the token of a cluster on this machine is kept, readable by its owner only.
        checkpoint_every_s: Least time between two checkpoints of a replicate.
        wait_s: How long to wait for room on a cluster that has none for any worker.
        pause: Lets so many seconds pass while there is no room yet; may raise what ends the wait.
        timings: How long workers and nodes are waited for, how often the cluster is looked at.
        actor: What a worker's process is.

    Raises:
        WorkersError: The cluster cannot be reached or has no room for one worker.
        ClusterSweepError: What `data` raises; the workers are gone then.
    """

    def __init__(
        self,
        task: Task,
        data: Callable[[], Data],
        data_bytes: int,
        *,
        address: str | None = None,
        cpus_per_worker: int = 1,
        gpus_per_worker: float | str = "auto",
        deterministic: bool = True,
        limit: int | None = None,
        token_file: Path,
        checkpoint_every_s: float = 10.0,
        wait_s: float = WAIT_S,
        pause: Callable[[float], object] = time.sleep,
        timings: RayTimings = RayTimings(),
        actor: type[ReplicateActor] = ReplicateActor,
    ) -> None:
        self._task, self._wait_s, self._pause = task, wait_s, pause
        self._timings, self._shared = timings, address is not None
        # Ray's restarts would lose what was being trained, and leave nobody to say so.
        self._remote = ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"control": 1})(actor)
        self._cpus, self._checkpoint_every_s = cpus_per_worker, checkpoint_every_s
        self._deterministic = deterministic
        self._roster = Roster(limit)
        self._visible_gpus: dict[str, int] = {}  # how many GPUs TensorFlow sees on nodes that were asked
        self._data: Any = None
        self._data_bytes = 0
        self._actors: dict[str, Any] = {}
        self._starting: dict[Any, str] = {}  # workers that have not said yet that they are there
        self._streams: dict[Any, str] = {}
        self._started = 0
        self._closing = threading.Lock()
        self._failure = ""
        self._waiting_since, self._told_full = time.monotonic(), False
        self._checked_nodes_at = time.monotonic()
        self._silence = Silence(timings.head_patience_s, time.monotonic())
        self._cluster: Connection | None = None
        try:
            most_cpus = None if limit is None else limit * cpus_per_worker
            self._cluster = connect(address, data_bytes, token_file, most_cpus)
            self._head = self._cluster.head
            used = self._first_room(gpus_per_worker, self._shared)
            self._start_workers()
            given = data()
            self._data_bytes = given.bytes
            require_no_problems(no_room_for(given.bytes, used), used)
            self._data = ray.put(given)
        except BaseException:
            self.close()
            raise
        for name, actor in self._actors.items():
            self._send_data(name, actor)
        self._waiting_since = time.monotonic()

    def idle(self) -> tuple[str, ...]:
        """See `workers.Workers`. One that Ray has not found room for yet is not idle."""
        busy = {*self._streams.values(), *self._starting.values()}
        return tuple(name for name in self._actors if name not in busy)

    def start(self, worker: str, replicate: Replicate, checkpoint: bytes | None, until: int | None = None) -> None:
        """See `workers.Workers`."""
        stream = self._actors[worker].train.options(num_returns="streaming").remote(replicate, checkpoint, until)
        self._streams[stream] = worker

    def events(self, timeout_s: float) -> list[tuple[str, WorkerEvent]]:
        """See `workers.Workers`. A worker that died is replaced.

        Raises:
            WorkersError: Workers die as soon as they are started, the cluster has no room for any, or it has lost its
                head.
        """
        if self._failure:
            raise WorkersError(self._failure)
        if time.monotonic() - self._checked_nodes_at > self._timings.look_every_s:
            self._check_nodes()
        waited_for = [*self._streams, *self._starting]
        if not waited_for:
            if not self._actors:
                time.sleep(timeout_s)
            self._check_room()
            return []
        ready, _ = ray.wait(waited_for, num_returns=len(waited_for), timeout=0, fetch_local=False)
        if not ready:
            ready, _ = ray.wait(waited_for, num_returns=1, timeout=timeout_s, fetch_local=False)
        found: list[tuple[str, WorkerEvent]] = []
        for told in ready:
            if told in self._starting:
                self._has_started(told)
            else:
                found += self._next_event(told)
        self._check_room()
        return found

    def _first_room(self, gpus: float | str, shared: bool) -> list[Node]:
        """Find out where there is room for workers, and return those nodes; a cluster's may be on their way yet.

        Args:
            gpus: Share of a GPU for each worker, or `auto`.
            shared: It is a cluster of several machines, whose nodes have to fit together.

        Raises:
            WorkersError: There is none, or nodes do not fit together.
        """
        deadline, told = time.monotonic() + (self._wait_s if shared else 0.0), False
        while True:
            counted = nodes()
            self._visible_gpus |= tensorflow_gpus(to_be_asked(counted, self._visible_gpus, gpus), self._timings)
            alive, unseen = self._alive(), unseen_gpus(counted, self._visible_gpus)
            try:
                counts, self._gpu_share = room(alive, self._cpus, gpus, limit=self._roster.limit)  # workers by node
            except WorkersError as error:
                problem = f"{error}. {unseen}. {UNSEEN_GPU_REMEDY}" if unseen else str(error)
                if time.monotonic() >= deadline:
                    raise WorkersError(problem) from None
            else:
                problem = "no machine of the cluster answers"
                used = [node for node in alive if counts[node.identity]]
                left = fitting(used, self._timings.answer_s) if shared else used
                self._roster.lost_nodes |= {node.identity for node in used if node not in left}
                self._roster.room = {node.identity: counts[node.identity] for node in left}
                if left:
                    for warning in gpu_warnings(alive, unseen, self._cpus, self._gpu_share):
                        _log.warning("%s", warning)
                    return left
            if not told:
                _log.warning("%s. Waiting for machines to join, %s at most (--wait)", problem, duration(self._wait_s))
                told = True
            self._pause(1.0)

    def _alive(self) -> list[Node]:
        """List the nodes that are there, with no more GPUs than TensorFlow sees where it was asked."""
        return [
            node.with_gpus(self._visible_gpus.get(node.identity))
            for node in nodes()
            if node.identity not in self._roster.lost_nodes
        ]

    def _has_started(self, ref: Any) -> None:
        """Note that a worker is there, or that it died on its way."""
        worker = self._starting.pop(ref)
        try:
            ray.get(ref)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, WorkersError):
                self._abandon_node(worker, str(cause))
            else:
                self._replace(worker, error)

    def _abandon_node(self, worker: str, why: str) -> None:
        """Start no more workers where one has no GPU that TensorFlow sees; those that train there stay."""
        ray.kill(self._actors.pop(worker))
        if self._roster.abandon_node_of(worker):
            _log.warning("%s. No more workers are started there", why)
        self._start_workers()
        if not self._actors:
            self._failure = why

    def _next_event(self, stream: Any) -> list[tuple[str, WorkerEvent]]:
        """Take one event from a worker; none at the end of its replicate."""
        worker = self._streams[stream]
        try:
            event = ray.get(next(stream))
        except StopIteration:
            del self._streams[stream]
            return []
        except ray.exceptions.RayTaskError as error:  # the worker lives, and its own code is at fault
            del self._streams[stream]
            return [(worker, failure_of(error.cause or error, str(error)))]
        except ray.exceptions.RayError as error:
            del self._streams[stream]
            self._replace(worker, error)
            return [(worker, Lost(first_line(error), isinstance(error, ray.exceptions.OutOfMemoryError)))]
        self._roster.answers(worker)
        return [(worker, event)]

    def _check_room(self) -> None:
        """Say so when nobody trains and Ray has found no room for anybody; as an error, next time, when that lasts."""
        if self._streams or len(self._starting) < len(self._actors):
            self._waiting_since, self._told_full = time.monotonic(), False
            return
        waited_s, patience_s = time.monotonic() - self._waiting_since, max(self._wait_s, self._timings.start_s)
        if waited_s < (patience_s if self._told_full else self._timings.tell_after_s):
            return
        free = ray.available_resources()
        cpus, gpus = free.get("CPU", 0.0), free.get("GPU", 0.0)
        needs = f"one needs {self._cpus} CPU and {self._gpu_share:g} GPU, the cluster has {cpus:g} CPU and {gpus:g} GPU"
        if waited_s >= patience_s:
            self._failure = (
                f"no worker could be started in {duration(waited_s)}: {needs} free. Wait longer for others to finish "
                "(--wait), or name another cluster with --address"
            )
        elif self._shared and (cpus < self._cpus or gpus < self._gpu_share):  # else its own workers, on their way
            until = f"Waiting for others to finish, {duration(self._wait_s)} at most (--wait)"
            _log.warning("the cluster is full: %s free. %s", needs, until)
            self._told_full = True

    def alone(self) -> bool:
        """See `workers.Workers`. Where workers share GPUs, one takes their place that has a whole one."""
        if not 0 < self._gpu_share < 1:
            return False
        _log.warning(
            "out of memory with %g GPU for a worker: what met it is trained once more, one replicate after another, on "
            "a whole GPU. resources.gpus_per_worker: 1 gives every worker one",
            self._gpu_share,
        )
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors, self._starting, self._streams = {}, {}, {}
        used = [node for node in self._alive() if self._roster.room.get(node.identity)]
        counts, self._gpu_share = room(used, self._cpus, 1, least=0)
        self._roster.leave_one(counts)
        self._waiting_since = time.monotonic()
        self._start_workers()
        return False

    def stop(self) -> None:
        """See `workers.Workers`."""
        for actor in self._actors.values():
            actor.stop.remote()

    def close(self) -> None:
        """See `workers.Workers`. Also ends the cluster where it was started for this sweep. Two may call it at once."""
        with self._closing:
            for actor in self._actors.values():
                ray.kill(actor)
            self._actors, self._streams = {}, {}
            if self._cluster is not None:
                self._cluster.close()
                self._cluster = None

    def _check_nodes(self) -> None:
        """Use machines that have joined the cluster, and forget those that have left it.

        Raises:
            WorkersError: The head is gone.
        """
        self._checked_nodes_at = time.monotonic()
        try:
            reach(self._head, timeout_s=_HEAD_ANSWERS_S)
        except OSError as error:
            if self._silence.means_gone(time.monotonic()):
                raise WorkersError(
                    f"the head of the Ray cluster at {self._head} does not answer any more: {error}. Start the cluster "
                    "again and launch again: what ran is checkpointed"
                ) from None
            return
        self._silence.answers(time.monotonic())
        alive = {node.identity: node for node in self._alive()}
        new = [node for identity, node in alive.items() if identity not in self._roster.room]
        counts = room(new, self._cpus, self._gpu_share, least=0)[0]
        joined = [alive[identity] for identity, count in counts.items() if count]  # others are launches' own, and heads
        others, gone = other_versions(joined, self._timings.answer_s) if joined else ({}, {})
        problems = others | gone | no_room_for(self._data_bytes, joined)
        for warning in unfit_warnings(joined, problems):
            _log.warning("%s", warning)
        counts |= dict.fromkeys(problems, 0)
        self._roster.see_nodes(alive, counts)
        self._start_workers()

    def _start_workers(self) -> None:
        """Hire workers where there is room for more."""
        for node in self._roster.vacancies():
            self._start_worker(node)

    def _start_worker(self, node: str) -> None:
        self._started += 1
        name = f"worker-{self._started}"
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        options = self._remote.options(num_cpus=self._cpus, num_gpus=self._gpu_share, scheduling_strategy=here)
        self._actors[name] = options.remote(
            self._task, self._cpus, self._gpu_share, self._checkpoint_every_s, self._deterministic
        )
        self._roster.hire(name, node)
        if self._data is not None:
            self._send_data(name, self._actors[name])

    def _send_data(self, name: str, actor: Any) -> None:
        """Have a worker take the data; it is there when it has."""
        self._starting[actor.prepare.remote(self._data)] = name

    def _replace(self, worker: str, error: ray.exceptions.RayError) -> None:
        """Do about a worker that died what the roster says."""
        ray.kill(self._actors.pop(worker))
        out_of_memory = isinstance(error, ray.exceptions.OutOfMemoryError)
        death = Death(
            first_line(error) if out_of_memory else str(error),
            out_of_memory,
            others_train=bool(self._streams),
            node_is_there=not is_gone(error) and self._roster.node_of[worker] in {one.identity for one in nodes()},
        )
        match self._roster.dies(worker, death):
            case Replace():
                self._start_workers()
            case Wait(warning):  # `_check_nodes` tries again
                if warning:
                    _log.warning("%s", warning)
            case GiveUp(why):  # raised by the next `events`: what others have told in this one must not be lost
                self._failure = why
