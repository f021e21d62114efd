"""How much of a core's speed training uses: FLOP/s of the Trainer over those of a large matrix product.

Operations count as `clustersweep plan` counts them (`network.training_flops_per_image`). One worker with
1 to n threads, then as many workers as cores at the same time, as a sweep has them. Then a real sweep is watched: what
its workers do between the first and the last epoch. Run as `python benchmarks/efficiency.py`.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import QUIET, ROOT, fresh_home, options, read_result, run_json, table, write_result, write_study

if TYPE_CHECKING:
    from clustersweep.storage.store import OpenTrial
    from clustersweep.study.plan import Plan
    from clustersweep.sweep.events import SweepEvent

# Of the grid: the smallest and the largest, and what a change of one factor does between them.
NETWORKS: list[dict[str, int]] = [
    {"filters": 10, "kernel_size": 3, "conv_blocks": 1},
    {"filters": 30, "kernel_size": 3, "conv_blocks": 1},
    {"filters": 10, "kernel_size": 7, "conv_blocks": 1},
    {"filters": 30, "kernel_size": 7, "conv_blocks": 1},
    {"filters": 10, "kernel_size": 3, "conv_blocks": 3},
    {"filters": 30, "kernel_size": 3, "conv_blocks": 3},
    {"filters": 10, "kernel_size": 5, "conv_blocks": 2},
    {"filters": 20, "kernel_size": 5, "conv_blocks": 2},
    {"filters": 30, "kernel_size": 5, "conv_blocks": 2},
    {"filters": 20, "kernel_size": 3, "conv_blocks": 2, "convs_per_block": 3},
]
PIXELS, BANDS, BATCH = 50, 10, 64


def measure_here(clusters: int, epochs: int, threads: int, networks: int, side: int) -> dict[str, Any]:
    """Measure in this process, with so many threads: the matrix product, then each network's epochs."""
    from clustersweep.training.device import configure_device

    configure_device(threads)
    import numpy as np

    from clustersweep.study.events import EpochEnd
    from clustersweep.study.task import Infeasible
    from clustersweep.training.data import prepare
    from clustersweep.training.engine import DeviceData, Trainer, forget_networks
    from clustersweep.training.network import NetworkSpec, flops_per_image, layers, training_flops_per_image
    from clustersweep.training.spec import TrainingSpec

    found: dict[str, Any] = {"threads": threads, "matrix_product": matrix_product(side), "networks": []}
    # Counts as sparse as real ones; what is in the images does not change how long they take.
    rng = np.random.default_rng(0)
    images = rng.poisson(0.05, (clusters, PIXELS, PIXELS, BANDS)).astype(np.uint8)
    rows, mass = np.arange(clusters), rng.normal(14, 0.4, clusters)
    train, validation = rows[: int(0.8 * clusters)], rows[int(0.8 * clusters) :]
    data = DeviceData(prepare(images, mass, mass, train=train, validation=validation, transform="sqrt"))
    training = TrainingSpec(epochs=epochs, patience=epochs, batch_size=BATCH)
    for params in NETWORKS[:networks]:
        spec = NetworkSpec(**{"dense_layers": 1, **params})
        planned = layers(spec, (PIXELS, PIXELS, BANDS))
        if isinstance(planned, Infeasible):
            raise SystemExit(planned.reason)
        start = time.monotonic()
        trainer = Trainer(spec, training, data)
        built = time.monotonic() - start
        seconds = [e.seconds for e in trainer.replicate(0, checkpoint_every_s=1e9) if isinstance(e, EpochEnd)]
        usual = statistics.median(seconds[1:])
        flops = training_flops_per_image(planned) * len(train) + flops_per_image(planned) * len(validation)
        found["networks"].append(
            {"params": params, "flops_per_image": flops_per_image(planned), "flops_per_s": flops / usual,
             "epoch_s": round(usual, 4), "build_s": round(built, 3), "compile_s": round(seconds[0] - usual, 3)}
        )  # fmt: skip
        del trainer
        forget_networks()
    found["matrix_product_after"] = matrix_product(side)
    return found


def matrix_product(side: int) -> float:
    """Return the FLOP/s of a product of two square float32 matrices, the median of many."""
    from clustersweep.training.device import tf

    a, b = tf.random.stateless_normal((2, side, side), (0, 1))
    seconds = []
    for _ in range(12):
        start = time.monotonic()
        tf.linalg.matmul(a, b).numpy()
        seconds.append(time.monotonic() - start)
    return 2 * side**3 / statistics.median(seconds[2:])


