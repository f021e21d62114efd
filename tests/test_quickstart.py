"""`make sweep` as a newcomer runs it: the shipped quick start, with nothing but what is real."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_quick_start_completes_63_combinations_with_three_seeds_and_records_18_as_impossible(embedded_home):
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(embedded_home.path)}

    def run(*words):
        command = [sys.executable, "-m", "clustersweep", *words]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=800)

    launched = run("launch", "sweeps/quickstart.yaml")
    assert "81 combinations, 63 feasible, 18 impossible" in launched.stderr
    assert "81 combinations: 63 complete, 18 infeasible" in launched.stdout
    status = json.loads(run("status", "sweeps/quickstart.yaml", "--json").stdout)
    assert [status[name] for name in ("complete", "running", "waiting", "failed", "infeasible")] == [63, 0, 0, 0, 18]
    assert set(status["best"]["seeds"]) == {"0", "1", "2"}
    with (embedded_home.run("quickstart") / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["state"] == "infeasible"]) == 18
    assert len([row for row in rows if row["state"] == "complete"]) == 189
    again = run("launch", "sweeps/quickstart.yaml")
    assert "0 of 189 replicates to train" in again.stderr
