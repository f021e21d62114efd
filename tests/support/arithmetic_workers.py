"""Workers that answer by arithmetic instead of training: for tests of the loop and of what reads its results."""

import threading

from clustersweep.masses.task import tasks
from clustersweep.storage.store import Storage
from clustersweep.study.events import Checkpoint, EpochEnd, Finished, Stopped
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.training.files.checkpoint import Progress, pack_state, progress_of
from clustersweep.workers.protocol import Began, Lost

EPOCHS = 3


def loss(replicate, epoch):
    """A loss that depends on the replicate and the epoch only, as real ones do."""
    params = replicate.trial.params
    return 1.0 / (params["kernel_size"] + params["conv_blocks"] + replicate.seed + epoch)


class ArithmeticWorkers:
    """Workers that tell what training would, with a checkpoint after every epoch; `faults` make them misbehave."""

    def __init__(self, count=2, faults=()):
        self.faults = list(faults)  # (seed, epoch, event) told once instead of going on
        self._idle = [f"worker-{i}" for i in range(1, count + 1)]
        self._streams = {}
        self._hired = count
        self._stop = threading.Event()
        self.log = []
        self.made_alone = []  # after so many replicates
        self.on_share = False

    def idle(self):
        return tuple(self._idle)

    def start(self, worker, replicate, checkpoint):
        self._idle.remove(worker)
        self.log.append((worker, replicate))
        self._streams[worker] = self._train(replicate, checkpoint)

    def events(self, timeout_s):
        told = []
        for worker, stream in list(self._streams.items()):
            event = next(stream, None)
            if event is None:
                del self._streams[worker]
                self._idle.append(worker)
            else:
                told.append((worker, event))
            if isinstance(event, Lost):
                del self._streams[worker]
                self._hired += 1
                self._idle.append(f"worker-{self._hired}")
        return told

    def alone(self):
        self.made_alone.append(len(self.log))
        return self.on_share

    def stop(self):
        self._stop.set()

    def close(self):
        pass

    def _train(self, replicate, checkpoint):
        yield Began("host", 1)
        curve = list(progress_of(checkpoint, replicate.key).curve) if checkpoint else []
        resumed = int(checkpoint is not None)
        for epoch in range(len(curve) + 1, EPOCHS + 1):
            for fault in self.faults:
                seed, at, event = fault[:3]
                params = fault[3] if len(fault) > 3 else {}
                if (seed, at) == (replicate.seed, epoch) and params.items() <= replicate.trial.params.items():
                    self.faults.remove(fault)
                    yield event
                    return
            value = loss(replicate, epoch)
            curve.append((2 * value, value))
            yield EpochEnd(epoch, 2 * value, value, 0.01)
            progress = Progress(replicate.key, epoch, epoch, 0.01 * epoch, resumed, tuple(curve))
            yield Checkpoint(epoch, pack_state(progress, weights=[], best=[], optimizer=[]))
            if self._stop.is_set():
                yield Stopped()
                return
        best = min(range(EPOCHS), key=lambda i: curve[i][1])
        val_nll = -curve[best][1] if replicate.trial.spec[1].loss == "nll" else None
        yield Finished(curve[best][1], best + 1, EPOCHS, 0.01 * EPOCHS, tuple(curve), resumed, b"weights", val_nll)


def losses(storage):
    """The value and the curve of every replicate of the small study."""
    return {
        (tuple(sorted(trial.params.items())), seed): (result.value, result.curve)
        for trial in storage.results("small").trials
        for seed, result in trial.replicates.items()
    }


def undisturbed(plan, folder):
    """The losses of a sweep to which nothing happens."""
    storage = Storage.in_memory(tasks)
    Sweep(plan, storage.begin(plan), storage, ArithmeticWorkers(1), RunFolder(folder / "undisturbed")).run()
    return losses(storage)
