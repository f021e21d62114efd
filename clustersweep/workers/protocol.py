"""What the sweep needs of those who train, and one worker in this process. Ray's are in `ray_pool`."""

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from clustersweep.study.events import Event
from clustersweep.study.results import Replicate
from clustersweep.training.data import TrainingData

if TYPE_CHECKING:  # TensorFlow is imported by the workers, not by the driver
    from clustersweep.training.engine import Trainer


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

    def start(self, worker: str, replicate: Replicate, checkpoint: bytes | None) -> None:
        """Give an idle worker a replicate."""

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


class Station:
    """What a worker is wherever it runs: the data in TensorFlow's memory and the combination compiled last."""

    def __init__(self, data: TrainingData, checkpoint_every_s: float) -> None:
        from clustersweep.training.engine import DeviceData

        self._data = DeviceData(data)
        self._every_s = checkpoint_every_s
        self._trainer: Trainer | None = None
        self._stop = threading.Event()

    def train(self, replicate: Replicate, checkpoint: bytes | None) -> Iterator[WorkerEvent]:
        """Train a replicate, from its checkpoint where there is one; yields what happens."""
        yield Began(socket.gethostname(), os.getpid())
        try:
            trainer = self._compiled(replicate)
        except Exception as error:  # a network that cannot be built is the combination's failure, not the worker's
            from clustersweep.training.engine import failed

            yield failed(error)
            return
        yield from trainer.replicate(
            replicate.seed,
            key=replicate.key,
            checkpoint=checkpoint,
            checkpoint_every_s=self._every_s,
            stop=self._stop.is_set,
        )

    def stop(self) -> None:
        """Have the replicate that is training stop at the end of its epoch."""
        self._stop.set()

    def _compiled(self, replicate: Replicate) -> "Trainer":
        from clustersweep.training.engine import Trainer, forget_networks

        wanted = (replicate.trial.network, replicate.trial.training)
        if self._trainer is None or (self._trainer.network, self._trainer.training) != wanted:
            self._trainer = None
            forget_networks()
            self._trainer = Trainer(*wanted, self._data)
        return self._trainer


class InProcessWorkers:
    """One worker in this process: for tests, and for debugging a network without Ray.

    `gpus_per_worker: auto` is a whole GPU where TensorFlow sees any.

    Raises:
        WorkersError: It is to have a GPU, and TensorFlow sees none.
    """

    def __init__(
        self,
        data: TrainingData,
        *,
        cpus: int = 1,
        gpus_per_worker: float | str = "auto",
        deterministic: bool = True,
        checkpoint_every_s: float = 10.0,
    ) -> None:
        from clustersweep.training.device import configure_device, gpu_for_auto

        self._gpu_share = float(gpu_for_auto() if isinstance(gpus_per_worker, str) else gpus_per_worker)
        configure_device(cpus, self._gpu_share, deterministic=deterministic)
        self._station = Station(data, checkpoint_every_s)
        self._running: Iterator[WorkerEvent] | None = None

    def idle(self) -> tuple[str, ...]:
        """See `Workers`."""
        return () if self._running else ("worker-1",)

    def start(self, worker: str, replicate: Replicate, checkpoint: bytes | None) -> None:
        """See `Workers`."""
        self._running = self._station.train(replicate, checkpoint)

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
        self._station.stop()

    def close(self) -> None:
        """See `Workers`."""
        self._running = None
