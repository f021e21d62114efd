"""Trains the replicates of one combination: a whole epoch in one compiled function, told as a stream of events."""

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from clustersweep.study.events import (
    DIVERGED,
    Checkpoint,
    DamagedCheckpointError,
    EpochEnd,
    Event,
    Failed,
    Finished,
    Stopped,
    failure_of,
)
from clustersweep.training.augmentation import Augmentation
from clustersweep.training.data import Scaling, TrainingData
from clustersweep.training.device import (
    device_in_use,
    has_gpu,
    keras,
    resident_variable,
    set_precision,
    shared_tensor,
    tf,
)
from clustersweep.training.files.checkpoint import Arrays, Progress, pack_state, pack_weights, unpack_state
from clustersweep.training.likelihood import likelihood_terms, variance
from clustersweep.training.model import build_model, derived_seed, initial_weights
from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import TrainingSpec

# Larger batches than in training, as nothing is kept for gradients; the same everywhere, as the batch
# decides the order of sums and thereby the last bits of the loss.
VALIDATION_BATCH = 256


class DeviceData:
    """The data of a sweep in TensorFlow's memory, made once per process and shared by all trainers.

    Args:
        data: The training and validation parts.
        in_variables: Whether images are in variables, as they are by default where there is a GPU. Of a plain tensor
            of unsigned integers TensorFlow gathers rows on the CPU only: the images would leave the GPU for it. Of
            variables it has a kernel for GPUs too, for every type that images have. The numbers are the same.
    """

    def __init__(self, data: TrainingData, *, in_variables: bool | None = None) -> None:
        if in_variables is None:
            in_variables = has_gpu()
        keep = resident_variable if in_variables else shared_tensor
        scaling = data.scaling
        self.scaling = scaling
        self.image_shape = data.image_shape
        self.train_images = keep(data.train_images)
        self.validation_images = keep(data.validation_images)
        self.train_labels = tf.constant(self._standardised(data.train_log_mass))
        self.validation_labels = tf.constant(self._standardised(data.validation_log_mass))
        self.train_redshift = tf.constant(standardised_redshift(data.train_redshift, scaling))
        self.validation_redshift = tf.constant(standardised_redshift(data.validation_redshift, scaling))
        self.scaled = ScaledImages(scaling)

    def _standardised(self, log_mass: NDArray[np.float64]) -> NDArray[np.float32]:
        return ((log_mass - self.scaling.log_mass_mean) / self.scaling.log_mass_sd).astype(np.float32)


class ScaledImages:
    """What turns counts into the network's input: the same in training, validation and prediction."""

    def __init__(self, scaling: Scaling) -> None:
        self._transform = scaling.transform
        self._band_mean = tf.constant(scaling.band_mean, tf.float32)
        self._band_scale = 1.0 / tf.constant(scaling.band_sd, tf.float32)

    def __call__(self, counts: "tf.Tensor") -> "tf.Tensor":
        """Turn counts `(cluster, height, width, band)` into the network's input, float32."""
        values = tf.cast(counts, tf.float32)
        if self._transform == "sqrt":
            values = tf.sqrt(values)
        elif self._transform == "log1p":
            values = tf.math.log1p(values)
        return (values - self._band_mean) * self._band_scale


def standardised_redshift(redshift: NDArray[np.float64], scaling: Scaling) -> NDArray[np.float32]:
    """Return redshifts `(cluster,)` as the network takes them, `(cluster, 1)`."""
    return ((redshift - scaling.redshift_mean) / scaling.redshift_sd).astype(np.float32)[:, np.newaxis]


