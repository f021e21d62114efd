"""What a trial costs beside its training, and how that grows: no-op trials at 81, 1,000 and 10,000.

clustersweep's are whole launches (see `noop_launch.py`): real PostgreSQL, Ray, loop and report, only the worker answers
at once; the same with a trainer of one's own (`noop_own.py`), which is real from end to end. Beside it Ray Tune's no-op
trials (capped at 20, as each is a process) and Optuna's ask-and-tell loop on the same kind of server (capped at 1,000:
its cost grows). Then the dashboard's first pages for the largest study.
Run as `python benchmarks/overhead.py`.
"""

import contextlib
import gzip
import json
import os
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from measuring import (
    CLUSTERSWEEP,
    PEERS,
    QUIET,
    ROOT,
    fresh_home,
    options,
    read_result,
    run,
    run_json,
    table,
    write_result,
    write_study,
)

TENTHS = [number / 1000 for number in range(1, 11)]
# Four axes always, as in the real grid: every parameter of a trial is a row.
GRIDS: dict[int, dict[str, list[Any]]] = {
    16: {"filters": [1, 2], "kernel_size": [3, 5], "conv_blocks": [1], "dense_layers": [1, 2], "learning_rate": [1, 2]},
    81: {"filters": [1, 2, 3], "kernel_size": [1, 2, 3], "conv_blocks": [1, 2, 3], "dense_layers": [1, 2, 3]},
    1000: {"filters": list(range(1, 11)), "learning_rate": TENTHS, "weight_decay": TENTHS, "dropout": [0.0]},
    10000: {"filters": list(range(1, 11)), "learning_rate": TENTHS, "weight_decay": TENTHS, "dropout": TENTHS},
}
NOTHING = {"s": 0.0, "statements": 0, "commits": 0}
FRESH_SURVEY = {"simulate": {"clusters": 60, "seed": 1, "pixels": 16}}


def noop_study(folder: Path, trials: int, seeds: int, *, own: bool) -> Path:
    """Write a study with so many feasible combinations; `own`: of a function that it names."""
    if own:
        shutil.copy(ROOT / "benchmarks" / "noop_own.py", folder)
        given = {"task": "noop_own:train", "search_space": GRIDS[trials], "seeds": list(range(seeds))}
        return write_study(folder, f"noop-{trials}", given)
    sections = {
        "data": FRESH_SURVEY,
        "search_space": GRIDS[trials],
        "network": {"convs_per_block": 1, "padding": "same"},
        "training": {"epochs": 3, "patience": 3},
        "seeds": list(range(seeds)),
    }
    return write_study(folder, f"noop-{trials}", sections)


def measure_launch(trials: int, seeds: int, kind: str, *, dashboard: bool, own: bool) -> dict[str, Any]:
    """Launch so many no-op trials in a fresh home; then, if asked, time the dashboard's first pages."""
    import sys

    with fresh_home() as home:
        study = noop_study(home.parent, trials, seeds, own=own)
        found = run_json([sys.executable, ROOT / "benchmarks" / "noop_launch.py", study, home, kind])
        found |= {"pages": first_pages(home) if dashboard else None, "own": own}
    return found


def first_pages(home: Path) -> list[dict[str, Any]]:
    """Time what the dashboard's front end fetches, in its order: each the first time, and the study's data again.

    Its poll asks again for every trial from the first one on that is still waiting or running.
    """
    with serving(home) as address:
        pages = [
            (
                "the list of studies: page and program",
                ["/dashboard/", "/static/bundle.js", "/api/meta"],
            ),
            ("the list of studies: data", ["/api/studies"]),
            ("a study: its data", ["/api/studies/1?after=0"]),
            ("the same again, within its cache", ["/api/studies/1?after=0"]),
            ("importances", ["/api/studies/1/param_importances"]),
        ]
        return [{"page": page, **_fetched([address + path for path in paths])} for page, paths in pages]


def _fetched(urls: list[str]) -> dict[str, Any]:
    start, size, sent = time.monotonic(), 0, 0
    for url in urls:
        request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})  # as every browser asks
        with urllib.request.urlopen(request, timeout=600) as answer:
            body = answer.read()
        sent += len(body)
        size += len(gzip.decompress(body)) if answer.headers.get("Content-Encoding") == "gzip" else len(body)
    return {"seconds": round(time.monotonic() - start, 3), "bytes": size, "bytes_sent": sent}


@contextlib.contextmanager
def serving(home: Path) -> Iterator[str]:
    """Run `clustersweep dashboard` on a free port until the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*CLUSTERSWEEP, "dashboard", "--home", str(home), "--port", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **QUIET}
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def measure_ray_tune(peers: Path, trials: int, kind: str) -> dict[str, Any]:
    """Run Ray Tune's no-op trials."""
    found = run_json([peers, PEERS / "noop_ray_tune.py", trials, kind])
    return {"trials": trials, "ms_per_trial": round(1000 * found["seconds"] / trials, 1)}


