"""A study that names a function, written as a person would, and what is wrong with it."""

import pytest
import yaml

from clustersweep.errors import StudyError
from clustersweep.tasks import load_study

OWN = {
    "study": "own",
    "task": "nets:train",
    "settings": {"epochs": 5, "layers": [1, {"a": None}]},
    "search_space": {"width": [1, 2, 4], "kind": ["b", "a"], "rate": [1, 0.5], "bias": [True, False]},
    "objective": {"metric": "accuracy", "unit": "%", "direction": "maximize"},
}


def write(folder, code="def train(run):\n    pass\n", **changes):
    (folder / "nets.py").write_text(code)
    content = {key: value for key, value in {**OWN, **changes}.items() if value is not None}
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def study(folder, **changes):
    return load_study(write(folder, **changes))


def problems(folder, **changes):
    path = write(folder, **changes)
    with pytest.raises(StudyError) as refused:
        load_study(path)
    return [str(problem).removeprefix(f"{path}:") for problem in refused.value.problems]
