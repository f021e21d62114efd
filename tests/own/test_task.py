"""Studies that name a function: their files, what they are known by, what they lay out."""

import json

import pytest
from own_study import OWN, problems, study

from clustersweep.errors import StudyError
from clustersweep.files import json_digest
from clustersweep.masses.task import ClusterMasses
from clustersweep.own.task import OwnTask
from clustersweep.study.definition import changes, definition, extends, replicate_key
from clustersweep.study.plan import make_plan, require_feasible
from clustersweep.study.study import study_schema
from clustersweep.tasks import tasks


def planned(folder, **changes):
    asked = study(folder, **changes)
    return make_plan(asked, asked.task.header(asked.axes))


# ------------------------------------------------------------------------------------------ the file


def test_a_study_without_a_task_is_of_cluster_masses():
    assert tasks({"study": "x"}) is ClusterMasses
    assert tasks({"study": "x", "task": "nets:train"}) is OwnTask


def test_a_study_that_names_a_function_has_any_axes_and_its_settings_as_they_stand(tmp_path):
    read = study(tmp_path)
    assert read.task.settings == OWN["settings"]
    assert read.axes == {"width": (1, 2, 4), "kind": ("b", "a"), "rate": (1.0, 0.5), "bias": (True, False)}
    assert [axis.kind for axis in read.kinds.values()] == ["integer", "choice", "number", "choice"]
    assert (read.metric.name, read.metric.unit, read.metric.direction) == ("accuracy", "%", "maximize")
    assert (read.seeds, read.objective.over_seeds, read.task.version) == ((0, 1, 2), "mean", 1)


def test_the_least_that_a_study_needs_is_its_name_a_function_and_an_axis(tmp_path):
    read = study(tmp_path, settings=None, objective=None, search_space={"width": [1]})
    assert (read.metric.name, read.metric.direction, read.task.settings) == ("val_loss", "minimize", {})


def test_reading_a_study_runs_none_of_its_code(tmp_path):
    assert study(tmp_path, code="raise RuntimeError\ndef train(run):\n    pass\n").task.code.beside


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    told = problems(tmp_path, task="nowhere:train", version="x", exclude=[{"when": {"depth": 1}}])
    assert len(told) == 3


def test_editors_have_a_schema_of_such_studies(tmp_path):
    schema = study_schema(OwnTask)
    assert {"study", "task", "settings", "search_space", "objective", "exclude"} <= schema["properties"].keys()
    assert schema["properties"]["objective"]["properties"]["direction"]["enum"] == ["minimize", "maximize"]
    assert all("description" in one for one in schema["properties"].values())
    assert "val_loss: mean squared error" not in json.dumps(schema)


# ------------------------------------------------------------------------------------------ what it is known by


def test_a_definition_has_what_decides_the_numbers_and_nothing_of_the_machine(tmp_path):
    stored = definition(study(tmp_path), "")
    assert json.loads(json.dumps(stored)) == {
        "task": "nets:train", "version": 1, "settings": OWN["settings"],
        "search_space": {"width": [1, 2, 4], "kind": ["a", "b"], "rate": [0.5, 1.0], "bias": [False, True]},
        "objective": {"metric": "accuracy", "over_seeds": "mean", "unit": "%", "direction": "maximize"},
    }  # fmt: skip
    assert json_digest(stored) == "8e10fe1bbed4b010"  # stored studies are known again by it


def test_a_replicates_key_stays_what_it_is(tmp_path):
    params = {"width": 1, "kind": "a", "rate": 0.5, "bias": True}
    assert replicate_key(study(tmp_path), "", params, 0) == "5c877af86f0f973d"


