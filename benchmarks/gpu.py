"""What only a GPU can tell: epochs beside those of Keras's own loop, TF32, XLA, determinism's price, shared GPUs.

Run as `python benchmarks/gpu.py` where `make setup GPU=1` was run and TensorFlow sees a GPU. Each measurement has a
process of its own, as all but the network is the process's. `--device cpu` shows that it works where there is none.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from measuring import QUIET, ROOT, options, read_result, table, write_result

# Of the grid: the smallest, the largest, and three between them.
NETWORKS: list[dict[str, int]] = [
    {"filters": 10, "kernel_size": 3, "conv_blocks": 1},
    {"filters": 30, "kernel_size": 7, "conv_blocks": 1},
    {"filters": 20, "kernel_size": 5, "conv_blocks": 2},
    {"filters": 10, "kernel_size": 3, "conv_blocks": 3},
    {"filters": 30, "kernel_size": 3, "conv_blocks": 3},
]
PIXELS, BANDS, BATCH = 50, 10, 64
# As a sweep trains; then one thing changed at a time.
HERE: dict[str, Any] = {"loop": "clustersweep", "deterministic": True, "precision": "float32", "xla": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "clustersweep": HERE,
    "Keras fit": HERE | {"loop": "keras", "deterministic": False},
    "not deterministic": HERE | {"deterministic": False},
    "TF32": HERE | {"precision": "tf32"},
    "XLA": HERE | {"xla": True, "deterministic": False},
}
WORKERS = [1, 2, 4, 8]


def measure_here(task: Mapping[str, Any]) -> dict[str, Any]:
    """Measure the networks in this process: seconds of an epoch, of building and compiling, and the last loss."""
    from clustersweep.training.device import configure_device, device_in_use, has_gpu, tf

    configure_device(1, 0.0 if task["device"] == "cpu" else task["share"], deterministic=task["deterministic"])
    if task["device"] == "gpu" and not has_gpu():
        raise SystemExit("TensorFlow sees no GPU here: `make setup GPU=1`, or --device cpu to see that this works")
    if task["xla"]:
        tf.config.optimizer.set_jit(True)
    import numpy as np

    from clustersweep.training.data import prepare
    from clustersweep.training.engine import forget_networks
    from clustersweep.training.network import NetworkSpec
    from clustersweep.training.spec import TrainingSpec

    rng = np.random.default_rng(0)
    images = rng.poisson(0.05, (task["clusters"], PIXELS, PIXELS, BANDS)).astype(np.uint8)
    rows, mass = np.arange(task["clusters"]), rng.normal(14, 0.4, task["clusters"])
    cut = int(0.8 * task["clusters"])
    data = prepare(images, mass, mass, train=rows[:cut], validation=rows[cut:], transform="sqrt")
    epochs = task["epochs"]
    training = TrainingSpec(epochs=epochs, patience=epochs, batch_size=BATCH, precision=task["precision"])
    measure = keras_epochs if task["loop"] == "keras" else own_epochs
    found = []
    for params in NETWORKS[: task["networks"]]:
        start = time.monotonic()
        seconds, loss = measure(NetworkSpec(**{"dense_layers": 1, **params}), training, data)
        usual = statistics.median(seconds[1:])
        first = time.monotonic() - start - sum(seconds[1:])
        found.append({"params": params, "epoch_s": round(usual, 4), "first_s": round(first, 3), "val_loss": loss})
        forget_networks()
    return {"device": str(device_in_use(task["precision"])), "networks": found}


def own_epochs(network: Any, training: Any, data: Any) -> tuple[list[float], float]:
    """Train as a sweep does; seconds of each epoch, and the best validation loss."""
    from clustersweep.study.events import EpochEnd, Finished
    from clustersweep.training.engine import DeviceData, Trainer

    events = list(Trainer(network, training, DeviceData(data)).replicate(0, checkpoint_every_s=1e9))
    end = events[-1]
    if not isinstance(end, Finished):
        raise SystemExit(str(end))
    return [event.seconds for event in events if isinstance(event, EpochEnd)], end.val_loss


def keras_epochs(network: Any, training: Any, data: Any) -> tuple[list[float], float]:
    """Train as a loop of one's own would: the same network and batches, by Keras's `fit`; seconds of each epoch."""
    from clustersweep.training.device import keras, set_precision
    from clustersweep.training.engine import ScaledImages
    from clustersweep.training.model import build_model

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self._began = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            self.seconds.append(time.monotonic() - self._began)

    set_precision(training.precision)
    scaled = ScaledImages(data.scaling)
    model, clock = build_model(network, data.image_shape), Clock()
    model.compile(keras.optimizers.Adam(training.learning_rate), "mse")
    mean, sd = data.scaling.log_mass_mean, data.scaling.log_mass_sd
    told = model.fit(
        scaled(data.train_images).numpy(),
        (data.train_log_mass - mean) / sd,
        batch_size=training.batch_size,
        epochs=training.epochs,
        validation_data=(scaled(data.validation_images).numpy(), (data.validation_log_mass - mean) / sd),
        callbacks=[clock],
        verbose=0,
    )
    return clock.seconds, min(told.history["val_loss"]) * sd**2


def measure_together(workers: int, task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure in several processes at the same time, each with its share of the GPU."""
    command = [sys.executable, __file__, "--here", json.dumps({**task, "share": 1 / workers})]
    environment = {**os.environ, **QUIET}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) for _ in range(workers)
    ]
    said = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("a measurement has failed")
    return [json.loads(one.strip().splitlines()[-1]) for one in said]


