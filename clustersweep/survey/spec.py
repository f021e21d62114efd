"""Which data a study uses and how they are split. Plain values, read by `study.py`."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

SIMULATOR_VERSION = 1
"""To be raised with every change that gives other numbers, lest a cached survey be taken for a new one."""


@dataclass(frozen=True, kw_only=True)
class SimulateSpec:
    """A simulated survey, identified by what makes it: cluster i of a seed is always the same.

    `pixels` along each side of an image, which is 20 arcmin wide whatever their number.
    """

    clusters: Annotated[int, Ge(10), Le(10_000_000)]
    seed: Annotated[int, Ge(0), Lt(2**63)] = 42
    pixels: Annotated[int, Ge(4), Le(1024)] = 50

    @property
    def digest(self) -> str:
        """Digest of the recipe: 16 hexadecimal digits."""
        recipe = f"simulate {SIMULATOR_VERSION}: {self.clusters} clusters, seed {self.seed}, {self.pixels} pixels"
        return hashlib.sha256(recipe.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The data of a study: exactly one of `simulate` and `images` (with `catalogue`).

    `mass`, `redshift` and `identifier` name the catalogue's columns where they are not the known ones;
    `mass_unit` is the unit of the masses, where it is not that of the file or solar masses.
    `rebin` adds up squares of so many pixels; `transform` is applied to the counts.
    """

    simulate: SimulateSpec | None = None
    images: Path | None = None
    catalogue: Path | None = None
    mass: str | None = None
    redshift: str | None = None
    identifier: str | None = None
    mass_unit: str | None = None
    rebin: Annotated[int, Ge(1), Le(64)] = 1
    transform: Literal["none", "sqrt", "log1p"] = "sqrt"


@dataclass(frozen=True, kw_only=True)
class SplitSpec:
    """Shares of the data: `test` of all, then `validation` of what that leaves; 64/16/20 by default.

    `by: identifier` keeps rows with the same identifier (one halo, several realisations) in one part.
    """

    test: Annotated[float, Gt(0), Lt(1)] = 0.2
    validation: Annotated[float, Gt(0), Lt(1)] = 0.2
    seed: Annotated[int, Ge(0), Lt(2**32)] = 42
    by: Literal["cluster", "identifier"] = "cluster"


def with_absolute_paths(data: DataSpec, path: Path) -> DataSpec:
    """Return the data of the settings file `path` with absolute paths; relative ones start from its folder."""
    folder = path.absolute().parent
    images, catalogue = (file and folder / file for file in (data.images, data.catalogue))
    return replace(data, images=images, catalogue=catalogue)
