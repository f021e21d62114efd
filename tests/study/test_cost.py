"""What training costs in time: the fit to what was measured, on networks that it has not seen, and how sure it is.

The measurements are real ones (`data/epochs.json`, by `benchmarks/epochs.py --fixture`): of every network of
`sweeps/quickstart.yaml`, of those of the speed benchmark, and of some of `sweeps/grid.yaml` on fewer clusters.
"""

import json
import statistics
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from places import TESTS
from small_study import small_plan

from clustersweep.masses.cost import EpochSizes, epoch_amounts
from clustersweep.study.cost import PARTS, Speed, SpeedMeter, Sums, fitted, in_parts, measured_sums
from clustersweep.study.events import Device
from clustersweep.study.plan import make_plan
from clustersweep.study.results import Trial
from clustersweep.survey.source import read_header
from clustersweep.sweep.schedule import estimate_s, least_s, trial_s
from clustersweep.sweep.speeds import add_speeds, read_speed
from clustersweep.tasks import load_study
from clustersweep.training.network import NetworkSpec, flops_per_image, layers, parameters, training_flops_per_image
from clustersweep.training.spec import TrainingSpec

HERE = TESTS
SWEEPS = HERE.parent / "sweeps"
MEASURED = json.loads((HERE / "data" / "epochs.json").read_text())["epochs"]
CPU = Device("CPU", "of a test", 1, "float32", deterministic=True)


def trial_of(network, image_shape, train, validation, batch_size=64, epochs=6, **training):
    """Give a trial as a plan has it."""
    found = layers(NetworkSpec(**network), tuple(image_shape))
    spec = TrainingSpec(epochs=epochs, patience=epochs, batch_size=batch_size, **training)
    cost = epochs * (training_flops_per_image(found) * train + flops_per_image(found) * validation)
    sizes = EpochSizes(tuple(image_shape), train, validation)
    return Trial(
        params=network, spec=None, epochs=epochs, cost_flops=cost, amounts=epoch_amounts(found, spec, sizes),
        compiled=len(found), facts={},
    )  # fmt: skip


def measured(which):
    """Give every network of a set with the seconds that its epochs and its compilation took."""
    keys = ("network", "image_shape", "train", "validation", "batch_size")
    return [
        (trial_of(*(one[k] for k in keys)), one["cpu_s"], one["compile_s"]) for one in MEASURED if one["set"] == which
    ]


def learned(found, seeds=3):
    """Fit to measurements as a sweep makes them: each network once for every seed, compiled once."""
    sums = Sums()
    for trial, epoch_s, compile_s in found:
        for seed in range(seeds):
            sums = sums + measured_sums(trial, epoch_s, compile_s if seed == 0 else None)
    return fitted(sums, CPU)


def errors(speed, found):
    """Give by which share each estimate of an epoch is off, of what it really took."""
    return [abs(speed.epoch_s(trial) / epoch_s - 1) for trial, epoch_s, _ in found]


def planned(name):
    study = load_study(SWEEPS / name)
    return make_plan(study, read_header(study.task.data))


def hours(speed, name):
    return estimate_s(planned(name).work, 2, speed) / 3600


@pytest.fixture(scope="module")
def quickstart():
    """Give the fit to the measurements of quickstart.yaml's networks alone."""
    return learned(measured("quickstart"))


def test_the_measurements_are_of_all_networks_that_they_should_be_of():
    assert [len(measured(which)) for which in ("quickstart", "benchmark", "grid")] == [63, 8, 12]


def test_quickstart_alone_tells_epochs_of_the_benchmark_within_25_percent_in_the_median_and_60_at_most(quickstart):
    off = errors(quickstart, measured("benchmark"))
    assert statistics.median(off) < 0.25
    assert max(off) < 0.60


def test_quickstart_alone_tells_epochs_of_the_full_grids_networks_as_well(quickstart):
    off = errors(quickstart, measured("grid"))
    assert statistics.median(off) < 0.25
    assert max(off) < 0.60


def test_the_fit_describes_what_it_was_made_from(quickstart):
    assert statistics.median(errors(quickstart, measured("quickstart"))) < 0.15
    compiling = [quickstart.compile_s(t) / c for t, _, c in measured("quickstart")]
    assert 0.8 < statistics.median(compiling) < 1.8  # building is counted on top


