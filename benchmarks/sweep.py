"""The same sweep in clustersweep and in what a person would use instead, side by side.

8 combinations x 3 seeds on 2,000 simulated clusters of 50 x 50 pixels x 10 bands, batches of 64. Every contestant is
one process, timed from its start to its end; clustersweep's starts PostgreSQL and Ray in a home that has nothing but
the survey, and writes its report. In each round every contestant runs once, in another order. Run as
`python benchmarks/sweep.py` for both lengths, or with `--epochs 3 --rounds 3`.
"""

import csv
import itertools
import json
import re
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import (
    CLUSTERSWEEP,
    PEERS,
    fresh_home,
    options,
    read_result,
    run,
    spread,
    table,
    version_beside,
    write_result,
    write_study,
)

AXES = {"filters": [10, 30], "kernel_size": [3, 5], "conv_blocks": [1, 2]}
SEEDS = [0, 1, 2]
BATCH = 64
# Epochs: rounds, and who runs. Ray Tune's long run would only repeat what its short one tells: it is capped.
LENGTHS: dict[int, tuple[int, list[str]]] = {
    3: (3, ["clustersweep", "Keras loop", "KerasTuner", "Ray Tune"]),
    20: (1, ["clustersweep", "Keras loop", "KerasTuner"]),
}


@dataclass(frozen=True)
class Setting:
    """What all contestants are given.

    Attributes:
        study: clustersweep's study file.
        work: The same for the peers, as JSON.
        data: The same data for the peers, as npz.
        surveys: The simulated survey, for clustersweep's home.
        name: The study's name.
    """

    study: Path
    work: Path
    data: Path
    surveys: Path
    name: str


@dataclass(frozen=True)
class Run:
    """One run of one contestant: seconds, `{combination: [losses]}` in dex^2, and what it told of its steps."""

    seconds: float
    losses: Mapping[str, list[float]]
    steps: Mapping[str, float]


def prepare(folder: Path, clusters: int, epochs: int, seeds: list[int]) -> Setting:
    """Simulate the survey, and write the work for everybody."""
    from clustersweep.study.task import Infeasible
    from clustersweep.survey.source import open_dataset
    from clustersweep.survey.split import make_split
    from clustersweep.tasks import load_study
    from clustersweep.training.network import layers, parameters

    sections = {
        "data": {"simulate": {"clusters": clusters, "seed": 42}},
        "search_space": AXES,
        "network": {"convs_per_block": 1, "dense_layers": 1},
        "training": {"epochs": epochs, "patience": epochs, "batch_size": BATCH},
        "seeds": seeds,
    }
    path = write_study(folder, "benchmark", sections)
    study = load_study(path)
    dataset = open_dataset(study.task.data, folder / "surveys", jobs=2)
    split = make_split(len(dataset), study.task.split)
    arrays = {}
    for part, rows in (("train", split.train), ("validation", split.validation)):
        arrays[f"{part}_images"], arrays[f"{part}_log_mass"] = dataset.images[rows], dataset.log_mass[rows]
    np.savez(folder / "data.npz", **arrays)
    counts = {}
    for values in itertools.product(*AXES.values()):
        network, training = study.task.specs(dict(zip(AXES, values, strict=True)))
        found = layers(network, dataset.images.shape[1:])
        if isinstance(found, Infeasible):
            raise SystemExit(found.reason)
        counts[" ".join(map(str, values))] = parameters(found)
    work = {
        "axes": AXES,
        "seeds": seeds,
        "epochs": epochs,
        "batch_size": BATCH,
        "image_shape": dataset.images.shape[1:],
        "filters_step": network.filters_step,
        "dense_units": network.dense_units[: network.dense_layers],
        "learning_rate": training.learning_rate,
        "parameters": counts,
    }
    (folder / "work.json").write_text(json.dumps(work))
    return Setting(path, folder / "work.json", folder / "data.npz", folder / "surveys", study.name)


