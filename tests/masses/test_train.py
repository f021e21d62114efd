"""What a training refuses before it takes any time, and by which command its model predicts."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from clustersweep.errors import DataError
from clustersweep.home import Home
from clustersweep.masses.train import predict_command, train_model
from clustersweep.training.network import NetworkSpec

CONFIGURATION = """\
format: clustersweep-training
version: 1
network: {filters: 2}
data: {images: survey.npz}
split: SPLIT
"""


class Nobody:
    """Watches a training that must not get so far as to tell anything."""

    @contextlib.contextmanager
    def step(self, text):
        raise AssertionError(text)
        yield

    def made(self, done, total):
        raise AssertionError

    def on_event(self, event):
        raise AssertionError

    def end(self):
        raise AssertionError


def train(folder, to, *, split="{}"):
    (folder / "c.yaml").write_text(CONFIGURATION.replace("SPLIT", split))
    return train_model(folder / "c.yaml", to, Home(folder / "home"), 1, Nobody(), device="cpu")


def test_a_folder_that_holds_something_else_is_refused_before_the_data_are_looked_at(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").write_text("precious")
    with pytest.raises(DataError, match="is there already and holds no training. Choose another folder with --to"):
        train(tmp_path, tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["thesis.tex"]


def test_a_split_by_identifiers_that_nobody_gave_is_refused_before_anything_is_prepared(tmp_path):
    np.savez(tmp_path / "survey.npz", images=np.ones((5, 8, 8, 2)), m500=np.full(5, 1e14), z=np.full(5, 0.1))
    with pytest.raises(DataError, match="identifier"):
        train(tmp_path, tmp_path / "model", split="{by: identifier}")
    assert not (tmp_path / "model").exists()


def test_the_command_that_predicts_asks_for_a_catalogue_where_the_network_takes_the_redshift():
    to = Path("my model")
    assert predict_command(to, NetworkSpec(redshift="head")) == (
        "clustersweep predict 'my model' IMAGES --catalogue CATALOGUE --to masses.fits"
    )
    assert predict_command(to, NetworkSpec()) == "clustersweep predict 'my model' IMAGES --to masses.fits"
