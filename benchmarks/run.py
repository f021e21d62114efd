"""Run every benchmark of speed, one after the other, and print the tables of docs/speed.md. `make bench` runs this.

About an hour and a quarter on two cores; nothing else should run meanwhile. `--quick` shows in minutes that all of them
work, and its numbers mean nothing; `--tables` prints the tables of the last results and measures nothing.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring import ROOT, options, read_result, table

SCRIPTS = ("schedule", "start", "efficiency", "memory", "overhead", "sweep")
Row = tuple[object, ...]


def sweep_table(found: dict[str, Any]) -> str:
    """Say how long the same sweep takes in each contestant."""
    names = list(dict.fromkeys(name for one in found["lengths"].values() for name in one["contestants"]))
    rows: list[Row] = []
    for epochs, one in found["lengths"].items():
        cells = []
        for name in names:
            mine = one["contestants"].get(name)
            ratio = "" if name == "clustersweep" else f" ({mine['ratio']:.1f} times)" if mine and mine["ratio"] else ""
            cells.append(f"{mine['median_s']:.0f} s{ratio}" if mine else "not run")
        rows.append((f"{8 * len(found['work']['seeds'])} trainings of {epochs} epochs", *cells))
    return table(("", *names), rows)


def single_rows(folder: Path) -> Iterator[Row]:
    """Yield what is measured of clustersweep alone, where it has been."""
    overhead = read_result("overhead", folder)
    launches = [one for one in overhead.get("launches", []) if (one["seeds"], one["workers"]) == (1, "ray")]
    if launches:
        costs = ", ".join(f"{one['ms_per_trial']:.0f} ms at {one['trials']:,}" for one in launches)
        yield "a trial that trains nothing", costs
        yield (
            "the driver's memory at its peak",
            ", ".join(f"{one['driver_peak_mib']} MiB at {one['trials']:,} trials" for one in launches),
        )
        for page in launches[-1].get("pages") or []:
            if page["page"] == "a study: its data":
                yield (f"the dashboard's first page of {launches[-1]['trials']:,} trials",
                       f"{page['seconds']:.1f} s, {page['bytes_sent'] / 1e6:.0f} MB")  # fmt: skip
    for one in overhead.get("optuna", []):
        yield f"the same in Optuna's ask-and-tell loop, {one['trials']:,} trials", f"{one['ms_per_trial']:.0f} ms"
    for kind, one in overhead.get("ray_tune", {}).items():
        what = "the same in Ray Tune" + (", importing Keras" if kind == "import" else "")
        yield f"{what}, {one['trials']} trials", f"{one['ms_per_trial']:,.0f} ms"
    efficiency = read_result("efficiency", folder)
    for one in efficiency.get("rates", []):
        where = f"{one['workers']} x {one['threads']} threads"
        yield (f"training over matrix product, {where}",
               f"{one['median_share']:.0%} of {one['matrix_product_gflops_per_core']:.0f} GFLOP/s a core")  # fmt: skip
    for one in efficiency.get("watched", []):
        yield (f"workers busy between first and last epoch, {one['epochs']} epochs",
               f"{one['busy']:.1%} (compiling {one['of_it_compiling']:.1%}, building "
               f"{one['building']:.1%})")  # fmt: skip
    start = read_result("start", folder)
    for what, seconds in start.get("seconds", {}).items():
        yield what, f"{sorted(seconds)[len(seconds) // 2]:.2f} s"
    for clusters, mib in read_result("memory", folder).get("further_worker_mib", []):
        yield f"memory of each further worker, {clusters:,} clusters", f"{mib} MiB"
    for one in read_result("schedule", folder).get("cases", []):
        over = [run["over"] for run in one["runs"] if run["order"] == "longest first"]
        most = max(run["workers"] for run in one["runs"])
        yield (
            f"order of work, {one['study']} ({one['durations']}), 1 to {most} workers",
            f"at most {max(over):.1%} over",
        )


def tables(folder: Path) -> str:
    """Return the tables of docs/speed.md, of what has been measured."""
    parts = []
    found = read_result("sweep", folder)
    if found:
        on = found["machine"]
        packages = on["versions"] | {"keras-tuner": found["keras-tuner"]}
        versions = ", ".join(f"{name} {version}" for name, version in packages.items())
        parts += [sweep_table(found), f"{on['processor']}, {on['cores']} cores, {on['memory_gib']} GiB; "
                  f"Python {on['python']}, {versions}; {on['date']}."]  # fmt: skip
    rows = list(single_rows(folder))
    if rows:
        parts.append(table(("", "measured"), rows))
    return "\n\n".join(parts)


def main() -> None:
    """Run all, or what is named; go on after one that fails, and say so at the end."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", default=list(SCRIPTS), choices=SCRIPTS)
    parser.add_argument("--tables", action="store_true", help="Print the tables of the last results.")
    given = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as unkept:
        folder = Path(unkept) if given.quick else given.results  # a quick run's numbers must not be taken for results
        if not given.tables:
            for name in given.only:
                words = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py")]
                words += ["--peers", str(given.peers), "--results", str(folder), *(["--quick"] if given.quick else [])]
                print(f"== {name}", flush=True)
                if subprocess.run(words, check=False).returncode:
                    failed.append(name)
        print(tables(folder))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
