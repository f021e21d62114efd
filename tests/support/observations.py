"""A kind of settings file that no program has: what a telescope is to look at."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from annotated_types import Gt, Le, MaxLen, MinLen

from clustersweep.errors import ProblemsError
from clustersweep.settings.check import Seeds, checked
from clustersweep.settings.document import Fault, Json
from clustersweep.settings.reader import read_yaml
from clustersweep.settings.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Camera:
    exposure_s: Annotated[float, Gt(0), Le(3600)] = 60.0
    band: Literal["g", "r", "i"] = "r"
    shift: Annotated[tuple[int, ...], MinLen(2), MaxLen(2)] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Observation:
    target: Annotated[str, pydantic.Field(pattern=r"^[a-z0-9]{1,100}$")]
    camera: Camera = field(default_factory=Camera)
    nights: Annotated[tuple[int, ...], MinLen(1)] = (1,)
    wait: int | Literal["auto"] = "auto"
    cooled: bool = True
    seeds: Seeds = (0,)


SCHEMA = pydantic.TypeAdapter(pydantic.with_config(pydantic.ConfigDict(extra="forbid"))(Observation))
WORDS = Vocabulary(
    file="an observation",
    begin="Begin with `target: a-name`.",
    keys={
        "target": "What to look at.",
        "camera": "How.",
        "camera.exposure_s": "Seconds of one image.",
        "camera.band": "Colour.",
        "camera.shift": "Pixels from the middle.",
        "nights": "On which nights.",
        "wait": "Minutes before it begins.",
        "cooled": "Whether the camera is cold.",
        "seeds": "Of the simulation.",
    },
)


class ObservationError(ProblemsError):
    """An observation that cannot be made."""


def nothing_across(content: Json) -> Iterable[Fault]:
    """Find nothing wrong between keys."""
    return ()


def observed(folder: Path, text: str, across: Callable[[Json], Iterable[Fault]] = nothing_across) -> Any:
    """Read an observation's file.

    Raises:
        ObservationError: It is wrong.
    """
    path = folder / "o.yaml"
    path.write_text(text)
    return checked(read_yaml(path), SCHEMA, WORDS, across, ObservationError)


def refused(folder: Path, text: str, across: Callable[[Json], Iterable[Fault]] = nothing_across) -> list[str]:
    """Return what a person reads about an observation's file, a line each; nothing where it is fine."""
    try:
        observed(folder, text, across)
    except ObservationError as error:
        return [str(problem).removeprefix(f"{folder}/") for problem in error.problems]
    return []