def same_bits(found: list[dict[str, Any]]) -> bool:
    """Say whether the processes came to the same losses to the last bit."""
    return len({json.dumps([network["val_loss"] for network in one["networks"]]) for one in found}) == 1


def markdown(result: Mapping[str, Any]) -> str:
    """Lay a result out as tables."""
    variants = result["variants"]
    names = list(variants)
    networks = variants[names[0]]["networks"]
    rows = [
        (" ".join(f"{k}={v}" for k, v in network["params"].items()),
         *(f"{variants[name]['networks'][number]['epoch_s']:.3f}" for name in names))
        for number, network in enumerate(networks)
    ]  # fmt: skip
    parts = [variants[names[0]]["device"], table(("seconds an epoch", *names), rows)]
    rows = [
        (one["workers"], f"{one['epochs_per_s']:.2f}", "yes" if one["same_bits"] else "no") for one in result["shared"]
    ]
    parts.append(table(("workers on it", "epochs a second, all together", "same losses to the last bit"), rows))
    return "\n\n".join(parts)


def main() -> None:
    """Measure one after the other; every measurement is written at once."""
    parser = options(__doc__)
    parser.add_argument("--device", default="gpu", choices=["gpu", "cpu"], help="cpu: only to see that this works.")
    parser.add_argument("--here", type=json.loads, help="Internal: what to measure in this process.")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure_here(given.here)))
        return
    size = (150, 2, 1) if given.quick else (7946, 6, len(NETWORKS))
    task = {"device": given.device, **dict(zip(("clusters", "epochs", "networks"), size, strict=True))}
    result: dict[str, Any] = read_result("gpu", given.results)
    result["variants"], result["shared"] = {}, []
    for name, variant in VARIANTS.items():
        print(name, flush=True)
        result["variants"][name] = measure_together(1, task | variant)[0]
        write_result("gpu", result, given.results)
    for workers in WORKERS[:2] if given.quick else WORKERS:
        print(f"{workers} workers", flush=True)
        alone = workers == 1  # which the first variant was
        found = [result["variants"]["clustersweep"]] if alone else measure_together(workers, task | HERE)
        rate = sum(len(one["networks"]) / sum(network["epoch_s"] for network in one["networks"]) for one in found)
        result["shared"].append({"workers": workers, "epochs_per_s": round(rate, 3), "same_bits": same_bits(found)})
        write_result("gpu", result, given.results)
    print(markdown(result))


if __name__ == "__main__":
    main()
