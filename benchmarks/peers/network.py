"""The network, the data and the answer, as the three peers share them: plain Keras, nothing of clustersweep's."""

import json
import sys
from pathlib import Path

import numpy as np


def arguments():
    """Read the command line: what to train, the data, and where the answer goes."""
    work, data, answer = map(Path, sys.argv[1:4])
    return json.loads(work.read_text()), data, answer


def read_data(path):
    """Return standardised images and labels of both parts, and the labels' standard deviation in dex."""
    with np.load(path) as data:
        x, y = np.sqrt(data["train_images"].astype("float32")), data["train_log_mass"]
        validation_x, validation_y = np.sqrt(data["validation_images"].astype("float32")), data["validation_log_mass"]
    mean, sd = x.mean(axis=(0, 1, 2)), x.std(axis=(0, 1, 2))
    centre, dex = y.mean(), float(y.std())
    return (
        ((x - mean) / sd, ((y - centre) / dex).astype("float32")),
        ((validation_x - mean) / sd, ((validation_y - centre) / dex).astype("float32")),
        dex,
    )


def build_model(work, filters, kernel_size, conv_blocks):
    """Build and compile one network."""
    import keras  # Ray Tune's driver imports this module, and trains nothing itself

    model = keras.Sequential([keras.Input(shape=work["image_shape"])])
    for block in range(conv_blocks):
        model.add(keras.layers.Conv2D(filters + block * work["filters_step"], kernel_size, activation="relu"))
        model.add(keras.layers.MaxPooling2D())
    model.add(keras.layers.Flatten())
    for units in work["dense_units"]:
        model.add(keras.layers.Dense(units, activation="relu"))
    model.add(keras.layers.Dense(1))
    model.compile(optimizer=keras.optimizers.Adam(work["learning_rate"]), loss="mse")
    expected = work["parameters"][f"{filters} {kernel_size} {conv_blocks}"]
    if model.count_params() != expected:
        raise SystemExit(f"{model.count_params()} parameters instead of {expected}: not the same network")
    return model


def write_answer(path, losses):
    """Write `[{filters, kernel_size, conv_blocks, seed, val_loss in dex^2}]`."""
    path.write_text(json.dumps(losses))
