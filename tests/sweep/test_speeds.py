"""What a home keeps of the speeds that sweeps measured, and what it makes of a file that it does not know."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from measured_epochs import CPU, measured, sums_of

from clustersweep.study.cost import PARTS, fitted, measured_sums
from clustersweep.sweep.speeds import add_speeds, read_speed


def test_what_a_home_keeps_adds_up_over_sweeps_and_gives_the_fit_of_all(tmp_path):
    path = tmp_path / "speeds.json"
    assert not read_speed(path, 1).measured
    add_speeds(path, {CPU: sums_of("quickstart")})
    add_speeds(path, {CPU: sums_of("benchmark")})
    kept, direct = read_speed(path, 1), fitted(sums_of("quickstart") + sums_of("benchmark"), CPU)
    assert (kept.device, kept.count) == (CPU, 71)
    np.testing.assert_allclose(kept.unit_s, direct.unit_s, rtol=1e-9)
    assert kept.sizes == direct.sizes
    assert len(path.read_bytes()) < 4096


def test_what_a_home_keeps_is_bounded_and_what_is_older_counts_less(tmp_path):
    path, trial = tmp_path / "speeds.json", measured("benchmark")[0][0]
    for second in (1.0, 2.0):
        add_speeds(path, {CPU: measured_sums(trial, second, 1.0).times(3000)})
    assert read_speed(path, 1).count == 2000
    assert read_speed(path, 1).epoch_s(trial) == pytest.approx(2.0, rel=0.05)
    for number in range(40):
        add_speeds(path, {replace(CPU, model=f"number {number}"): measured_sums(trial, 1.0, 1.0)})
    assert len(json.loads(path.read_text())["devices"]) == 32


def test_devices_and_threads_are_kept_apart_and_the_last_one_that_trained_counts(tmp_path):
    path, trial = tmp_path / "speeds.json", measured("benchmark")[0][0]
    gpu, two = replace(CPU, kind="GPU", model="big"), replace(CPU, threads=2)
    at = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    add_speeds(path, {CPU: measured_sums(trial, 1.0, 1.0)}, at[0])
    add_speeds(path, {two: measured_sums(trial, 0.5, 1.0)}, at[1])
    assert read_speed(path, 1).device == CPU
    assert read_speed(path, 2).device == two
    assert not read_speed(path, 4).measured
    add_speeds(path, {gpu: measured_sums(trial, 0.1, 1.0)}, at[2])
    assert read_speed(path, 1).device == gpu
    assert read_speed(path, 1).epoch_s(trial) < 0.5


def broken(entry):
    return json.dumps({"format": 1, "parts": list(PARTS), "devices": [entry]})


@pytest.mark.parametrize(
    "content",
    ["{broken", "[]", "null", '{"flops_per_s": 1e9, "trial_s": 2.0, "measured": true}', '{"format": 2}',
     broken({}), broken(None), broken({"kind": "CPU", "model": "m", "threads": 1, "precision": "float32",
     "deterministic": True, "at": "2026", "count": float("nan"), "products": [[1]], "amounts": [1], "compile_s": 1,
     "layers": 1, "sizes": {}})],
)  # fmt: skip
def test_a_file_that_says_nothing_known_means_what_is_assumed_and_is_written_anew(tmp_path, content):
    path = tmp_path / "speeds.json"
    path.write_text(content)
    assert not read_speed(path, 1).measured
    add_speeds(path, {CPU: sums_of("benchmark")})
    assert read_speed(path, 1).count == 8
