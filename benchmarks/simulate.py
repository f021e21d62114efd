"""Measure how the time and memory of a simulation grow with the number of clusters.

Run as `python benchmarks/simulate.py [--jobs 2] [--clusters 1000 2000 ...]`; prints a table and writes
`benchmarks/simulate.json` beside itself. Each survey is written by the program's own function in a fresh process.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

PROGRAM = """
import sys
from pathlib import Path
from clustersweep.survey.simulator.simulate import write_survey
from clustersweep.survey.spec import SimulateSpec
write_survey(SimulateSpec(clusters=int(sys.argv[1])), Path(sys.argv[2]), jobs=int(sys.argv[3]))
"""


def measure(clusters: int, jobs: int, folder: Path) -> dict[str, Any]:
    """Write one survey and give its wall time, the peak memory of all its processes together, and its size."""
    to = folder / f"survey-{clusters}"
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(clusters), str(to), str(jobs)])
    peak_bytes = 0
    while process.poll() is None:
        peak_bytes = max(peak_bytes, memory_bytes(process.pid))
        time.sleep(0.02)
    seconds = time.monotonic() - start
    if process.returncode:
        raise SystemExit(f"the simulation of {clusters} clusters ended with {process.returncode}")
    size = sum(file.stat().st_size for file in to.iterdir())
    return {"clusters": clusters, "seconds": round(seconds, 2), "peak_mib": round(peak_bytes / 2**20),
            "files_mib": round(size / 2**20)}  # fmt: skip


def memory_bytes(pid: int) -> int:
    """Memory that a process and its children hold; what they share counts for each of them."""
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for one in family:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--clusters", type=int, nargs="+", default=[1000, 2000, 4000, 7946, 16000])
    options = parser.parse_args()
    rows = []
    print(f"{'clusters':>9} {'seconds':>8} {'per 1000':>9} {'peak MiB':>9} {'files MiB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for clusters in options.clusters:
            row = measure(clusters, options.jobs, Path(folder))
            rows.append(row)
            per_thousand = 1000 * row["seconds"] / clusters
            print(
                f"{clusters:>9} {row['seconds']:>8.1f} {per_thousand:>9.2f} {row['peak_mib']:>9} {row['files_mib']:>10}"
            )
    machine = {"python": platform.python_version(), "system": platform.machine(), "cores": os.cpu_count()}
    result = {"what": "clustersweep simulate, 50 x 50 pixels x 10 bands", "jobs": options.jobs, **machine, "rows": rows}
    (Path(__file__).parent / "simulate.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
