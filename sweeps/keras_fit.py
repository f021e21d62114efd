"""A plain Keras model that is trained by its own `fit`; a callback reports every epoch and saves the model.

The data are the 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn: nothing has to be downloaded.
"""

import tempfile
from pathlib import Path

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

BATCH = 32


def train(run):
    """Train one network, or go on with the one that was saved."""
    images, digits = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1) / 16
    train_x, val_x, train_y, val_y = train_test_split(images, digits, test_size=0.25, random_state=0)
    keras.utils.set_random_seed(run.seed)
    model = built(run.params) if run.saved is None else read(run.saved)
    steps = -(-len(train_x) // BATCH)
    model.fit(
        train_x,
        train_y,
        validation_data=(val_x, val_y),
        batch_size=BATCH,
        initial_epoch=int(model.optimizer.iterations) // steps,
        epochs=run.settings["epochs"],
        shuffle=False,  # else a training that was interrupted would go on in another order
        verbose=0,
        callbacks=[Report(run)],
    )


class Report(keras.callbacks.Callback):
    """Tells the sweep of every epoch."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        """Report the epoch, then save what is needed to go on after it."""
        self.run.report(epoch + 1, **logs)  # Keras counts from 0
        self.run.save(written(self.model))


def built(params):
    """Return a new network."""
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(params["filters"], 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    optimizer = keras.optimizers.Adam(params["learning_rate"])
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def written(model):
    """Return a model with its optimizer as the bytes of a .keras file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def read(content):
    """Return the model that such bytes are."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        return keras.saving.load_model(path)
