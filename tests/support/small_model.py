"""A trained model that is small enough for a test: its weights are drawn, not learnt."""

from typing import Any

import numpy as np

from clustersweep.training.data import Scaling
from clustersweep.training.files.trained_model import TrainedModel, weight_shapes
from clustersweep.training.network import NetworkSpec

NETWORK = NetworkSpec(filters=3, dense_layers=1, dense_units=(5,), redshift="head")
BANDS = ((0.3, 0.6), (0.6, 1.0), (1.0, 2.3))


def small_model(**changes: Any) -> TrainedModel:
    """Return a model of two networks for counts of 12 x 12 pixels and 3 bands, with some fields changed."""
    values: dict[str, Any] = {
        "network": NETWORK,
        "outputs": 2,
        "scaling": Scaling("sqrt", (1.0, 1.1, 0.9), (0.5, 0.6, 0.7), 14.0, 0.4, 0.4, 0.2),
        "image_shape": (12, 12, 3),
        "rebin": 1,
        "bands_kev": BANDS,
        "is_counts": True,
        "redshift_range": (0.1, 0.8),
        "counts_range": (300.0, 2000.0),
        "recalibration": 1.25,
        "seeds": (0, 7),
        "constant_sd": (),
        "provenance": {"data_digest": "0123456789abcdef", "commit": "none"},
        "members": (),
        **changes,
    }
    model = TrainedModel(**values)
    if "members" in changes:
        return model
    members = tuple(drawn_weights(model, seed) for seed in model.seeds)
    return TrainedModel(**(values | {"members": members}))


def drawn_weights(model: TrainedModel, seed: int) -> list[np.ndarray]:
    """Draw weights that fit a model's network."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.3, shape).astype(np.float32) for shape in weight_shapes(model)]