def test_a_replicates_key_follows_all_that_decides_its_numbers_and_nothing_else(tmp_path):
    params = {"width": 1, "kind": "a", "rate": 0.5, "bias": True}

    def key(seed=0, values=params, **changed):
        return replicate_key(study(tmp_path, **changed), "", values, seed)

    same = {
        key(), key(study="other"), key(seeds=[0, 5]), key(objective={**OWN["objective"], "unit": "ppm"}),
        key(search_space={**OWN["search_space"], "width": [1, 9]}), key(code="def train(run):\n    return 1\n"),
        key(exclude=[{"when": {"width": 4}}]), key(resources={"cpus_per_worker": 2}),
    }  # fmt: skip
    others = [
        key(seed=1), key(version=2), key(settings={"epochs": 6}), key(values={**params, "bias": False}),
        key(objective={"metric": "error"}), key(objective={**OWN["objective"], "direction": "minimize"}),
    ]  # fmt: skip
    assert len(same) == 1
    assert len({*others, *same}) == len(others) + 1


def test_a_version_that_is_raised_extends_a_study_and_one_that_is_lowered_does_not(tmp_path):
    one, two = (definition(study(tmp_path, version=version), "") for version in (1, 2))
    assert extends(OwnTask, one, two)
    assert not extends(OwnTask, two, one)
    assert changes(OwnTask, two, one) == ("version: 2 -> 1",)


def test_other_settings_are_another_study(tmp_path):
    one, two = (definition(study(tmp_path, settings={"epochs": number}), "") for number in (1, 2))
    assert not extends(OwnTask, one, two)
    assert changes(OwnTask, one, two) == ("settings.epochs: 1 -> 2",)


def test_a_stored_definition_knows_its_metric_without_its_code(tmp_path):
    stored = json.loads(json.dumps(definition(study(tmp_path), "")))
    task = OwnTask.of_definition(stored)
    assert task.metric == study(tmp_path).metric
    assert task.code is None


# ------------------------------------------------------------------------------------------ what it lays out


def test_every_combination_is_laid_out_and_costs_alike(tmp_path):
    plan = planned(tmp_path)
    assert (plan.combinations, len(plan.trials), plan.replicates) == (24, 24, 72)
    assert {trial.epochs for trial in plan.trials} == {5}
    assert {trial.cost_flops for trial in plan.trials} == {5.0}
    assert not plan.same


def test_what_the_study_excludes_is_impossible_with_its_reason(tmp_path):
    rules = [{"when": {"width": [2, 4], "bias": True}, "reason": "too wide"}, {"when": {"kind": "a", "rate": 1}}]
    plan = planned(tmp_path, exclude=rules)
    reasons = {tuple(params.values()): (why.rule, why.reason) for params, why in plan.infeasible}
    assert reasons[4, "b", 0.5, True] == ("exclude", "too wide")
    assert reasons[1, "a", 1.0, False] == ("exclude", "the study excludes kind = a and rate = 1")
    assert len(reasons) == 8 + 4 - 2 + 2


def test_what_the_studys_function_says_cannot_be_is_impossible_with_its_reason(tmp_path):
    code = (
        "def train(run):\n    pass\n"
        "def possible(params, settings):\n"
        "    if params['width'] * settings['epochs'] > 10:\n        return f'{params[\"width\"]} is too much'\n"
    )
    plan = planned(tmp_path, code=code, feasible="nets:possible")
    assert {(why.rule, why.reason) for _, why in plan.infeasible} == {("feasible", "4 is too much")}
    assert len(plan.trials) == 16


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "return 1 / 0",
            "failed for width = 1, kind = b, rate = 1.0, bias = True: ZeroDivisionError: division by zero",
        ),
        ("return True", "must return why a combination cannot be, or None; it returned True"),
    ],
)
def test_a_function_of_what_is_possible_that_cannot_be_asked_is_told(tmp_path, body, words):
    code = f"def train(run):\n    pass\ndef possible(params, settings):\n    {body}\n"
    with pytest.raises(StudyError) as refused:
        planned(tmp_path, code=code, feasible="nets:possible")
    assert words in str(refused.value)
    assert str(tmp_path / "nets.py") in str(refused.value)


def test_a_study_that_excludes_everything_is_refused(tmp_path):
    plan = planned(tmp_path, exclude=[{"when": {"bias": [True, False]}}])
    with pytest.raises(StudyError, match="all 24 combinations are impossible for the study's own `exclude` and"):
        require_feasible(plan, "own.yaml")