def measure_optuna(trials: int) -> dict[str, Any]:
    """Run Optuna's own loop on an embedded server of its own."""
    from clustersweep.home import Home
    from clustersweep.postgres.location import open_database

    with fresh_home() as home:
        database = open_database(None, {}, Home(home))
        os.environ["BENCHMARK_DATABASE"] = database.url
        try:
            seconds = json.loads(run([_python(), PEERS / "noop_optuna.py", trials]).out)
        finally:
            del os.environ["BENCHMARK_DATABASE"]
    tenth = max(1, trials // 10)
    return {
        "trials": trials,
        "ms_per_trial": round(1000 * statistics.fmean(seconds), 2),
        "ms_first_tenth": round(1000 * statistics.fmean(seconds[:tenth]), 2),
        "ms_last_tenth": round(1000 * statistics.fmean(seconds[-tenth:]), 2),
    }


def _python() -> str:
    return CLUSTERSWEEP[0]


def markdown(result: Mapping[str, Any]) -> str:
    """Lay a result out as tables."""
    titles = ("no-op trials", "seeds", "ms a trial", "of the first tenth", "of the last", "to insert, ms a trial",
              "SQL statements (commits) a trial", "driver's peak, MiB")  # fmt: skip
    rows = []
    for one in result.get("launches", []):
        insert, sweep = (one["steps"].get(step, NOTHING) for step in ("adding the trials", "the sweep"))
        where = "" if one["workers"] == "ray" else ", without Ray"
        n = one["trials"]
        who = ", a trainer of one's own" if one.get("own") else ""
        rows.append((f"clustersweep{who}, {n:,}{where}", one["seeds"], one["ms_per_trial"], one["ms_first_tenth"],
                     one["ms_last_tenth"], f"{1000 * insert['s'] / n:.1f}",
                     f"{insert['statements'] / n:.0f} + {sweep['statements'] / n:.0f} "
                     f"({insert['commits'] / n:.0f} + {sweep['commits'] / n:.0f})",
                     one["driver_peak_mib"]))  # fmt: skip
    for one in result.get("optuna", []):
        rows.append((f"Optuna's loop, {one['trials']:,}", "", one["ms_per_trial"], one["ms_first_tenth"],
                     one["ms_last_tenth"], "", "", ""))  # fmt: skip
    for kind, one in result.get("ray_tune", {}).items():
        words = " that import Keras" if kind == "import" else ""
        rows.append((f"Ray Tune, {one['trials']}{words}", "", one["ms_per_trial"], "", "", "", "", ""))
    parts = [table(titles, rows)]
    for one in result.get("launches", []):
        if one.get("pages"):
            pages = [(p["page"], p["seconds"], f"{p['bytes'] / 1e6:.1f}", f"{p['bytes_sent'] / 1e6:.1f}")
                     for p in one["pages"]]  # fmt: skip
            parts.append(table((f"dashboard, {one['trials']:,} trials", "seconds", "MB", "MB sent"), pages))
    return "\n\n".join(parts)


def main() -> None:
    """Measure one after the other; every measurement is written at once."""
    parser = options(__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[81, 1000, 10000], choices=list(GRIDS))
    parser.add_argument("--parts", nargs="+", default=["launch", "optuna", "ray"], choices=["launch", "optuna", "ray"])
    given = parser.parse_args()
    result: dict[str, Any] = read_result("overhead", given.results)
    trials = [16] if given.quick else given.trials
    if "launch" in given.parts:
        result["launches"] = []
        plans = [(n, 1, "ray") for n in trials] + [(n, 3, "ray") for n in trials if n < 10000]
        plans += [(n, 1, "here") for n in trials if n < 10000]
        for number, seeds, kind in plans[:1] if given.quick else plans:
            print(f"{number} no-op trials with {seeds} seeds, workers: {kind}", flush=True)
            largest = number == max(trials) and (seeds, kind) == (1, "ray")
            for own in (False, True):
                found = measure_launch(number, seeds, kind, dashboard=largest and not own, own=own)
                result["launches"].append(found)
                write_result("overhead", result, given.results)
    if "optuna" in given.parts:
        result["optuna"] = [measure_optuna(n) for n in ([10] if given.quick else [100, 1000])]
        write_result("overhead", result, given.results)
    if "ray" in given.parts:
        number = 2 if given.quick else 20
        result["ray_tune"] = {kind: measure_ray_tune(given.peers, number, kind) for kind in ("nothing", "import")}
        write_result("overhead", result, given.results)
    print(markdown(result))


if __name__ == "__main__":
    main()
