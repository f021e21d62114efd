"""What Ampere's tensor cores do to products of matrices, on any CPU: TF32 keeps 10 bits of each factor's mantissa."""

import contextlib

import pytest


@contextlib.contextmanager
def emulated_tf32():
    """Round what Keras's convolutions and dense layers multiply, forwards and backwards, to 10 bits."""
    from clustersweep.training.device import keras, tf

    def rounded(values):
        bits = tf.bitcast(values, tf.int32)
        nearest = tf.bitwise.bitwise_and(
            bits + 0x0FFF + tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 13), 1), ~0x1FFF
        )
        return tf.bitcast(nearest, tf.float32)

    def product(multiply, *factors):
        @tf.custom_gradient
        def multiplied(one, other):
            one, other = rounded(one), rounded(other)
            with tf.GradientTape() as tape:
                tape.watch([one, other])
                result = multiply(one, other)

            def gradient(upstream):
                return tape.gradient(result, [one, other], rounded(upstream))

            return result, gradient

        return multiplied(*map(tf.convert_to_tensor, factors))

    convolve, multiply = keras.layers.Conv2D.convolution_op, keras.ops.matmul
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            keras.layers.Conv2D,
            "convolution_op",
            lambda layer, images, kernel: product(lambda i, k: convolve(layer, i, k), images, kernel),
        )
        patch.setattr(
            "keras.src.layers.core.dense.ops.matmul", lambda values, kernel: product(multiply, values, kernel)
        )
        yield
