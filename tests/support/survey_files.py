"""A small survey as somebody's files in every format, good or damaged by a test."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.table import Table
from pyarrow import feather

from clustersweep.errors import DataError
from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.dataset import Dataset
from clustersweep.survey.formats.all import read_source

CLUSTERS = 12
SHAPE = (12, 6, 6, 3)
BANDS = ((0.25, 0.455), (0.455, 0.66), (0.66, 0.865))


class Files:
    """A good data set in every format; tests damage one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(6)
        self.images = rng.poisson(3.0, (CLUSTERS, 6, 6, 3)).astype(np.float64)
        self.columns = {
            "SRC_ID_IN": np.arange(CLUSTERS) + 100,
            "M500c": 10 ** rng.uniform(13.0, 15.0, CLUSTERS),
            "z": rng.uniform(0.05, 0.9, CLUSTERS),
        }

    def write(self, form: str) -> tuple[Path, Path]:
        """Write the data set and give the paths of images and catalogue."""
        if form == "lab":
            content = {"cluster": self.columns["SRC_ID_IN"].tolist(), "gsm_3dImgs": list(self.images)}
            (self.folder / "i.pickle").write_bytes(pickle.dumps(content))
            feather.write_feather(pa.table(self.columns), self.folder / "c.f")
            return self.folder / "i.pickle", self.folder / "c.f"
        if form == "npz":
            np.savez(self.folder / "i.npz", images=self.images, **self.columns)
            return self.folder / "i.npz", self.folder / "i.npz"
        fits.PrimaryHDU(self.images).writeto(self.folder / "i.fits", overwrite=True)
        Table(self.columns).write(self.folder / "c.fits", overwrite=True)
        return self.folder / "i.fits", self.folder / "c.fits"


def refused(paths: tuple[Path, Path], match: str, choice: ColumnNames | None = None) -> str:
    with pytest.raises(DataError, match=match) as info:
        read_source(*paths, choice or ColumnNames())
    assert info.value.exit_code == 2
    return str(info.value)


def make_columns(clusters: int = SHAPE[0], mass: str = "M500c", redshift: str = "z") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {
        "SRC_ID_IN": rng.permutation(clusters) + 10**12,
        mass: 10 ** rng.uniform(13.0, 15.0, clusters),
        redshift: rng.uniform(0.05, 0.9, clusters),
        "Lx_soft": rng.uniform(1e42, 1e45, clusters),
        "Name": np.array([f"cluster {i}" for i in range(clusters)]),
    }


def make_counts(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(5).poisson(3.0, shape).astype(np.float64)


def write_lab_files(folder: Path, images: np.ndarray, columns: dict[str, np.ndarray]) -> tuple[Path, Path]:
    """Write what the lab has: lists of float64 arrays in a pickle, and a feather table."""
    content = {"cluster": columns["SRC_ID_IN"].tolist(), "gsm_3dImgs": list(images)}
    (folder / "images.pickle").write_bytes(pickle.dumps(content))
    feather.write_feather(pa.table(columns), folder / "catalogue.f")
    return folder / "images.pickle", folder / "catalogue.f"


def same(one: Dataset, other: Dataset) -> None:
    assert np.array_equal(one.images, other.images)
    assert one.images.dtype == other.images.dtype
    assert np.array_equal(one.log_mass, other.log_mass)
    assert np.array_equal(one.redshift, other.redshift)
    assert np.array_equal(one.identifiers, other.identifiers)
    assert one.digest == other.digest
