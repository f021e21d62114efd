"""Masses and uncertainties from trained weights: one network for each seed, and their mixture. Reads no file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.training.data import Scaling
from clustersweep.training.device import set_precision, tf
from clustersweep.training.engine import VALIDATION_BATCH, ScaledImages, standardised_redshift
from clustersweep.training.evaluation.results import Floats
from clustersweep.training.files.trained_model import TrainedModel
from clustersweep.training.likelihood import variance
from clustersweep.training.model import Weights, build_model
from clustersweep.training.network import NetworkSpec


@dataclass(frozen=True)
class Prediction:
    """What the networks say of some clusters.

    Attributes:
        log_mass: Mean of log10 M500c in solar masses, `(cluster,)`.
        sd: Its standard deviation, dex, before any recalibration, `(cluster,)`.
        member_log_mass: The same of each network, `(seed, cluster)`.
        member_sd: `(seed, cluster)`.
    """

    log_mass: Floats
    sd: Floats
    member_log_mass: Floats
    member_sd: Floats


class Ensemble:
    """One network with the weights of each seed.

    Args:
        network: The architecture.
        scaling: That of the training part.
        image_shape: `(height, width, band)`.
        members: Weights of each seed.
        outputs: 2 where the networks have a variance of their own, else 1.
        constant_sd: For networks without, the standard deviation of each, dex (its validation error).
    """

    def __init__(
        self,
        network: NetworkSpec,
        scaling: Scaling,
        image_shape: tuple[int, int, int],
        members: Sequence[Weights],
        *,
        outputs: int,
        constant_sd: Sequence[float] = (),
    ) -> None:
        self._takes_redshift = network.redshift != "none"
        self._scaling, self.members, self._constant_sd = scaling, list(members), list(constant_sd)
        self._has_variance = outputs == 2
        self._model = build_model(network, image_shape, outputs)
        self._scaled = ScaledImages(scaling)
        # One graph for whatever number and type of counts comes.
        inputs = tf.TensorSpec([None, *image_shape], tf.float32), tf.TensorSpec([None, 1], tf.float32)
        self._run = tf.function(self._forward, input_signature=inputs, autograph=False)

    @classmethod
    def of(cls, model: TrainedModel) -> "Ensemble":
        """Return the networks of a trained model."""
        return cls(
            model.network,
            model.scaling,
            model.image_shape,
            model.members,
            outputs=model.outputs,
            constant_sd=model.constant_sd,
        )

    def __call__(self, images: NDArray[Any], redshift: Floats) -> Prediction:
        """Predict, in batches of one size whatever the number of clusters.

        The mixture of the networks' Gaussians has the mean of their means, and the mean of their variances plus the
        variance of their means. Source: Lakshminarayanan, Pritzel & Blundell (2017, arXiv:1612.01474), section 2.4.

        Args:
            images: Counts, `(cluster, height, width, band)`.
            redshift: `(cluster,)`; ignored by a network that does not take it.
        """
        set_precision("float32")  # also of networks that were trained in another
        means, spreads = [], []
        for number, weights in enumerate(self.members):
            for variable, value in zip(self._model.trainable_variables, weights, strict=True):
                variable.assign(value)
            output = self._outputs(images, redshift)
            means.append(output[:, 0] * self._scaling.log_mass_sd + self._scaling.log_mass_mean)
            own = np.sqrt(output[:, 1]) * self._scaling.log_mass_sd if self._has_variance else None
            spreads.append(np.full(len(images), self._constant_sd[number]) if own is None else own)
        mean, sd = np.stack(means), np.stack(spreads)
        return Prediction(mean.mean(axis=0), np.sqrt((sd**2).mean(axis=0) + mean.var(axis=0)), mean, sd)

    def _outputs(self, images: NDArray[Any], redshift: Floats) -> Floats:
        """Return mean and variance of the standardised label, `(cluster, outputs)`."""
        scaled_redshift = standardised_redshift(redshift, self._scaling)
        found = []
        for start in range(0, len(images), VALIDATION_BATCH):
            rows = slice(start, start + VALIDATION_BATCH)
            found.append(self._run(tf.constant(images[rows], tf.float32), tf.constant(scaled_redshift[rows])).numpy())
        return np.concatenate(found).astype(np.float64)

    def _forward(self, counts: "tf.Tensor", redshift: "tf.Tensor") -> "tf.Tensor":
        images = self._scaled(counts)
        output = self._model([images, redshift] if self._takes_redshift else images, training=False)
        if not self._has_variance:
            return output
        return tf.stack([output[:, 0], variance(output[:, 1])], axis=1)
