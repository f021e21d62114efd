"""Trains the replicates of one combination: a whole epoch in one compiled function, told as a stream of events."""

import math
import time
import traceback
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from clustersweep.network import NetworkSpec
from clustersweep.training.checkpoint import (
    Arrays,
    DamagedCheckpointError,
    Progress,
    pack_state,
    pack_weights,
    unpack_state,
)
from clustersweep.training.data import TrainingData
from clustersweep.training.device import keras, tf
from clustersweep.training.events import DIVERGED, Checkpoint, EpochEnd, Event, Failed, Finished, Stopped
from clustersweep.training.model import build_model, derived_seed, initial_weights
from clustersweep.training.spec import TrainingSpec

# Larger batches than in training, as nothing is kept for gradients; the same everywhere, as the batch
# decides the order of sums and thereby the last bits of the loss.
VALIDATION_BATCH = 256


class DeviceData:
    """The data of a sweep in TensorFlow's memory, made once per process and shared by all trainers."""

    def __init__(self, data: TrainingData) -> None:
        scaling = data.scaling
        self.scaling = scaling
        self.image_shape = data.image_shape
        self.train_images = tf.constant(data.train_images)
        self.validation_images = tf.constant(data.validation_images)
        self.train_labels = tf.constant(self._standardised(data.train_log_mass))
        self.validation_labels = tf.constant(self._standardised(data.validation_log_mass))
        self._band_mean = tf.constant(scaling.band_mean, tf.float32)
        self._band_scale = 1.0 / tf.constant(scaling.band_sd, tf.float32)

    def scaled(self, counts: "tf.Tensor") -> "tf.Tensor":
        """Turn counts `(cluster, height, width, band)` into the network's input, float32."""
        values = tf.cast(counts, tf.float32)
        if self.scaling.transform == "sqrt":
            values = tf.sqrt(values)
        elif self.scaling.transform == "log1p":
            values = tf.math.log1p(values)
        return (values - self._band_mean) * self._band_scale

    def _standardised(self, log_mass: NDArray[np.float64]) -> NDArray[np.float32]:
        return ((log_mass - self.scaling.log_mass_mean) / self.scaling.log_mass_sd).astype(np.float32)