class Trainer:
    """One combination, built and compiled once, that trains as many replicates as it is asked to.

    Every number derives from (seed, epoch, layer) and the data, never from what this process did before: a
    replicate gives the same losses on any worker, in any order, interrupted or not (bit for bit on CPUs of
    one kind with the same number of threads).

    Args:
        network: The architecture.
        training: How it is trained.
        data: What it is trained on.
        head_only: Train only the last hidden dense layer and the output, and leave the others as they start.
        row_weights: How much each training cluster counts in the loss, `(cluster,)`, on average 1; None: alike.
    """

    def __init__(
        self,
        network: NetworkSpec,
        training: TrainingSpec,
        data: DeviceData,
        *,
        head_only: bool = False,
        row_weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.network, self.training = network, training
        self.device = device_in_use(training.precision)
        self._data = data
        self._likelihood = training.loss == "nll"
        self._model = build_model(network, data.image_shape, training.outputs)
        self._variables = self._model.trainable_variables
        self._trained = self._variables
        if head_only:
            last = [layer for layer in self._model.layers if layer.name.startswith("dense") and layer.weights][-1:]
            self._trained = [v for layer in (*last, self._model.get_layer("output")) for v in layer.trainable_variables]
        self._row_weights = None if row_weights is None else tf.constant(row_weights, tf.float32)
        self._optimizer = _build_optimizer(training)
        self._optimizer.build(self._trained)
        self._fresh_optimizer = _values(self._optimizer.variables)
        self._dropouts = [layer for layer in self._model.layers if isinstance(layer, keras.layers.Dropout)]
        self._augmentation = Augmentation(training.augmentation, data.image_shape)
        self._epoch = tf.function(self._run_epoch, autograph=False)
        self._validate = tf.function(self._run_validation, autograph=False)

    def replicate(
        self,
        seed: int,
        *,
        start: Arrays | None = None,
        key: str = "",
        checkpoint: bytes | None = None,
        checkpoint_every_s: float = 10.0,
        until: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:
        """Train one replicate and tell what happens.

        Args:
            seed: Decides the initial weights, the order of the data, the augmentation and the dropout.
            start: Weights to begin with, instead of the seed's own.
            key: The replicate's identity, kept in its checkpoints.
            checkpoint: Where an earlier run got to; a damaged one means starting again.
            checkpoint_every_s: Least time between two checkpoints.
            until: Stop with a checkpoint after this epoch, or any later one; None: train to the end.
            stop: Asked after each epoch; when true, a last checkpoint is given and the replicate ends.

        Yields:
            `EpochEnd` and `Checkpoint` in time order; then one of `Finished`, `Stopped` and `Failed`.
        """
        try:
            yield from self._train(
                seed, start, key, checkpoint, checkpoint_every_s=checkpoint_every_s, until=until, stop=stop
            )
        except Exception as error:  # whatever breaks one replicate must not end the worker
            yield failure_of(error)

    def validation_loss(self, weights: Arrays) -> float:
        """Return the validation loss, dex^2, that a network with these weights has."""
        _assign(self._variables, weights)
        set_precision(self.training.precision)
        return self._in_dex(self._validate())[0]

    def _train(
        self,
        seed: int,
        start: Arrays | None,
        key: str,
        checkpoint: bytes | None,
        *,
        checkpoint_every_s: float,
        until: int | None,
        stop: Callable[[], bool],
    ) -> Iterator[Event]:
        progress, best = self._start(seed, start, key, checkpoint)
        spec = self.training
        curve, nll_curve = list(progress.curve), list(progress.nll_curve)
        watched = nll_curve if self._likelihood else curve
        seconds, best_epoch = progress.seconds, progress.best_epoch
        # Older versions did not record them: then it stays open what computed those epochs.
        unknown = progress.epoch and not progress.devices
        devices = () if unknown else tuple(dict.fromkeys((*progress.devices, self.device)))
        saved_at = time.monotonic()
        epoch = progress.epoch
        while epoch < spec.epochs and epoch - best_epoch < spec.patience:
            epoch += 1
            started = time.monotonic()
            (loss, *nll), (val_loss, *val_nll) = self._one_epoch(seed, epoch)
            took = time.monotonic() - started
            seconds += took
            if not all(math.isfinite(value) for value in (loss, val_loss, *nll, *val_nll)):
                message = f"the loss is not finite in epoch {epoch} (loss {loss}, val_loss {val_loss})"
                yield Failed(DIVERGED, f"{message}: a lower learning_rate may help")
                return
            curve.append((loss, val_loss))
            nll_curve.extend(zip(nll, val_nll, strict=True))
            if not best_epoch or watched[-1][1] < watched[best_epoch - 1][1]:
                best_epoch, best = epoch, _values(self._variables)
            yield EpochEnd(epoch, loss, val_loss, took, val_nll[0] if val_nll else None)
            stopping = stop() or (until is not None and epoch >= until)
            if stopping or time.monotonic() - saved_at >= checkpoint_every_s:
                saved_at = time.monotonic()
                now = Progress(
                    key, epoch, best_epoch, seconds, progress.resumed, tuple(curve), tuple(nll_curve), devices
                )
                optimizer = _values(self._optimizer.variables)
                state = pack_state(now, weights=_values(self._variables), best=best, optimizer=optimizer)
                yield Checkpoint(epoch, state, tuple(curve))
            if stopping:
                yield Stopped()
                return
        yield Finished(
            val_loss=curve[best_epoch - 1][1],
            best_epoch=best_epoch,
            epochs=epoch,
            seconds=seconds,
            curve=tuple(curve),
            resumed=progress.resumed,
            weights=pack_weights(best),
            val_nll=nll_curve[best_epoch - 1][1] if nll_curve else None,
            nll_curve=tuple(nll_curve),
            devices=devices,
        )

    def _start(self, seed: int, start: Arrays | None, key: str, checkpoint: bytes | None) -> tuple[Progress, Arrays]:
        """Set the weights and the optimizer to where this replicate begins or goes on."""
        weights = initial_weights(self._model, seed) if start is None else start
        optimizer = self._fresh_optimizer
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

    def _one_epoch(self, seed: int, epoch: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Train one epoch and validate; gives what `_in_dex` does, for training and for validation."""
        set_precision(self.training.precision)
        for layer in self._dropouts:
            layer.seed_generator.state.assign([derived_seed(seed, epoch, layer.name), 0])
        self._augmentation.begin_epoch(seed, epoch)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
        order = rng.permutation(self._data.train_labels.shape[0]).astype(np.int32)
        measured, validated = self._epoch(tf.constant(order))
        return self._in_dex(measured), self._in_dex(validated)

    def _in_dex(self, measured: "tf.Tensor") -> tuple[float, ...]:
        """Turn what was measured on the standardised label into the mean squared error, dex^2, and the likelihood."""
        square, *nll = measured.numpy().tolist()
        sd = self._data.scaling.log_mass_sd
        return square * sd**2, *(value + math.log(sd) + 0.5 * math.log(2 * math.pi) for value in nll)

    def _run_epoch(self, order: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        """Everything of one epoch, validation included, without returning to Python between the steps."""
        data, batch = self._data, self.training.batch_size
        count = order.shape[0]

        def step(start: "tf.Tensor", total: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
            rows = order[start : start + batch]
            images = self._augmentation(data.scaled(tf.gather(data.train_images, rows)))
            labels, redshift = tf.gather(data.train_labels, rows), tf.gather(data.train_redshift, rows)
            with tf.GradientTape() as tape:
                terms = self._terms(images, redshift, labels, training=True)
                loss = self._loss(terms[-1], rows)
            self._optimizer.apply(tape.gradient(loss, self._trained), self._trained)
            means = tf.stack([tf.reduce_mean(term) for term in terms])
            return start + batch, total + tf.cast(means, tf.float64) * tf.cast(tf.size(rows), tf.float64)

        _, total = tf.while_loop(lambda start, _: start < count, step, (0, self._zeros()), parallel_iterations=1)
        with tf.control_dependencies([total]):
            return total / count, self._run_validation()

    def _loss(self, terms: "tf.Tensor", rows: "tf.Tensor") -> "tf.Tensor":
        """Average what is trained over a batch."""
        return tf.reduce_mean(terms if self._row_weights is None else terms * tf.gather(self._row_weights, rows))

    def _terms(
        self, images: "tf.Tensor", redshift: "tf.Tensor", labels: "tf.Tensor", *, training: bool
    ) -> list["tf.Tensor"]:
        """Return each cluster's squared error, and its negative log-likelihood where the network has a variance.

        Both of the standardised label, `(cluster,)`; the last is what is trained.
        """
        inputs = images if self.network.redshift == "none" else [images, redshift]
        output = self._model(inputs, training=training)
        error = output[:, 0] - labels
        square = error * error
        if not self._likelihood:
            return [square]
        spread = variance(output[:, 1])
        return [square, likelihood_terms(square, spread)]

    def _run_validation(self) -> "tf.Tensor":
        """Means of `_terms` over the validation part."""
        data = self._data
        count = data.validation_labels.shape[0]

        def step(start: "tf.Tensor", total: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
            rows = slice(start, start + VALIDATION_BATCH)
            images, labels = data.scaled(data.validation_images[rows]), data.validation_labels[rows]
            terms = self._terms(images, data.validation_redshift[rows], labels, training=False)
            return start + VALIDATION_BATCH, total + tf.stack([tf.reduce_sum(tf.cast(t, tf.float64)) for t in terms])

        _, total = tf.while_loop(lambda start, _: start < count, step, (0, self._zeros()), parallel_iterations=1)
        return total / count

    def _zeros(self) -> "tf.Tensor":
        return tf.zeros(self.training.outputs, tf.float64)


def forget_networks() -> None:
    """Free what Keras remembers of earlier networks, so that a worker's memory does not grow trial by trial."""
    keras.utils.clear_session()


def _build_optimizer(spec: TrainingSpec) -> "keras.optimizers.Optimizer":
    optimizers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}
    # A likelihood's gradient has no bound where the variance is small, unlike that of the squared error.
    clipped = {"global_clipnorm": 1.0} if spec.loss == "nll" else {}
    decay = spec.weight_decay or None
    return optimizers[spec.optimizer](learning_rate=float(spec.learning_rate), weight_decay=decay, **clipped)


def _values(variables: list["keras.Variable"]) -> Arrays:
    return [variable.numpy() for variable in variables]


def _assign(variables: list["keras.Variable"], values: Arrays) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
