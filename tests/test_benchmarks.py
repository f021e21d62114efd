"""The benchmarks' own arithmetic, and that every script is whole; what they measure is no test's business."""

import ast
import importlib
import json
import subprocess
import sys

import pytest
from places import ROOT
from small_study import small_plan, write_study

from clustersweep.study.cost import Speed
from clustersweep.study.events import EpochEnd
from clustersweep.sweep.events import EpochDone, ReplicateBegan, ReplicateDone

BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = ["efficiency", "memory", "overhead", "run", "schedule", "start", "sweep"]


@pytest.fixture
def script(monkeypatch):
    """Import a benchmark as it imports its neighbours when it is run."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.mark.parametrize("path", sorted(BENCHMARKS.rglob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_can_be_read_and_says_what_it_measures(path):
    assert len(ast.get_docstring(ast.parse(path.read_text()))) > 40


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_benchmark_explains_its_options(name):
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--quick" in done.stdout


def test_make_bench_runs_every_benchmark_of_speed(script):
    assert {*script("run").SCRIPTS, "run"} == set(SCRIPTS)


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_benchmark_of_gpus_works_at_its_smallest_on_a_cpu(tmp_path):
    """So that it does where a GPU is at hand."""
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--quick", "--device", "cpu", "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "gpu.json").read_text())
    ours = {name: one["networks"][0]["val_loss"] for name, one in result["variants"].items() if name != "Keras fit"}
    assert len(ours) == 4
    assert len(set(ours.values())) == 1  # nothing of this is of CPUs
    assert result["variants"]["Keras fit"]["networks"][0]["epoch_s"] > 0
    assert [(one["workers"], one["same_bits"]) for one in result["shared"]] == [(1, True), (2, True)]
    assert "| seconds an epoch | clustersweep | Keras fit |" in done.stdout


def test_one_simulated_worker_takes_the_sum_of_all_trainings_and_one_compilation_each(tmp_path, script):
    plan = small_plan(tmp_path)
    run = script("schedule").simulate(plan, 1, lambda replicate: 2.0, 0.5, "longest first")
    assert run["compilations"] == len(plan.trials) == 3
    assert run["makespan_s"] == 3 * 2 * 2.0 + 3 * 0.5
    assert run["over"] == 0.0


def test_simulated_workers_share_the_work_and_never_beat_the_bound(tmp_path, script):
    schedule, plan = script("schedule"), small_plan(tmp_path)
    for order in schedule.ORDERS:
        run = schedule.simulate(plan, 2, schedule.modelled(0.5, Speed()), 0.5, order)
        assert run["bound_s"] <= run["makespan_s"] < 2 * run["bound_s"]


def test_the_schedule_can_be_simulated_with_what_a_sweep_measured(tmp_path, script):
    schedule, plan = script("schedule"), small_plan(tmp_path)
    rows = [f"{t.params['kernel_size']},{t.params['conv_blocks']},{seed},complete,{seed + 1}"
            for t in plan.trials for seed in (0, 1)]  # fmt: skip
    (tmp_path / "results.csv").write_text("\n".join(["kernel_size,conv_blocks,seed,state,seconds", *rows]))
    run = schedule.simulate(plan, 1, schedule.measured(tmp_path / "results.csv", plan), 0.0, "grid")
    assert run["makespan_s"] == 3 * (1 + 2)


def test_the_schedule_benchmark_prints_and_writes_what_it_found(tmp_path):
    study = write_study(tmp_path)
    command = [sys.executable, str(BENCHMARKS / "schedule.py"), "--study", study, "--workers", "1", "3",
               "--results", tmp_path / "results"]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert "| longest first |" in done.stdout
    found = json.loads((tmp_path / "results" / "schedule.json").read_text())
    assert {run["workers"] for run in found["cases"][0]["runs"]} == {1, 3}
    assert found["machine"]["versions"]["tensorflow"]


def test_contestants_are_compared_within_their_rounds(script):
    sweep = script("sweep")
    losses = {f"combination {n}": [0.1 * n, 0.2 * n] for n in range(1, 9)}
    worse = {name: [1.01 * loss for loss in both] for name, both in losses.items()}
    runs = {
        "clustersweep": [sweep.Run(10.0, losses, {}), sweep.Run(20.0, losses, {})],
        "Keras loop": [sweep.Run(30.0, worse, {}), sweep.Run(40.0, worse, {})],
        "Ray Tune": [],
    }
    found = sweep.compare(runs)
    assert found["Keras loop"]["ratios"] == [3.0, 2.0]
    assert (found["Keras loop"]["ratio"], found["Keras loop"]["median_s"]) == (2.5, 35.0)
    assert found["Keras loop"]["loss_dex2"]["median"] == pytest.approx(1.01 * 0.15 * 4.5)
    assert found["Keras loop"]["p_same_losses"] < 0.001  # the same shift everywhere is no accident
    assert "Ray Tune" not in found
    result = {"lengths": {"3": {"contestants": found}}}
    assert "| Keras loop | 35.0 (30.0 to 40.0) | 2.50 |" in sweep.markdown(result)


def test_the_workers_time_is_told_apart(tmp_path, script, monkeypatch):
    efficiency, plan = script("efficiency"), small_plan(tmp_path)
    watch, replicate = efficiency.Watch(), plan.replicate(plan.trials[0], 0)

    def tell(at, event):
        monkeypatch.setattr(efficiency.time, "monotonic", lambda: at)
        watch.on_event(event)

    # One worker: an epoch of 3 s of which 2 s compile, one of 1 s, 1 s of building, then again 1 s + 1 s.
    tell(100.0, ReplicateBegan("w", replicate, 0, "host", 1))
    tell(104.0, EpochDone("w", replicate, EpochEnd(1, 1.0, 1.0, 3.0)))
    tell(105.0, EpochDone("w", replicate, EpochEnd(2, 1.0, 1.0, 1.0)))
    tell(105.0, ReplicateDone("w", replicate, None))
    tell(105.5, ReplicateBegan("w", replicate, 0, "host", 1))
    tell(107.0, EpochDone("w", replicate, EpochEnd(1, 1.0, 1.0, 1.0)))
    tell(108.0, EpochDone("w", replicate, EpochEnd(2, 1.0, 1.0, 1.0)))
    tell(108.0, ReplicateDone("w", replicate, None))
    # From 101 to 108: 6 s in epochs, of which 2 s compiled, 0.5 s of building, 0.5 s of waiting for work.
    shares = watch.shares()
    assert (shares["workers"], shares["seconds"]) == (1, 7.0)
    assert shares["in_epochs"] == pytest.approx(6 / 7, abs=1e-3)
    assert shares["of_it_compiling"] == pytest.approx(2 / 7, abs=1e-3)
    assert shares["building"] == pytest.approx(0.5 / 7, abs=1e-3)
    assert shares["busy"] == pytest.approx(6.5 / 7, abs=1e-3)
