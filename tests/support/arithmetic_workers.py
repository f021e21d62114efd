"""Workers in this process that train arithmetic, as many as wanted, and go wrong where they are told to.

The task is `arithmetic_task`, run as a worker runs any: these only share out replicates, and add the faults.
"""

from arithmetic_task import Arithmetic, Nothing, tasks
from small_study import small_plan

from clustersweep.storage.store import Storage
from clustersweep.study.events import EpochEnd
from clustersweep.survey.spec import DataSpec
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.workers.protocol import Lost, ReplicateRunner

TASK, NOTHING = Arithmetic(data=DataSpec()), Nothing()
EPOCHS = 3  # of the small study


def arithmetic_plan(folder, **changes):
    """The small study's plan, with arithmetic to train."""
    return small_plan(folder, tasks, **changes)


class ArithmeticWorkers:
    """See `workers.Workers`; a checkpoint after every epoch.

    Args:
        count: How many.
        faults: `(seed, epoch, event)` or `(seed, epoch, event, params)`: the event is told instead of the end of that
            epoch of a replicate, once, and nothing after it.
    """

    def __init__(self, count=2, faults=()):
        self.faults = list(faults)
        self._idle = [f"worker-{i}" for i in range(1, count + 1)]
        self._streams = {}
        self._started = count
        self._runner = ReplicateRunner(
            TASK.trainers(NOTHING, cpus=1, gpus=0, deterministic=True), checkpoint_every_s=0.0
        )
        self.log = []
        self.made_alone = []  # after so many replicates
        self.on_share = False

    def idle(self):
        return tuple(self._idle)

    def start(self, worker, replicate, checkpoint, until=None):
        self._idle.remove(worker)
        self.log.append((worker, replicate))
        self._streams[worker] = self._train(replicate, checkpoint, until)

    def events(self, timeout_s):
        found = []
        for worker, stream in list(self._streams.items()):
            event = next(stream, None)
            if event is None:
                del self._streams[worker]
                self._idle.append(worker)
            else:
                found.append((worker, event))
            if isinstance(event, Lost):
                del self._streams[worker]
                self._started += 1
                self._idle.append(f"worker-{self._started}")
        return found

    def alone(self):
        self.made_alone.append(len(self.log))
        return self.on_share

    def stop(self):
        self._runner.stop()

    def close(self):
        pass

    def _train(self, replicate, checkpoint, until):
        for event in self._runner.train(replicate, checkpoint, until):
            fault = self._fault(replicate, event.epoch) if isinstance(event, EpochEnd) else None
            yield fault or event
            if fault:
                return

    def _fault(self, replicate, epoch):
        for fault in self.faults:
            seed, at, event = fault[:3]
            params = fault[3] if len(fault) > 3 else {}
            if (seed, at) == (replicate.seed, epoch) and params.items() <= replicate.trial.params.items():
                self.faults.remove(fault)
                return event
        return None


def losses(storage):
    """The value, of what failed None, and the curve of every replicate of the small study."""
    return {
        (tuple(sorted(trial.params.items())), seed): (getattr(result, "value", None), result.curve)
        for trial in storage.results("small").trials
        for seed, result in trial.replicates.items()
    }


def undisturbed(plan, folder):
    """The losses of a sweep to which nothing happens."""
    storage = Storage.in_memory(tasks)
    Sweep(plan, storage.begin(plan), storage, ArithmeticWorkers(1), RunFolder(folder / "undisturbed")).run()
    return losses(storage)
