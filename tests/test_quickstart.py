"""`make sweep` as a newcomer runs it: the shipped quick start on fewer clusters, with nothing but what is real."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.table import QTable
from places import ROOT

CLUSTERS = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The shipped studies in a folder of their own; the quick start with less to train, and the same otherwise."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(ROOT / "sweeps", folder / "sweeps")
    study = folder / "sweeps" / "quickstart.yaml"
    text = study.read_text()
    for shipped, less in [
        ("clusters: 1600,", f"clusters: {CLUSTERS},"),
        ("epochs: 6 ", "epochs: 1 "),
        ("patience: 6 ", "patience: 1 "),
    ]:
        assert text.count(shipped) == 1, f"{study.name} has no {shipped!r}"
        text = text.replace(shipped, less)
    study.write_text(text)
    return folder


@pytest.mark.integration
@pytest.mark.timeout(1000)
def test_the_quick_start_completes_63_combinations_with_three_seeds_and_records_18_as_impossible(embedded_home, folder):
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(embedded_home.path)}

    def run(*words):
        command = [sys.executable, "-m", "clustersweep", *words]
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True, timeout=900)

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


@pytest.mark.integration
@pytest.mark.timeout(1000)
def test_from_the_sweep_to_masses_as_the_page_says(embedded_home, folder):
    """Needs the sweep above, which it launches again; the commands that docs/training.md begins with, as they stand."""
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(embedded_home.path)}
    page = (ROOT / "docs" / "training.md").read_text()
    commands = [line.strip() for line in re.search(r"\n((?:    .*\n)+)", page).group(1).splitlines()]
    assert [shlex.split(line)[1] for line in commands] == ["export", "train", "simulate", "predict"]
    for line in ["clustersweep launch sweeps/quickstart.yaml", *commands]:
        words = [sys.executable, "-m", "clustersweep", *shlex.split(line, comments=True)[1:]]
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert "Against the known masses of 500 clusters" in done.stdout
    page = (folder / "model" / "report.html").read_text()
    assert f"{CLUSTERS} simulated clusters" in page
    masses = QTable.read(folder / "masses.fits")
    assert len(masses) == 500
    assert {"identifier", "log_mass", "log_mass_sd", "M500c", "flag"} <= set(masses.colnames)
    assert str(masses["M500c"].unit) == "solMass"
    assert (masses["log_mass_sd"] > 0).all()
