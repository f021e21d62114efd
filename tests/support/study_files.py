"""Study files of a few lines, written as a person would."""

from pathlib import Path

from clustersweep.study.study import Study
from clustersweep.tasks import load_study

SMALLEST = {"study": "s", "data": "{simulate: {clusters: 100}}", "search_space": "{filters: [1, 2]}"}


def text(**sections: str) -> str:
    """The smallest study with some sections given otherwise; an empty one is left out."""
    return "".join(f"{key}: {value}\n" for key, value in (SMALLEST | sections).items() if value)


def load(folder: Path, content: str | bytes) -> Study:
    path = folder / "s.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_study(path)
