"""How long epochs of known networks take, for what `clustersweep plan` estimates with (`clustersweep/study/cost.py`).

The networks of `sweeps/quickstart.yaml`, of the speed benchmark (`sweep.py`), and some of `sweeps/grid.yaml` on fewer
clusters: one thread, several rounds, each network built anew in every round. Wall-clock and processor seconds are noted
for every epoch, as other work on the machine lengthens the first and hardly the second. Run as
`python benchmarks/epochs.py`; `--fixture FILE` writes what the tests of the estimate read
(`tests/data/epochs.json`).
"""

import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring import QUIET, ROOT, machine, options, table, write_result

CLUSTERS = {"quickstart": 1600, "benchmark": 2000, "grid": 700}
EPOCHS = {"quickstart": 4, "benchmark": 3, "grid": 3}


def networks() -> Iterator[tuple[str, dict[str, Any], int]]:
    """Yield every network with the set it belongs to: its keys, and its images' width in pixels."""
    axes = {"filters": [10, 20, 30], "kernel_size": [3, 5, 7], "conv_blocks": [1, 2, 3], "dense_layers": [1, 2, 3]}
    for values in itertools.product(*axes.values()):
        yield "quickstart", {**dict(zip(axes, values, strict=True)), "convs_per_block": 1}, 25
    from sweep import AXES

    for values in itertools.product(*AXES.values()):
        yield "benchmark", {**dict(zip(AXES, values, strict=True)), "convs_per_block": 1, "dense_layers": 1}, 50
    for filters, kernel, blocks in itertools.product([10, 30], [3, 5, 7], [1, 2, 3]):
        keys = {"filters": filters, "kernel_size": kernel, "conv_blocks": blocks}
        yield "grid", {**keys, "convs_per_block": 3, "dense_layers": 1}, 50


def measure_here(sets: list[str], seed: int, most: int | None) -> list[dict[str, Any]]:
    """Measure in this process, in an order of its own: seconds of building, of the first epoch and of the others."""
    from clustersweep.training.device import configure_device

    configure_device(1)
    import numpy as np

    from clustersweep.study.events import EpochEnd
    from clustersweep.study.task import Infeasible
    from clustersweep.training.data import prepare
    from clustersweep.training.engine import DeviceData, Trainer, forget_networks
    from clustersweep.training.network import NetworkSpec, layers
    from clustersweep.training.spec import TrainingSpec

    work = [one for one in networks() if one[0] in sets][:most]
    random.Random(seed).shuffle(work)
    data: dict[str, DeviceData] = {}
    found = []
    for which, keys, pixels in work:
        spec = NetworkSpec(**keys)
        if isinstance(layers(spec, (pixels, pixels, 10)), Infeasible):
            continue
        clusters = CLUSTERS[which]
        rest = round(0.8 * clusters)
        train = round(0.8 * rest)
        if which not in data:
            # Counts as sparse as real ones; what is in the images does not change how long they take.
            rng = np.random.default_rng(0)
            images = rng.poisson(0.05, (rest, pixels, pixels, 10)).astype(np.uint8)
            mass, rows = rng.normal(14, 0.4, rest), np.arange(rest)
            parts = prepare(images, mass, mass, train=rows[:train], validation=rows[train:], transform="sqrt")
            data[which] = DeviceData(parts)
        epochs = EPOCHS[which]
        start = time.monotonic()
        trainer = Trainer(spec, TrainingSpec(epochs=epochs, patience=epochs), data[which])
        build_s = time.monotonic() - start
        wall, cpu, at = [], [], time.process_time()
        for event in trainer.replicate(0, checkpoint_every_s=1e9):
            if isinstance(event, EpochEnd):
                now = time.process_time()
                wall.append(round(event.seconds, 4))
                cpu.append(round(now - at, 4))
                at = now
        found.append(
            {"set": which, "network": keys, "image_shape": [pixels, pixels, 10], "train": train,
             "validation": rest - train, "batch_size": 64, "build_s": round(build_s, 3), "wall_s": wall, "cpu_s": cpu}
        )  # fmt: skip
        del trainer
        forget_networks()
    return found


