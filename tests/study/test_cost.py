"""What training costs in time: the fit to what was measured, on networks that it has not seen, and how sure it is."""

import statistics
from dataclasses import replace

import pytest
from measured_epochs import CPU, measured
from places import ROOT
from small_study import small_plan

from clustersweep.study.cost import PARTS, Speed, SpeedMeter, Sums, fitted, in_parts, measured_sums
from clustersweep.study.plan import make_plan
from clustersweep.survey.source import read_header
from clustersweep.sweep.schedule import estimate_s, trial_s
from clustersweep.tasks import load_study

SWEEPS = ROOT / "sweeps"


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


def test_work_is_counted_by_the_names_of_its_parts_and_none_in_the_others():
    units = in_parts({"dense": 2.0, "convolution": 1.0})
    assert dict(zip(PARTS, units, strict=True)) == dict.fromkeys(PARTS, 0.0) | {"convolution": 1.0, "dense": 2.0}
    with pytest.raises(KeyError, match="no part of an epoch: attention"):
        in_parts({"attention": 1.0})