def test_the_smallest_networks_alone_do_not_make_the_full_grid_ten_times_as_long(quickstart):
    tiny = sorted(measured("quickstart"), key=lambda one: one[1])[:5]
    small, all_of_it = hours(learned(tiny), "grid.yaml"), hours(quickstart, "grid.yaml")
    everything = measured("quickstart") + measured("benchmark") + measured("grid")
    best = hours(learned(everything), "grid.yaml")
    assert best / 2.5 < small < 2.5 * best
    assert best / 1.4 < all_of_it < 1.4 * best


@pytest.mark.parametrize("few", [1, 3, 10])
def test_a_few_measurements_move_the_estimate_towards_them_and_nowhere_else(few):
    found = measured("benchmark")
    speed = learned(found[:few] if few < 8 else found)
    assert all(error < 1.0 for error in errors(speed, measured("quickstart")))
    assert (speed.unit_s > 0).all()


def test_without_measurements_the_estimate_is_what_is_assumed_and_says_so(quickstart):
    work = planned("grid.yaml").work
    assert hours(fitted(Sums()), "grid.yaml") == hours(Speed(), "grid.yaml")
    assert not fitted(Sums()).measured
    assert Speed().device is None
    assert Speed().factor(work) > 3
    assert Speed().factor(work) > 2 * quickstart.factor(work) > 2


def test_an_estimate_says_within_which_factor_it_is_and_is(quickstart):
    found = measured("benchmark") + measured("grid")
    within = [
        1 / quickstart.factor([(t, 1)]) < quickstart.epoch_s(t) / epoch_s < quickstart.factor([(t, 1)])
        for t, epoch_s, _ in found
    ]
    assert statistics.fmean(within) >= 0.9
    assert all(quickstart.factor([(t, 1)]) < 2.5 for t, _, _ in found)


def test_fewer_and_less_various_measurements_are_less_sure(quickstart):
    work = planned("grid.yaml").work
    one = learned(measured("quickstart")[:1], seeds=1)
    assert quickstart.factor(work) < one.factor(work) < Speed().factor(work)
    assert len(quickstart.sizes) > len(one.sizes) == 1


def test_networks_that_are_larger_than_any_that_was_measured_are_told(quickstart):
    assert quickstart.beyond(planned("quickstart.yaml").work) == 1.0
    assert quickstart.beyond(planned("grid.yaml").work) > 10
    assert Speed().beyond(planned("grid.yaml").work) == 1.0


def test_a_machine_that_is_twice_as_slow_is_estimated_so(quickstart):
    slow = learned([(t, 2 * epoch_s, 2 * c) for t, epoch_s, c in measured("quickstart")])
    trial = measured("benchmark")[3][0]
    assert slow.epoch_s(trial) == pytest.approx(2 * quickstart.epoch_s(trial), rel=0.02)
    assert slow.compile_s(trial) == pytest.approx(2 * quickstart.compile_s(trial), rel=0.02)


def test_every_part_is_counted():
    base = {"filters": 8, "kernel_size": 3, "conv_blocks": 1, "dense_layers": 1}
    one = dict(zip(PARTS, trial_of(base, (25, 25, 10), 128, 256).amounts, strict=True))
    pixels = 25 * 25 * 10
    assert one["scaling"] == pixels * (128 + 256)
    assert one["convolution"] == 23 * 23 * (2 * 9 * 10 * 8 + 8) * (2 * 128 + 256)  # nobody needs its inputs' gradients
    assert one["augmentation"] == 0
    assert one["operations"] == 7 * (2 + 1)  # layers, run once in each step of training and of validation
    assert one["weights"] == 2 * parameters(layers(NetworkSpec(**base), (25, 25, 10)))

    def change(**keys):
        training = {k: keys.pop(k) for k in ("augmentation", "batch_size") if k in keys}
        other = trial_of({**base, **keys}, (25, 25, 10), 128, 256, **training).amounts
        return {part for part, new in zip(PARTS, other, strict=True) if new != one[part]}

    assert change(augmentation="dihedral") == {"augmentation"}
    assert change(batch_size=32) == {"operations", "weights"}
    assert change(dense_units=(10,)) == {"dense", "elementwise", "weights"}
    assert "convolution" in change(kernel_size=5)


