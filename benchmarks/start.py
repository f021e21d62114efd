"""How long a person waits: `--help`, `plan`, `launch` to the first epoch, and the relaunch of a finished study.

Medians of five processes each, with the files in the operating system's cache. The launch is one epoch of the smallest
networks on 2,000 clusters, whose first epoch ends with the first line about a trial.
Run as `python benchmarks/start.py`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measuring import CLUSTERSWEEP, Finished, fresh_home, options, run, spread, table, write_result, write_study

TENTHS = [number / 1000 for number in range(1, 11)]
LARGE = {"filters": list(range(1, 11)), "learning_rate": TENTHS, "weight_decay": TENTHS, "dropout": TENTHS}
WAITS = ("`--help`", "`plan` of the 81", "`plan` of 10,000", "`plan --json` of 10,000")


def small_launch(folder: Path, clusters: int, name: str) -> Path:
    """Write a study that is done as soon as everything runs."""
    sections = {
        "data": {"simulate": {"clusters": clusters, "seed": 42}},
        "search_space": {"filters": [9, 10]},
        "network": {"kernel_size": 3, "conv_blocks": 1, "convs_per_block": 1, "dense_layers": 1},
        "training": {"epochs": 1, "patience": 1},
        "seeds": [0],
    }
    return write_study(folder, name, sections)


def steps(done: Finished) -> dict[str, float]:
    """Read how long each step of a launch says that it took."""
    told = (re.match(r"(.+) \(([\d.]+) s\)$", line) for _, line in done.lines)
    return {match[1]: float(match[2]) for match in told if match}


def waits(folder: Path, repeats: int) -> dict[str, list[float]]:
    """Time what needs no launch."""
    large = write_study(folder, "large", {"data": {"simulate": {"clusters": 2000}}, "search_space": LARGE,
                                          "network": {"convs_per_block": 1}})  # fmt: skip
    words = (["--help"], ["plan", "sweeps/grid.yaml"], ["plan", large], ["plan", large, "--json"])
    found: dict[str, list[float]] = {name: [] for name in WAITS}
    for _ in range(repeats):
        for name, arguments in zip(WAITS, words, strict=True):
            found[name].append(run([*CLUSTERSWEEP, *arguments], home=folder / "home").seconds)
    return found


def launches(folder: Path, clusters: int, repeats: int) -> tuple[dict[str, list[float]], list[dict[str, float]]]:
    """Time launches: in a fresh home, of a second study, of the finished one, and of that with the server stopped."""
    names = ("`launch` to the end of the first epoch, fresh home", "the same, database there but stopped",
             "the same, database running", "`launch`, fresh home, to the prompt", "relaunch of a finished study",
             "the same, database stopped")  # fmt: skip
    found: dict[str, list[float]] = {name: [] for name in names}
    told = []
    with fresh_home() as made:
        clusters_file = small_launch(folder, clusters, "made")
        run([*CLUSTERSWEEP, "launch", clusters_file], home=made)  # the survey
        for _ in range(repeats):
            with fresh_home(made / "surveys") as home:
                first = run([*CLUSTERSWEEP, "launch", small_launch(folder, clusters, "first")], home=home)
                run([*CLUSTERSWEEP, "stop"], home=home)
                stopped = run([*CLUSTERSWEEP, "launch", small_launch(folder, clusters, "second")], home=home)
                second = run([*CLUSTERSWEEP, "launch", small_launch(folder, clusters, "third")], home=home)
                again = run([*CLUSTERSWEEP, "launch", folder / "first.yaml"], home=home)
                run([*CLUSTERSWEEP, "stop"], home=home)
                cold = run([*CLUSTERSWEEP, "launch", folder / "first.yaml"], home=home)
            values = (first.when("trial "), stopped.when("trial "), second.when("trial "), first.seconds,
                      again.seconds, cold.seconds)  # fmt: skip
            for name, value in zip(names, values, strict=True):
                found[name].append(value)
            told.append(steps(first))
    return found, told


def markdown(result: Mapping[str, Any]) -> str:
    """Lay a result out as tables."""
    return table(("wait", "seconds"), [(name, spread(seconds, 2)) for name, seconds in result["seconds"].items()])


def main() -> None:
    """Measure, print, write."""
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    repeats, clusters = (1, 60) if given.quick else (given.repeats, 2000)
    with fresh_home() as home:
        found = waits(home.parent, repeats)
        launched, told = launches(home.parent, clusters, repeats)
    result = {"repeats": repeats, "seconds": {n: [round(s, 3) for s in v] for n, v in (found | launched).items()},
              "steps_of_a_fresh_launch": told}  # fmt: skip
    write_result("start", result, given.results)
    print(markdown(result))


if __name__ == "__main__":
    main()
