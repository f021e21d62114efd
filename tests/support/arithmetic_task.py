"""A task that does arithmetic instead of training: for tests and measurements of the engine, without TensorFlow.

Studies, plans, storage, the loop, Ray, files and reports are the real ones; what a network would take seconds for, this
tells at once, a loss that depends on the combination, the seed and the epoch alone. Run as a program it is
clustersweep's command line with this task in the place of cluster masses: `python arithmetic_task.py launch ...`.
"""

import json
import math
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clustersweep.masses import task as masses
from clustersweep.study.events import (
    DIVERGED,
    Checkpoint,
    DamagedCheckpointError,
    Device,
    EpochEnd,
    Event,
    Failed,
    Finished,
    Stopped,
)
from clustersweep.study.task import Axes
from clustersweep.training.effective import Specs
from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import TrainingSpec

DEVICE = Device("CPU", "arithmetic", 1, "float32", deterministic=True)
# An epoch takes so long for batches of one cluster, and less for larger ones, as real epochs do. A worker takes it from
# the launch, wherever it is: the module that is the program travels.
EPOCH_S = float(os.environ.get("ARITHMETIC_EPOCH_S", "0.02"))
AT_ONCE = "ARITHMETIC_AT_ONCE"


@dataclass(frozen=True)
class Nothing:
    """What there is to train on."""

    bytes: int = 8
    label_variance: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Arithmetic(masses.ClusterMasses):
    """The combinations of cluster masses; what is trained is arithmetic."""

    def load(  # type: ignore[override]
        self, axes: Axes, surveys: Path, progress: Callable[[int, int], None] | None = None
    ) -> Nothing:
        """Read nothing."""
        return Nothing()

    def trainers(  # type: ignore[override]
        self, data: Nothing, *, cpus: int, gpus: float | str, deterministic: bool
    ) -> "Trainers":
        """Prepare nothing."""
        return Trainers()

    def curve_of(self, checkpoint: bytes, key: str) -> Sequence[tuple[float, float]]:
        """See `Task`."""
        return _progress(checkpoint, key)["curve"]


class Trainers:
    """See `study.task.Trainers`."""

    gpu_share = 0.0

    def trainer(self, spec: Specs) -> "Trainer":
        """Return the trainer of a combination."""
        return Trainer(*spec)


class Trainer:
    """See `study.task.Trainer`. A learning rate of 100 and more diverges in the second epoch."""

    def __init__(self, network: NetworkSpec, training: TrainingSpec) -> None:
        self._training = training
        # Between 0 and 1, the same everywhere: Python's own hash is another in every process.
        self._quality = zlib.crc32(repr((network, training.optimizer, training.learning_rate)).encode()) / 2**32

    def replicate(
        self,
        seed: int,
        *,
        key: str,
        checkpoint: bytes | None,
        checkpoint_every_s: float,
        until: int | None = None,
        stop: Callable[[], bool],
    ) -> Iterator[Event]:
        """See `study.task.Trainer`."""
        curve, resumed, seconds = [], 0, 0.0
        if checkpoint is not None:
            try:
                before = _progress(checkpoint, key)
                curve, resumed, seconds = before["curve"], before["resumed"] + 1, before["seconds"]
            except DamagedCheckpointError:
                pass
        saved_at = time.monotonic()
        while len(curve) < self._training.epochs:
            epoch, took = len(curve) + 1, EPOCH_S / self._training.batch_size
            time.sleep(took)
            seconds += took
            if self._training.learning_rate >= 100 and epoch > 1:
                yield Failed(DIVERGED, f"the loss is not finite in epoch {epoch}")
                return
            value = 0.02 * (1 + self._quality) + 0.001 * math.sin(seed + 7 * self._quality) + 0.1 / epoch
            curve.append((0.9 * value, value))
            yield EpochEnd(epoch, *curve[-1], took, self._likelihood(value))
            stopping = stop() or (until is not None and epoch >= until)
            if stopping or time.monotonic() - saved_at >= checkpoint_every_s:
                saved_at = time.monotonic()
                state = {"key": key, "curve": curve, "resumed": resumed, "seconds": seconds}
                yield Checkpoint(epoch, json.dumps(state).encode(), tuple(curve))
            if stopping:
                yield Stopped()
                return
        yield Finished(
            val_loss=curve[-1][1], best_epoch=len(curve), epochs=len(curve), seconds=seconds, curve=tuple(curve),
            resumed=resumed, weights=b"weights", val_nll=self._likelihood(curve[-1][1]), devices=(DEVICE,),
        )  # fmt: skip

    def _likelihood(self, value: float) -> float | None:
        return -value if self._training.loss == "nll" else None


def _progress(checkpoint: bytes, key: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(checkpoint)
    except ValueError as error:
        raise DamagedCheckpointError(str(error)) from error
    if found["key"] != key:
        raise DamagedCheckpointError(f"belongs to replicate {found['key']}, not to {key}")
    found["curve"] = [(loss, val_loss) for loss, val_loss in found["curve"]]
    return found


def tasks(content: Mapping[str, Any]) -> type[Arithmetic]:
    """Return this task, whatever a study says."""
    return Arithmetic


def take_over() -> None:
    """Have this process train arithmetic, whatever a study says; in no time where the environment has AT_ONCE."""
    global EPOCH_S
    from clustersweep import tasks as chosen

    chosen.tasks = tasks  # type: ignore[assignment]
    EPOCH_S = 0.0 if AT_ONCE in os.environ else EPOCH_S


if __name__ == "__main__":
    from clustersweep.cli.main import main

    take_over()
    main()
