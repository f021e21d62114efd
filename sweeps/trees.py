"""Gradient-boosted trees on the photometry of clusters: what a CNN on the same images has to beat.

What they see of a cluster is its counts in each energy band, in the whole image or in rings around its middle, and its
redshift where the combination says so. The validation part is that of the CNNs' studies with the same `data` and
`split`, and so `val_loss` can be compared with theirs.
"""

import functools
import getpass
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from clustersweep.survey.source import open_dataset
from clustersweep.survey.spec import DataSpec, SimulateSpec, SplitSpec
from clustersweep.survey.split import make_split

RINGS = (0.0, 0.075, 0.15, 0.25, 0.5)  # edges, as shares of the image's width


def train(run):
    """Fit one ensemble, and report how good it is with every tree."""
    images, log_mass, redshift, train_rows, validation_rows = survey(json.dumps(run.settings, sort_keys=True))
    seen = photometry(images, RINGS if run.params["counts"] == "rings" else (0.0, 1.0))
    if run.params["redshift"]:
        seen = np.column_stack([seen, redshift])
    trees = HistGradientBoostingRegressor(
        learning_rate=run.params["learning_rate"],
        max_leaf_nodes=run.params["max_leaf_nodes"],
        max_iter=run.settings["trees"],
        max_features=0.5,  # each split chooses among half of them: that is what the seed decides
        early_stopping=False,
        random_state=run.seed,
    )
    trees.fit(seen[train_rows], log_mass[train_rows])
    stages = zip(trees.staged_predict(seen[train_rows]), trees.staged_predict(seen[validation_rows]), strict=True)
    for number, (fitted, predicted) in enumerate(stages, start=1):
        loss = np.mean((fitted - log_mass[train_rows]) ** 2)
        val_loss = np.mean((predicted - log_mass[validation_rows]) ** 2)
        run.report(number, loss=loss, val_loss=val_loss)


@functools.cache  # once a worker, however many combinations it trains
def survey(settings):
    """Return images, log10 M500c, redshifts, and the rows that train and that validate."""
    asked = json.loads(settings)
    data, split = asked["data"], SplitSpec(**asked["split"])
    if "simulate" in data:
        spec = DataSpec(simulate=SimulateSpec(**data["simulate"]))
    else:
        spec = DataSpec(images=Path(data["images"]), catalogue=Path(data["catalogue"]))
    # A place on this machine: a worker of a cluster may share no disk with the others.
    dataset = open_dataset(spec, Path(tempfile.gettempdir()) / f"surveys-of-{getpass.getuser()}")
    parts = make_split(len(dataset), split, dataset.identifiers)
    return dataset.images, dataset.log_mass, dataset.redshift, parts.train, parts.validation


def photometry(images, edges):
    """Return the logarithm of the counts of images `(cluster, height, width, band)` in rings: `(cluster, feature)`."""
    height, width = images.shape[1:3]
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2) / width
    rings = [(radius >= inner) & (radius < outer) for inner, outer in itertools.pairwise(edges)]
    counts = [images[:, ring].sum(axis=1, dtype=np.float64) for ring in rings]
    return np.log1p(np.concatenate(counts, axis=1))