def in_a_process(sets: list[str], seed: int, most: int | None) -> list[dict[str, Any]]:
    """Measure once in a process of its own."""
    command = [sys.executable, __file__, "--here", str(seed), "--sets", *sets]
    command += ["--most", str(most)] if most else []
    environment = {**os.environ, **QUIET}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT, check=True)
    return list(json.loads(done.stdout.strip().splitlines()[-1]))


def merged(rounds: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Reduce rounds to one entry for each network.

    Of the usual epochs `cpu_s` is the median by the processor's clock, `wall_s` by the wall's, and `least_s` the
    shortest by that; `compile_s` is the median of what the first epoch took beyond its round's usual one, in `cpu_s`.
    """
    together: dict[str, list[dict[str, Any]]] = {}
    for one in (one for found in rounds for one in found):
        together.setdefault(json.dumps([one["set"], one["network"]]), []).append(one)
    result = []
    for same in together.values():
        wall = [second for one in same for second in one["wall_s"][1:]]
        cpu = [second for one in same for second in one["cpu_s"][1:]]
        first = [one["cpu_s"][0] - statistics.median(one["cpu_s"][1:]) for one in same]
        kept = {key: same[0][key] for key in ("set", "network", "image_shape", "train", "validation", "batch_size")}
        result.append(
            {**kept, "rounds": len(same), "cpu_s": round(statistics.median(cpu), 4),
             "wall_s": round(statistics.median(wall), 4), "least_s": min(wall),
             "compile_s": round(statistics.median(first), 3),
             "build_s": round(statistics.median(one["build_s"] for one in same), 3)}
        )  # fmt: skip
    return sorted(result, key=lambda one: (one["set"], json.dumps(one["network"])))


def markdown(found: list[dict[str, Any]]) -> str:
    """Lay the measurements out as a table: each set's networks, shortest and longest epoch, and compilation."""
    rows = []
    for which in CLUSTERS:
        of_it = [one for one in found if one["set"] == which]
        if of_it:
            seconds = [one["cpu_s"] for one in of_it]
            crowded = statistics.median(one["wall_s"] / one["cpu_s"] for one in of_it)
            compiling = statistics.median(one["compile_s"] for one in of_it)
            rows.append((which, len(of_it), f"{min(seconds):.2f} to {max(seconds):.2f}", f"{compiling:.2f}",
                         f"{crowded:.2f}"))  # fmt: skip
    return table(("networks of", "number", "epoch, s of CPU", "to compile, s", "wall over CPU"), rows)


def main() -> None:
    """Measure all sets in every round; the result is written after each."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=list(CLUSTERS), choices=list(CLUSTERS))
    parser.add_argument("--most", type=int, help="Only so many networks.")
    parser.add_argument("--raw", type=Path, help="Every epoch: rounds of earlier runs are read from it and kept.")
    parser.add_argument("--fixture", type=Path, help="Write what the tests read to this file, too.")
    parser.add_argument("--here", type=int, help="Internal: seed of the order.")
    given = parser.parse_args()
    if given.here is not None:
        print(json.dumps(measure_here(given.sets, given.here, given.most)))
        return
    rounds = json.loads(given.raw.read_text()) if given.raw and given.raw.exists() else []
    for _ in range(1 if given.quick else given.rounds):
        rounds.append(in_a_process(given.sets, len(rounds), 3 if given.quick else given.most))
        print(f"round {len(rounds)}", flush=True)
        if given.raw:
            given.raw.write_text(json.dumps(rounds))
    found = merged(rounds)
    write_result("epochs", {"threads": 1, "epochs": found}, given.results)
    if given.fixture:
        entries = ",\n".join(json.dumps(one) for one in found)
        about = json.dumps({"machine": machine(), "threads": 1})[:-1]
        given.fixture.write_text(f'{about}, "epochs": [\n{entries}\n]}}\n')
    print(markdown(found))


if __name__ == "__main__":
    main()
