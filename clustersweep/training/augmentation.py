"""Random views of the training images that leave the mass alone, as Keras layers. Decides nothing about training."""

from clustersweep.training.device import keras, tf
from clustersweep.training.model import derived_seed


class Augmentation:
    """Mirrors and turns training images at random, each image on its own.

    Stateless: what an epoch draws derives from (seed, epoch) and the step alone, so a training that goes on
    from a checkpoint sees the same images as one that was never interrupted.
    """

    def __init__(self, kind: str, image_shape: tuple[int, ...]) -> None:
        self._layers: list[keras.layers.Layer] = []
        if kind == "flip_rotate":
            # Both reflect what they need from beyond the edges: black corners would be empty sky, which no image has.
            self._layers = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(ROTATION)]
        elif kind == "dihedral":
            self._layers = [_Dihedral(square=image_shape[0] == image_shape[1])]

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Put the random generators where this epoch of this seed begins."""
        for number, layer in enumerate(self._layers):
            layer.generator.state.assign([derived_seed(seed, epoch, "augmentation", number), 0])

    def __call__(self, images: "tf.Tensor") -> "tf.Tensor":
        """Return random views of images `(cluster, height, width, band)`."""
        for layer in self._layers:
            images = layer(images, training=True)
        return images


ROTATION = 0.1
"""Largest angle, as a share of a full turn, which is how Keras counts: 36 degrees to either side."""


class _Dihedral(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """One of the eight symmetries of the square (four of a rectangle), without interpolation."""

    def __init__(self, *, square: bool) -> None:
        super().__init__()
        self.generator = keras.random.SeedGenerator(0)
        self._square = square

    def call(self, images: "tf.Tensor", training: bool = True) -> "tf.Tensor":
        """Mirror either axis, and swap the two, each with probability 1/2."""
        code = keras.random.randint((tf.shape(images)[0], 1, 1, 1), 0, 8, seed=self.generator)
        images = tf.where(code % 2 == 1, images[:, ::-1], images)
        images = tf.where(code // 2 % 2 == 1, images[:, :, ::-1], images)
        return tf.where(code // 4 == 1, tf.transpose(images, [0, 2, 1, 3]), images) if self._square else images