class Trainer:
    """One combination, built and compiled once, that trains as many replicates as it is asked to.

    Every number derives from (seed, epoch, layer) and the data, never from what this process did before: a
    replicate gives the same losses on any worker, in any order, interrupted or not (bit for bit on CPUs of
    one kind with the same number of threads).
    """

    def __init__(self, network: NetworkSpec, training: TrainingSpec, data: DeviceData) -> None:
        self.network, self.training = network, training
        self._data = data
        self._model = build_model(network, data.image_shape)
        self._variables = self._model.trainable_variables
        self._optimizer = _build_optimizer(training)
        self._optimizer.build(self._variables)
        self._fresh_optimizer = _values(self._optimizer.variables)
        self._dropouts = [layer for layer in self._model.layers if isinstance(layer, keras.layers.Dropout)]
        self._epoch = tf.function(self._run_epoch, autograph=False)
        self._validate = tf.function(self._run_validation, autograph=False)

    def replicate(
        self,
        seed: int,
        *,
        key: str = "",
        checkpoint: bytes | None = None,
        checkpoint_every_s: float = 10.0,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:
        """Train one replicate and tell what happens.

        Args:
            seed: Decides the initial weights, the order of the data and the dropout.
            key: The replicate's identity, kept in its checkpoints.
            checkpoint: Where an earlier run got to; a damaged one means starting again.
            checkpoint_every_s: Least time between two checkpoints.
            stop: Asked after each epoch; when true, a last checkpoint is given and the replicate ends.

        Yields:
            `EpochEnd` and `Checkpoint` in time order; then one of `Finished`, `Stopped` and `Failed`.
        """
        try:
            yield from self._train(seed, key, checkpoint, checkpoint_every_s, stop)
        except Exception as error:  # whatever breaks one replicate must not end the worker
            yield Failed(type(error).__name__, _first_line(error), traceback.format_exc())

    def validation_loss(self, weights: Arrays) -> float:
        """Give the validation loss, dex^2, that a network with these weights has."""
        _assign(self._model.trainable_variables, weights)
        return self._dex2(self._validate())

    def _train(
        self, seed: int, key: str, checkpoint: bytes | None, checkpoint_every_s: float, stop: Callable[[], bool]
    ) -> Iterator[Event]:
        progress, best = self._start(seed, key, checkpoint)
        spec = self.training
        curve, seconds, best_epoch = list(progress.curve), progress.seconds, progress.best_epoch
        best_loss = curve[best_epoch - 1][1] if best_epoch else math.inf
        saved_at = time.monotonic()
        epoch = progress.epoch
        while epoch < spec.epochs and epoch - best_epoch < spec.patience:
            epoch += 1
            started = time.monotonic()
            loss, val_loss = self._one_epoch(seed, epoch)
            took = time.monotonic() - started
            seconds += took
            if not (math.isfinite(loss) and math.isfinite(val_loss)):
                message = f"the loss is not finite in epoch {epoch} (loss {loss}, val_loss {val_loss})"
                yield Failed(DIVERGED, f"{message}: a lower learning_rate may help")
                return
            curve.append((loss, val_loss))
            if val_loss < best_loss:
                best_loss, best_epoch, best = val_loss, epoch, _values(self._variables)
            yield EpochEnd(epoch, loss, val_loss, took)
            stopping = stop()
            if stopping or time.monotonic() - saved_at >= checkpoint_every_s:
                saved_at = time.monotonic()
                now = Progress(key, epoch, best_epoch, seconds, progress.resumed, tuple(curve))
                optimizer = _values(self._optimizer.variables)
                yield Checkpoint(
                    epoch, pack_state(now, weights=_values(self._variables), best=best, optimizer=optimizer)
                )
            if stopping:
                yield Stopped()
                return
        yield Finished(best_loss, best_epoch, epoch, seconds, tuple(curve), progress.resumed, pack_weights(best))

    def _start(self, seed: int, key: str, checkpoint: bytes | None) -> tuple[Progress, Arrays]:
        """Set the weights and the optimizer to where this replicate begins or goes on."""
        weights, optimizer = initial_weights(self._model, seed), self._fresh_optimizer
        progress, best = Progress(key, 0, 0, 0.0, 0, ()), weights
        if checkpoint is not None:
            try:
                saved, *arrays = unpack_state(checkpoint, key)
                fits = [[a.shape for a in series] for series in arrays]
                expected = [[w.shape for w in weights]] * 2 + [[o.shape for o in optimizer]]
                if fits != expected:
                    raise DamagedCheckpointError("its arrays have other shapes")
                weights, best, optimizer = arrays
                progress = Progress(**{**vars(saved), "resumed": saved.resumed + 1})
            except DamagedCheckpointError:
                pass  # starting again gives the same numbers, only later
        _assign(self._variables, weights)
        _assign(self._optimizer.variables, optimizer)
        return progress, best

    def _one_epoch(self, seed: int, epoch: int) -> tuple[float, float]:
        """Train one epoch and validate; gives loss and validation loss in dex^2."""
        for layer in self._dropouts:
            layer.seed_generator.state.assign([derived_seed(seed, epoch, layer.name), 0])
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
        order = rng.permutation(self._data.train_labels.shape[0]).astype(np.int32)
        loss, val_loss = self._epoch(tf.constant(order))
        return self._dex2(loss), self._dex2(val_loss)

    def _dex2(self, loss: "tf.Tensor") -> float:
        return float(loss) * self._data.scaling.log_mass_sd**2

    def _run_epoch(self, order: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        """Everything of one epoch, validation included, without returning to Python between the steps."""
        data, batch = self._data, self.training.batch_size
        count = order.shape[0]

        def step(start: "tf.Tensor", total: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
            rows = order[start : start + batch]
            images, labels = data.scaled(tf.gather(data.train_images, rows)), tf.gather(data.train_labels, rows)
            with tf.GradientTape() as tape:
                error = self._model(images, training=True)[:, 0] - labels
                loss = tf.reduce_mean(error * error)
            self._optimizer.apply(tape.gradient(loss, self._variables), self._variables)
            return start + batch, total + tf.cast(loss, tf.float64) * tf.cast(tf.size(rows), tf.float64)

        _, total = tf.while_loop(
            lambda start, _: start < count, step, (0, tf.constant(0.0, tf.float64)), parallel_iterations=1
        )
        with tf.control_dependencies([total]):
            return total / count, self._run_validation()

    def _run_validation(self) -> "tf.Tensor":
        """Mean squared error of the validation part, in units of the standardised label."""
        data = self._data
        count = data.validation_labels.shape[0]

        def step(start: "tf.Tensor", total: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
            images = data.scaled(data.validation_images[start : start + VALIDATION_BATCH])
            error = self._model(images, training=False)[:, 0] - data.validation_labels[start : start + VALIDATION_BATCH]
            return start + VALIDATION_BATCH, total + tf.reduce_sum(tf.cast(error * error, tf.float64))

        _, total = tf.while_loop(
            lambda start, _: start < count, step, (0, tf.constant(0.0, tf.float64)), parallel_iterations=1
        )
        return total / count


def forget_networks() -> None:
    """Free what Keras remembers of earlier networks, so that a worker's memory does not grow trial by trial."""
    keras.utils.clear_session()


def _build_optimizer(spec: TrainingSpec) -> "keras.optimizers.Optimizer":
    optimizers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}
    return optimizers[spec.optimizer](learning_rate=float(spec.learning_rate), weight_decay=spec.weight_decay or None)


def _values(variables: list["keras.Variable"]) -> Arrays:
    return [variable.numpy() for variable in variables]


def _assign(variables: list["keras.Variable"], values: Arrays) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:500]