def test_ten_filters_cost_as_many_operations_as_sixteen():
    ten, sixteen = (trial_of({"filters": f, "dense_layers": 0}, (25, 25, 10), 128, 0) for f in (10, 16))
    assert ten.amounts[0] == pytest.approx(sixteen.amounts[0])


def test_the_meter_tells_what_a_replicate_costs_in_the_seconds_that_were_expected(tmp_path):
    trials = small_plan(tmp_path).trials
    meter, speed = SpeedMeter(), Speed()
    assert meter.cost_s(trials[0], ()) == speed.replicate_s(trials[0])
    assert meter.compile_cost_s(trials[0]) == speed.compile_s(trials[0])
    ten_times = [10 * speed.epoch_s(trials[0])] * 3
    meter.add(trials[0], [100 + ten_times[0], *ten_times], compiled=True, device=CPU)
    assert meter.cost_s(trials[0], [0.0, *ten_times]) == pytest.approx(speed.replicate_s(trials[0]))
    slower = [20 * speed.epoch_s(trials[1])] * 2
    assert meter.cost_s(trials[1], [0.0, *slower]) == pytest.approx(2 * speed.replicate_s(trials[1]))
    assert meter.compile_cost_s(trials[0]) == pytest.approx(1.2 * 100 / 10)
    assert meter.sums[CPU].count == 1


@pytest.mark.parametrize("epoch_s", [[], [3.0], [3.0, 0.0, 0.0]])
def test_a_replicate_of_one_epoch_or_of_no_time_measures_nothing(tmp_path, epoch_s):
    meter = SpeedMeter()
    meter.add(small_plan(tmp_path).trials[0], epoch_s, compiled=True, device=CPU)
    assert meter.sums == {}


def test_the_time_of_a_plan_is_that_of_its_trials_given_out_as_a_sweep_does(tmp_path):
    plan, speed = small_plan(tmp_path), replace(Speed(), unit_s=1e4 * Speed().unit_s)
    each = [trial_s(trial, 2, speed) for trial in plan.trials]
    assert estimate_s(plan.work, 1, speed) == pytest.approx(sum(each))
    alone = max(trial_s(trial, 1, speed) for trial in plan.trials)
    assert estimate_s(plan.work, 100, speed) == pytest.approx(alone)  # seeds side by side
    assert estimate_s([], 3, speed) == 0.0


def test_the_least_that_a_study_that_stops_early_takes_is_the_cheapest_trials_from_rung_to_rung(tmp_path):
    speed, rule = replace(Speed(), unit_s=1e4 * Speed().unit_s), {"rungs": [1, 2], "keep": 0.5}
    plan = small_plan(tmp_path, stop_early=rule)  # three trials of three epochs and two seeds
    a, b, c = sorted(speed.epoch_s(trial) for trial in plan.trials)
    compiled = sorted(plan.trials, key=speed.epoch_s)
    kept = [compiled, compiled[:2], compiled[:1]]
    by_hand = 2 * (a + b + c) + 2 * (a + b) + 2 * a + sum(speed.compile_s(t) for stage in kept for t in stage)
    assert least_s(plan, 1, speed) == pytest.approx(by_hand)
    assert least_s(plan, 1, speed) < estimate_s(plan.work, 1, speed)
    plain = small_plan(tmp_path)
    assert least_s(plain, 2, speed) == pytest.approx(estimate_s(plain.work, 2, speed))


def sums_of(which="quickstart"):
    """Give the sums of a set's networks, each measured once."""
    return sum((measured_sums(t, s, c) for t, s, c in measured(which)), Sums())


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


def test_work_is_counted_by_the_names_of_its_parts_and_none_in_the_others():
    units = in_parts({"dense": 2.0, "convolution": 1.0})
    assert dict(zip(PARTS, units, strict=True)) == dict.fromkeys(PARTS, 0.0) | {"convolution": 1.0, "dense": 2.0}
    with pytest.raises(KeyError, match="no part of an epoch: attention"):
        in_parts({"attention": 1.0})
