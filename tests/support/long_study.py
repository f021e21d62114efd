"""A study that trains by arithmetic, and waits: long enough for faults by hand, at next to no CPU time."""

from pathlib import Path

import arithmetic_task
import pytest
from arithmetic_task import tasks
from arithmetic_workers import ArithmeticWorkers
from chaos import STUDY

from clustersweep.storage.store import Storage
from clustersweep.study.plan import make_plan
from clustersweep.study.results import SweepResults
from clustersweep.study.study import read_study
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder

LONG = STUDY.replace("study: chaos", "study: long").replace("batch_size: 8", "batch_size: 1")


def on_one_machine(folder: Path, content: str = LONG) -> SweepResults:
    """Sweep a study here by arithmetic, without faults and without waiting."""
    path = folder / "long.yaml"
    path.write_text(content)
    study = read_study(path, tasks)
    plan, storage = make_plan(study, study.task.header(study.axes)), Storage.in_memory(tasks)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(arithmetic_task, "EPOCH_S", 0.0)
        Sweep(plan, storage.begin(plan), storage, ArithmeticWorkers(1), RunFolder(folder / "undisturbed")).run()
    return storage.results(study.name)