def measure_together(processes: int, arguments: list[object]) -> list[dict[str, Any]]:
    """Measure in several processes at the same time."""
    command = [sys.executable, __file__, "--here", *map(str, arguments)]
    environment = {**os.environ, **QUIET}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
        for _ in range(processes)
    ]
    said = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("a measurement has failed")
    return [json.loads(one.strip().splitlines()[-1]) for one in said]


def summary(threads: int, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Reduce what processes measured at the same time to rates for each core."""
    product = statistics.median(rate for one in found for rate in (one["matrix_product"], one["matrix_product_after"]))
    networks = []
    for same in zip(*(one["networks"] for one in found), strict=True):
        rate = statistics.median(one["flops_per_s"] for one in same)
        networks.append(
            {**same[0], "gflops_per_core": round(rate / threads / 1e9, 2), "share": round(rate / product, 3)}
        )
    return {
        "workers": len(found),
        "threads": threads,
        "matrix_product_gflops_per_core": round(product / threads / 1e9, 2),
        "median_share": round(statistics.median(one["share"] for one in networks), 3),
        "networks": networks,
    }


class Watch:
    """A launch's watcher that only notes when each worker began, ended an epoch and ended a replicate."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self._open: dict[str, dict[str, Any]] = {}

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """See `launch.LaunchWatcher`."""
        yield

    def made(self, done: int, total: int) -> None:
        """See `launch.LaunchWatcher`."""

    def waits(self, text: str) -> None:
        """See `launch.LaunchWatcher`."""

    def begin(self, plan: "Plan", open_trials: "list[OpenTrial]") -> None:
        """See `launch.LaunchWatcher`."""

    def on_event(self, event: "SweepEvent") -> None:
        """See `launch.LaunchWatcher`."""
        from clustersweep.sweep.events import EpochDone, ReplicateBegan, ReplicateDone

        now = time.monotonic()
        match event:
            case ReplicateBegan(worker):
                self._open[worker] = {"worker": worker, "began": now, "epochs": []}
            case EpochDone(worker, _, event):
                self._open[worker]["epochs"].append((now, event.seconds))
            case ReplicateDone(worker):
                self.spans.append({**self._open.pop(worker), "ended": now})

    def end(self) -> None:
        """See `launch.LaunchWatcher`."""

    def shares(self) -> dict[str, Any]:
        """Say what the workers did between the start of the first epoch and the end of the last one."""
        epochs = [(at - took, at, took) for span in self.spans for at, took in span["epochs"]]
        first, last = min(start for start, _, _ in epochs), max(end for _, end, _ in epochs)
        workers = {span["worker"] for span in self.spans}
        whole = (last - first) * len(workers)
        training = sum(took for _, _, took in epochs)
        usual = [statistics.median([took for _, took in span["epochs"]][1:]) for span in self.spans]
        compiling = sum(max(0.0, span["epochs"][0][1] - middle) for span, middle in zip(self.spans, usual, strict=True))
        # From when a worker took a replicate up to the start of its first epoch: a network is built.
        building = sum(
            max(0.0, span["epochs"][0][0] - span["epochs"][0][1] - max(span["began"], first)) for span in self.spans
        )
        tail = sum(last - max(span["ended"] for span in self.spans if span["worker"] == name) for name in workers)
        return {
            "workers": len(workers),
            "seconds": round(last - first, 2),
            "busy": round((training + building) / whole, 4),
            "in_epochs": round(training / whole, 4),
            "of_it_compiling": round(compiling / whole, 4),
            "building": round(building / whole, 4),
            "waiting_at_the_end": round(max(0.0, tail) / whole, 4),
        }


def watch_here(study_file: Path, home_folder: Path) -> dict[str, Any]:
    """Launch a study in this process's own home, and give what its workers did."""
    from clustersweep.home import Home
    from clustersweep.postgres.location import open_database
    from clustersweep.report.sweep.study_report import write_study_report
    from clustersweep.sweep.launch import Options, launch
    from clustersweep.tasks import load_study

    home, watch = Home(home_folder), Watch()
    launch(load_study(study_file), home, lambda: open_database(None, {}, home), Options(),
           watcher=watch, write_report=write_study_report)  # fmt: skip
    return watch.shares()


def watch_sweep(clusters: int, epochs: int, seeds: list[int]) -> dict[str, Any]:
    """Watch the sweep of `sweep.py` in a process of its own."""
    from sweep import AXES

    sections = {
        "data": {"simulate": {"clusters": clusters, "seed": 42}},
        "search_space": AXES,
        "network": {"convs_per_block": 1, "dense_layers": 1},
        "training": {"epochs": epochs, "patience": epochs, "batch_size": BATCH},
        "seeds": seeds,
    }
    with fresh_home() as home:
        study = write_study(home.parent, "watched", sections)
        return {"epochs": epochs, **run_json([sys.executable, __file__, "--watch", study, home])}


def markdown(result: Mapping[str, Any]) -> str:
    """Lay a result out as tables."""
    parts = []
    if result.get("rates"):
        rows = [
            (f"{one['workers']} x {one['threads']}", one["matrix_product_gflops_per_core"],
             f"{one['median_share']:.0%}",
             f"{min(n['share'] for n in one['networks']):.0%} to {max(n['share'] for n in one['networks']):.0%}",
             f"{statistics.median(n['build_s'] + n['compile_s'] for n in one['networks']):.2f}")
            for one in result["rates"]
        ]  # fmt: skip
        titles = ("workers x threads", "matrix product, GFLOP/s a core", "training, of that", "range", "to compile, s")
        parts.append(table(titles, rows))
        alone = result["rates"][0]
        titles = ("network (one worker, one thread)", "MFLOP an image", "GFLOP/s", "of the matrix product")
        rows = [(" ".join(f"{k}={v}" for k, v in n["params"].items()), f"{n['flops_per_image'] / 1e6:.1f}",
                 n["gflops_per_core"], f"{n['share']:.0%}") for n in alone["networks"]]  # fmt: skip
        parts.append(table(titles, rows))
    if result.get("watched"):
        titles = (
            "epochs",
            "workers",
            "seconds",
            "busy",
            "in epochs",
            "of it compiling",
            "building",
            "waiting at the end",
        )
        rows = [(one["epochs"], one["workers"], one["seconds"], f"{one['busy']:.1%}", f"{one['in_epochs']:.1%}",
                 f"{one['of_it_compiling']:.1%}", f"{one['building']:.1%}", f"{one['waiting_at_the_end']:.1%}")
                for one in result["watched"]]  # fmt: skip
        parts.append(table(titles, rows))
    return "\n\n".join(parts)


def main() -> None:
    """Measure one after the other; every measurement is written at once."""
    parser = options(__doc__)
    parser.add_argument("--parts", nargs="+", default=["rates", "watched"], choices=["rates", "watched"])
    parser.add_argument("--epochs", type=int, nargs="+", default=[3, 20], help="Lengths of the watched sweeps.")
    parser.add_argument("--here", type=int, nargs=5, help="Internal: clusters, epochs, threads, networks, side.")
    parser.add_argument("--watch", type=Path, nargs=2, help="Internal: study and home.")
    given = parser.parse_args()
    if given.here or given.watch:
        print(json.dumps(measure_here(*given.here) if given.here else watch_here(*given.watch)))
        return
    result: dict[str, Any] = read_result("efficiency", given.results)
    cores = os.cpu_count() or 1
    if "rates" in given.parts:
        size = (200, 3, 1, 256) if given.quick else (2000, 6, len(NETWORKS), 2048)
        result["rates"] = []
        layouts = [(1, threads) for threads in range(1, cores + 1)] + [(cores, 1)]
        for workers, threads in layouts[:1] if given.quick else layouts:
            print(f"{workers} workers x {threads} threads", flush=True)
            clusters, epochs, networks, side = size
            found = measure_together(workers, [clusters, epochs, threads, networks, side])
            result["rates"].append(summary(threads, found))
            write_result("efficiency", result, given.results)
    if "watched" in given.parts:
        result["watched"] = []
        for epochs in [2] if given.quick else given.epochs:
            clusters, seeds = (120, [0]) if given.quick else (2000, [0, 1, 2])
            result["watched"].append(watch_sweep(clusters, epochs, seeds))
            write_result("efficiency", result, given.results)
    print(markdown(result))


if __name__ == "__main__":
    main()