def run_clustersweep(setting: Setting, peers: Path) -> Run:
    """Launch the study in a fresh home."""
    with fresh_home(setting.surveys) as home:
        done = run([*CLUSTERSWEEP, "launch", setting.study], home=home)
        with (home / "runs" / setting.name / "results.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["state"] == "complete"]
    told = (re.match(r"(.+) \(([\d.]+) s\)$", line) for _, line in done.lines)
    steps = {match[1]: float(match[2]) for match in told if match}
    steps["the first trial"] = round(done.when("trial "), 2)
    return Run(done.seconds, _by_combination(rows, "val_loss_dex2"), steps)


def run_peer(script: str) -> Callable[[Setting, Path], Run]:
    """Return what runs one of the scripts in peers/."""

    def run_it(setting: Setting, peers: Path) -> Run:
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "answer.json"
            done = run([peers, PEERS / script, setting.work, setting.data, answer])
            return Run(done.seconds, _by_combination(json.loads(answer.read_text()), "val_loss"), {})

    return run_it


CONTESTANTS: dict[str, Callable[[Setting, Path], Run]] = {
    "clustersweep": run_clustersweep,
    "Keras loop": run_peer("loop.py"),
    "KerasTuner": run_peer("tuner.py"),
    "Ray Tune": run_peer("ray_tune.py"),
}


def _by_combination(rows: list[dict[str, Any]], loss: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(" ".join(str(row[name]) for name in AXES), []).append(float(row[loss]))
    if len(found) != 8:
        raise SystemExit(f"{len(found)} combinations instead of 8")
    return dict(sorted(found.items()))


def compare(runs: Mapping[str, list[Run]]) -> dict[str, Any]:
    """Return each contestant's seconds, its ratio to clustersweep in the same round, and its losses beside ours."""
    ours = runs["clustersweep"]
    found: dict[str, Any] = {}
    for name, mine in runs.items():
        if not mine:
            continue
        pairs = list(zip(mine, ours, strict=False))  # an interrupted round has fewer
        means = [statistics.fmean(losses) for losses in mine[0].losses.values()]
        found[name] = {
            "seconds": [round(one.seconds, 2) for one in mine],
            "median_s": round(statistics.median(one.seconds for one in mine), 2),
            "ratios": [round(one.seconds / other.seconds, 3) for one, other in pairs],
            "ratio": round(statistics.median(one.seconds / other.seconds for one, other in pairs), 3)
            if pairs
            else None,
            "loss_dex2": {"median": statistics.median(means), "lowest": min(means), "highest": max(means)},
            "p_same_losses": same_losses(mine[0], ours[0]) if ours and mine is not ours else None,
            "losses": mine[0].losses,
            "steps": [one.steps for one in mine if one.steps],
        }
    return found


def same_losses(one: Run, other: Run) -> float:
    """Return the probability that losses as different as these come from the same training, by a paired t-test.

    Of the combinations' logarithmic mean losses: their scatter over the seeds is about the same share everywhere.
    """
    from scipy.stats import ttest_rel

    means = [[np.log(np.mean(losses)) for losses in run.losses.values()] for run in (one, other)]
    return round(float(ttest_rel(*means).pvalue), 3)


def markdown(result: Mapping[str, Any]) -> str:
    """Lay a result out as tables."""
    parts = []
    for epochs, found in result["lengths"].items():
        rows = [
            (name, spread(one["seconds"]), f"{one['ratio']:.2f}" if one["ratio"] else "",
             "{median:.3f} ({lowest:.3f} to {highest:.3f})".format(**one["loss_dex2"]),
             "" if one["p_same_losses"] is None else one["p_same_losses"])
            for name, one in found["contestants"].items()
        ]  # fmt: skip
        titles = (f"{epochs} epochs", "seconds", "times as long", "val_loss over the combinations, dex²", "p")
        parts.append(table(titles, rows))
    return "\n\n".join(parts)


def main() -> None:
    """Run the contestants round by round; every run is written at once."""
    parser = options(__doc__)
    parser.add_argument("--epochs", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--rounds", type=int, help="Rounds for each length. [default: 3 short, 1 long]")
    parser.add_argument("--contestants", nargs="+", choices=list(CONTESTANTS), help="[default: see LENGTHS]")
    parser.add_argument("--clusters", type=int, default=2000)
    given = parser.parse_args()
    clusters, seeds = (120, [0]) if given.quick else (given.clusters, SEEDS)
    lengths = [1] if given.quick else given.epochs
    result = read_result("sweep", given.results)
    result["keras-tuner"] = version_beside(given.peers, "keras-tuner")
    result |= {"work": {"clusters": clusters, "axes": AXES, "seeds": seeds, "batch_size": BATCH}}
    result.setdefault("lengths", {})
    for epochs in lengths:
        rounds, names = LENGTHS.get(epochs, (1, list(CONTESTANTS)))
        names, rounds = given.contestants or names, given.rounds or rounds
        runs: dict[str, list[Run]] = {name: [] for name in dict.fromkeys(["clustersweep", *names])}
        with tempfile.TemporaryDirectory() as folder:
            setting = prepare(Path(folder), clusters, epochs, seeds)
            for number in range(rounds):
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    done = CONTESTANTS[name](setting, given.peers)
                    runs[name].append(done)
                    print(f"{epochs} epochs, round {number + 1}: {name} {done.seconds:.1f} s", flush=True)
                    result["lengths"][str(epochs)] = {"rounds": number + 1, "contestants": compare(runs)}
                    write_result("sweep", result, given.results)
    print(markdown(result))


if __name__ == "__main__":
    main()
