import dataclasses
import subprocess
import sys

import pytest
from places import ROOT
from small_study import small_plan, small_study

from clustersweep.errors import StudyError
from clustersweep.study.plan import make_plan, require_feasible
from clustersweep.survey.dataset import Header
from clustersweep.survey.source import read_header
from clustersweep.tasks import load_study
from clustersweep.training.network import NetworkSpec, flops_per_image, layers, training_flops_per_image

SWEEPS = ROOT / "sweeps"


def planned(name):
    study = load_study(SWEEPS / name)
    return make_plan(study, read_header(study.task.data))


def test_the_full_grid_has_54_feasible_combinations_and_the_quick_start_63():
    assert (planned("grid.yaml").combinations, len(planned("grid.yaml").trials)) == (81, 54)
    assert (planned("quickstart.yaml").combinations, len(planned("quickstart.yaml").trials)) == (81, 63)
    assert planned("quickstart.yaml").replicates == 189


def test_the_longest_trial_comes_first(tmp_path):
    costs = [trial.cost_flops for trial in small_plan(tmp_path).trials]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]


def test_a_replicate_key_does_not_change_when_a_value_or_a_seed_is_added(tmp_path):
    before = small_plan(tmp_path)
    after = small_plan(tmp_path, search_space={"kernel_size": [3, 5, 7]}, seeds=[0, 1, 2])
    trial = next(t for t in after.trials if t.params == before.trials[0].params)
    assert after.replicate(trial, 1).key == before.replicate(before.trials[0], 1).key
    assert after.digest != before.digest


def test_replicate_keys_differ_by_seed_combination_and_training(tmp_path):
    plan = small_plan(tmp_path)
    keys = {plan.replicate(trial, seed).key for trial in plan.trials for seed in (0, 1)}
    keys.add(small_plan(tmp_path, training={"epochs": 4}).replicate(plan.trials[0], 0).key)
    assert len(keys) == 2 * len(plan.trials) + 1


def test_a_plan_without_the_datas_digest_has_no_digest_of_its_own(tmp_path):
    plan = make_plan(small_study(tmp_path), Header(60, (12, 12, 10), None, "a file"))
    assert plan.digest is None
    with pytest.raises(ValueError, match="data were not read"):
        plan.replicate(plan.trials[0], 0)


def test_a_study_in_which_everything_is_impossible_is_refused_with_the_reason(tmp_path):
    plan = small_plan(tmp_path, search_space={"kernel_size": [13, 15]})
    one = small_plan(tmp_path, search_space={"kernel_size": [13], "conv_blocks": [1]})
    with pytest.raises(StudyError, match=r"search_space: the only combination is impossible for images of 12 x 12"):
        require_feasible(one, "small.yaml")
    with pytest.raises(StudyError, match=r"small.yaml: search_space: all 4 combinations are impossible .*12 x 12"):
        require_feasible(plan, "small.yaml")


def test_a_training_step_costs_three_forward_passes_less_one_of_the_first_layer():
    network = layers(NetworkSpec(conv_blocks=2, filters=10, kernel_size=3), (50, 50, 10))
    first = network[0].flops
    assert network[0].name == "block1_conv1"
    assert training_flops_per_image(network) == 3 * flops_per_image(network) - first
    plan = planned("grid.yaml")
    trial, split = plan.trials[0], plan.study.task.split
    rest = plan.header.clusters * (1 - split.test)
    train, validation = rest * (1 - split.validation), rest * split.validation
    found = layers(trial.spec[0], plan.header.image_shape)
    epoch = train * training_flops_per_image(found) + validation * flops_per_image(found)
    assert trial.cost_flops == pytest.approx(epoch * trial.epochs)


def test_planning_imports_neither_tensorflow_nor_ray_nor_plotly_nor_optuna(tmp_path):
    script = (
        "import sys\n"
        "from clustersweep.cli.main import app\n"
        "try: app(['plan', sys.argv[1], '--home', sys.argv[2]])\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'tensorflow', 'keras', 'ray', 'plotly', 'optuna', 'sqlalchemy', 'astropy', 'sklearn', 'scipy'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    command = [sys.executable, "-c", script, str(SWEEPS / "grid.yaml"), str(tmp_path / "home")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "54 feasible, 27 impossible" in done.stdout


@pytest.mark.parametrize(
    ("rule", "epochs", "rungs"),
    [(None, 30, ()), ({}, 30, (1, 3, 10)), ({"rungs": [2, 5, 30, 90]}, 30, (2, 5)), ({"rungs": "auto"}, 3, (1,))],
)
def test_rungs_are_those_before_the_end_of_the_longest_training(tmp_path, rule, epochs, rungs):
    assert small_plan(tmp_path, stop_early=rule, training={"epochs": epochs}).rungs == rungs


def test_a_trainer_that_does_not_say_how_long_it_trains_has_the_rungs_that_are_listed(tmp_path):
    plan = small_plan(tmp_path, stop_early={"rungs": [2, 5]})
    unknown = dataclasses.replace(plan, trials=tuple(dataclasses.replace(t, epochs=1) for t in plan.trials))
    assert unknown.rungs == (2, 5)


@pytest.mark.parametrize(
    ("rule", "epochs", "message"),
    [
        ({}, 1, "stop_early.rungs = auto: has no rung below 1 epochs, which is all that is trained. Write, for"),
        (
            {"rungs": [5, 9]}, 5,
            "stop_early.rungs = [5, 9]: has no rung before the end of the longest training, 5 epochs. Write earlier",
        ),
    ],
)  # fmt: skip
def test_a_rule_that_could_stop_nothing_is_refused(tmp_path, rule, epochs, message):
    plan = small_plan(tmp_path, stop_early=rule, training={"epochs": epochs})
    with pytest.raises(StudyError) as refused:
        require_feasible(plan, "small.yaml")
    assert message in str(refused.value)


def test_the_rule_for_stopping_is_no_part_of_the_definition_or_the_keys(tmp_path):
    plain, stopping = small_plan(tmp_path), small_plan(tmp_path, stop_early={"keep": 0.5})
    assert stopping.digest == plain.digest
    assert [stopping.replicate(t, 0).key for t in stopping.trials] == [plain.replicate(t, 0).key for t in plain.trials]
