"""A study that is small enough to be trained in a test, written as a file as a person would."""

from pathlib import Path
from typing import Any

import yaml

from clustersweep.masses.task import ClusterMasses
from clustersweep.study.plan import Plan, make_plan
from clustersweep.study.study import Study, read_study
from clustersweep.study.task import Tasks
from clustersweep.survey.dataset import Header
from clustersweep.survey.spec import DataSpec
from clustersweep.tasks import tasks

# What workers need to know where no study file is read.
CLUSTERS = ClusterMasses(data=DataSpec())

# At 12 pixels a second block of 7 x 7 kernels is impossible: 2 x 2 x 1 = 3 feasible combinations and 1 that is not.
SMALL: dict[str, Any] = {
    "study": "small",
    "data": {"simulate": {"clusters": 60, "seed": 1, "pixels": 12}},
    "search_space": {"kernel_size": [3, 7], "conv_blocks": [1, 2]},
    "network": {"filters": 4, "filters_step": 2, "dense_layers": 1, "dense_units": [8]},
    "training": {"epochs": 3, "patience": 3, "batch_size": 16},
    "seeds": [0, 1],
}

# What to change for six combinations of which three are one network: dropout acts between dense layers only.
DROPOUT: dict[str, Any] = {
    "search_space": {"kernel_size": None, "conv_blocks": None, "dense_layers": [1, 2], "dropout": [0.0, 0.3, 0.5]},
    "network": {"dense_layers": None, "dense_units": [8, 6]},
}


def small_definition(**changes: Any) -> dict[str, Any]:
    """Return the small study's content with some sections changed; dictionaries are merged, None removes a key."""
    merged = dict(SMALL)
    for name, value in changes.items():
        merged[name] = _merged(merged[name], value) if isinstance(value, dict) and name in merged else value
    return merged


def _merged(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = {**before, **changes}
    return {key: value for key, value in merged.items() if value is not None or key not in before}


def write_study(folder: Path, **changes: Any) -> Path:
    """Write the small study's file with some sections changed."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(small_definition(**changes), sort_keys=False))
    return path


def small_study(folder: Path, tasks: Tasks = tasks, **changes: Any) -> Study:
    """Load the small study with some sections changed."""
    return read_study(write_study(folder, **changes), tasks)


def small_plan(folder: Path, tasks: Tasks = tasks, **changes: Any) -> Plan:
    """Plan the small study with some sections changed, without its data."""
    return make_plan(small_study(folder, tasks, **changes), Header(60, (12, 12, 10), "data-digest", "a test"))
