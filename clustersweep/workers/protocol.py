"""What the sweep needs of those who train, and one worker in this process. Ray's are in `ray_pool`."""

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from clustersweep.study.events import Event, failure_of
from clustersweep.study.results import Replicate
from clustersweep.study.task import Data, Task, Trainers


@dataclass(frozen=True)
class Began:
    """A worker has taken a replicate up."""

    host: str
    pid: int


@dataclass(frozen=True)
class Lost:
    """A worker died; what it was training is to be continued elsewhere."""

    reason: str
    out_of_memory: bool = False


WorkerEvent = Began | Lost | Event


class Workers(Protocol):
    """What the sweep's loop needs of those who train."""

    def idle(self) -> tuple[str, ...]:
        """Name the workers that have nothing to do."""

    def start(self, worker: str, replicate: Replicate, checkpoint: bytes | None, until: int | None = None) -> None:
        """Give an idle worker a replicate, to be trained until an epoch; None: to its end."""

    def events(self, timeout_s: float) -> list[tuple[str, WorkerEvent]]:
        """Wait for events, and give them with the names of the workers that they come from."""

    def alone(self) -> bool:
        """Give whoever trains next all memory that a worker can have, as there was too little; nobody trains now.

        Return whether that is a share of a GPU's only.
        """

    def stop(self) -> None:
        """Ask every worker to hand over a checkpoint at the end of its epoch and to stop."""

    def close(self) -> None:
        """End the workers."""


class ReplicateRunner:
    """What a worker is wherever it runs: its task's trainers, and the wish to stop."""

    def __init__(self, trainers: Trainers, checkpoint_every_s: float) -> None:
        self._trainers = trainers
        self._checkpoint_every_s = checkpoint_every_s
        self._stop = threading.Event()

    def train(self, replicate: Replicate, checkpoint: bytes | None, until: int | None = None) -> Iterator[WorkerEvent]:
        """Train a replicate, from its checkpoint where there is one, until an epoch, if any; yields what happens."""
        yield Began(socket.gethostname(), os.getpid())
        try:
            trainer = self._trainers.trainer(replicate.trial.spec)
        except Exception as error:  # what cannot be built is the combination's failure, not the worker's
            yield failure_of(error)
            return
        yield from trainer.replicate(
            replicate.seed,
            key=replicate.key,
            checkpoint=checkpoint,
            checkpoint_every_s=self._checkpoint_every_s,
            until=until,
            stop=self._stop.is_set,
        )

    def stop(self) -> None:
        """Have the replicate that is training stop at the end of its epoch."""
        self._stop.set()


class InProcessWorkers:
    """One worker in this process: for tests, and for debugging a network without Ray.

    `gpus_per_worker: auto` is a whole GPU where TensorFlow sees any.

    Raises:
        WorkersError: It is to have a GPU, and TensorFlow sees none.
    """

    def __init__(
        self,
        task: Task,
        data: Data,
        *,
        cpus: int = 1,
        gpus_per_worker: float | str = "auto",
        deterministic: bool = True,
        checkpoint_every_s: float = 10.0,
    ) -> None:
        trainers = task.trainers(data, cpus=cpus, gpus=gpus_per_worker, deterministic=deterministic)
        self._gpu_share = trainers.gpu_share
        self._runner = ReplicateRunner(trainers, checkpoint_every_s)
        self._running: Iterator[WorkerEvent] | None = None

    def idle(self) -> tuple[str, ...]:
        """See `Workers`."""
        return () if self._running else ("worker-1",)

    def start(self, worker: str, replicate: Replicate, checkpoint: bytes | None, until: int | None = None) -> None:
        """See `Workers`."""
        self._running = self._runner.train(replicate, checkpoint, until)

    def events(self, timeout_s: float) -> list[tuple[str, WorkerEvent]]:
        """See `Workers`."""
        if self._running is None:
            return []
        event = next(self._running, None)
        if event is None:
            self._running = None
            return []
        return [("worker-1", event)]

    def alone(self) -> bool:
        """See `Workers`. A process cannot be given another share of a GPU than it began with."""
        return 0 < self._gpu_share < 1

    def stop(self) -> None:
        """See `Workers`."""
        self._runner.stop()

    def close(self) -> None:
        """See `Workers`."""
        self._running = None
