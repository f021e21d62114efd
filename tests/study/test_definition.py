"""What a study and its replicates are known again by, and what makes a study another one."""

import json
from dataclasses import replace

import pytest
from small_study import small_plan
from study_files import load, text

from clustersweep.files import json_digest
from clustersweep.masses.task import ClusterMasses
from clustersweep.study.definition import changes, definition, extends, replicate_key
from clustersweep.study.study import Study
from clustersweep.training.spec import TrainingSpec


def with_task(study: Study, **sections: object) -> Study:
    """The study with some sections of its task given otherwise."""
    return replace(study, task=replace(study.task, **sections))


def test_the_definition_is_complete_json_without_paths_seeds_and_resources(study):
    found = definition(study, "d1")
    assert json.loads(json.dumps(found)) == found
    assert list(found) == ["data", "split", "network", "training", "limits", "search_space", "objective"]
    assert found["data"] == {"digest": "d1", "rebin": 1, "transform": "sqrt"}
    assert found["search_space"] == {"filters": [1, 2], "learning_rate": [0.01, 1.0]}
    assert found["network"]["dense_units"] == [64, 44, 24]
    assert "filters" not in found["network"]
    assert "learning_rate" not in found["training"]
    assert found["limits"] == {"max_parameters": None}


@pytest.mark.parametrize(
    "sections",
    [
        {"search_space": "{learning_rate: [1.0, 0.01], filters: [2, 1]}"},
        {"seeds": "[7]", "resources": "{cpus_per_worker: 4}"},
        {"network": "{dropout: 0, padding: valid}", "split": "{seed: 42}"},
        {"network": "{dropout: -0.0}"},
        {"data": "{simulate: {clusters: 999}}", "study": "other"},
    ],
)
def test_the_digest_ignores_order_defaults_written_out_seeds_and_resources(tmp_path, study, sections):
    axes = {"search_space": "{filters: [1, 2], learning_rate: [0.01, 1]}"}
    other = load(tmp_path, text(**(axes | sections)))
    assert json_digest(definition(other, "d")) == json_digest(definition(study, "d"))
    assert json_digest(definition(study, "d")) != json_digest(definition(study, "e"))
    params = {"filters": 1, "learning_rate": 1}
    assert replicate_key(other, "d", params, 0) == replicate_key(study, "d", {**params, "learning_rate": 1.0}, 0)


def test_a_replicates_key_is_16_hexadecimal_digits(study):
    assert len(replicate_key(study, "d", {"filters": 1}, 0)) == 16


def test_a_replicates_key_does_not_depend_on_the_studys_name(tmp_path):
    one, other = (small_plan(tmp_path, study=name) for name in ("one", "other"))
    assert one.replicate(one.trials[0], 0).key == other.replicate(other.trials[0], 0).key


def test_a_replicates_key_depends_on_what_decides_its_numbers_alone(tmp_path, study):
    params = {"filters": 1, "learning_rate": 0.01}
    key = replicate_key(study, "d", params, 0)
    more = load(tmp_path, text(search_space="{filters: [1, 2, 3], learning_rate: [0.01]}", seeds="[0, 5]",
                               objective="{over_seeds: max}", limits="{max_parameters: 9}"))  # fmt: skip
    assert replicate_key(more, "d", params, 0) == key
    fixed = load(tmp_path, text(search_space="{filters: [1]}", training="{learning_rate: 0.01}"))
    assert replicate_key(fixed, "d", {"filters": 1}, 0) == key
    others = [
        replicate_key(study, "e", params, 0),
        replicate_key(study, "d", params, 1),
        replicate_key(study, "d", params | {"filters": 2}, 0),
        replicate_key(with_task(study, training=TrainingSpec(epochs=1)), "d", params, 0),
        replicate_key(with_task(study, data=replace(study.task.data, rebin=2)), "d", params, 0),
        replicate_key(with_task(study, data=replace(study.task.data, transform="none")), "d", params, 0),
        replicate_key(with_task(study, split=replace(study.task.split, seed=1)), "d", params, 0),
    ]
    assert len({key, *others}) == 8


def test_tf32_makes_another_replicate_and_another_definition_and_may_be_an_axis(tmp_path, study):
    params = {"filters": 1, "learning_rate": 0.01}
    written, tf32 = (with_task(study, training=TrainingSpec(precision=name)) for name in ("float32", "tf32"))
    assert replicate_key(written, "d", params, 0) == replicate_key(study, "d", params, 0)
    assert replicate_key(tf32, "d", params, 0) != replicate_key(study, "d", params, 0)
    assert definition(written, "d") == definition(study, "d") != definition(tf32, "d")
    both = load(tmp_path, text(search_space="{filters: [1], precision: [float32, tf32]}"))
    specs = [both.task.specs({"filters": 1, "precision": name})[1].precision for name in ("float32", "tf32")]
    assert specs == ["float32", "tf32"]


@pytest.mark.parametrize(
    ("sections", "lines", "extension"),
    [
        ({}, (), True),
        ({"search_space": "{filters: [2, 4, 1], padding: [same]}"}, ("search_space.filters: 1, 2 -> 1, 2, 4",), True),
        ({"search_space": "{filters: [1], padding: [same]}"}, ("search_space.filters: 1, 2 -> 1",), False),
        ({"search_space": "{filters: [1, 3], padding: [same]}"}, ("search_space.filters: 1, 2 -> 1, 3",), False),
        ({"training": "{epochs: 8}"}, ("training.epochs: 300 -> 8",), False),
        ({"search_space": "{filters: [1, 2, 3], padding: [same]}", "limits": "{max_parameters: 9}"},
         ("limits.max_parameters: None -> 9", "search_space.filters: 1, 2 -> 1, 2, 3"), False),
        ({"search_space": "{filters: [1, 2], padding: [same], stride: [1]}"},
         ("network.stride: 1 -> absent", "search_space.stride: absent -> 1"), False),
        ({"search_space": "{filters: [1, 2]}"},
         ("search_space.padding: same -> absent", "network.padding: absent -> valid"), False),
    ],
)  # fmt: skip
def test_changes_are_readable_and_only_more_values_extend(tmp_path, sections, lines, extension):
    axes = {"search_space": "{filters: [1, 2], padding: [same]}"}
    old = definition(load(tmp_path, text(**axes)), "d")
    new = definition(load(tmp_path, text(**(axes | sections))), "d")
    stored = json.loads(json.dumps(old))
    assert (changes(ClusterMasses, stored, new), extends(ClusterMasses, stored, new)) == (lines, extension)


def test_other_data_are_a_change(study):
    old, new = definition(study, "d1"), definition(study, "d2")
    assert changes(ClusterMasses, old, new) == ("data.digest: d1 -> d2",)
    assert not extends(ClusterMasses, old, new)


def test_another_axis_is_no_extension_even_where_the_sections_agree(study):
    old = definition(study, "d")
    new = {**old, "search_space": {**old["search_space"], "stride": [1]}}
    assert not extends(ClusterMasses, old, new)
    assert not extends(ClusterMasses, new, old)


def test_a_key_that_came_later_is_left_out_of_definition_and_key_at_its_default_only(tmp_path, monkeypatch):
    first = ClusterMasses.first_keys
    monkeypatch.setattr(ClusterMasses, "first_keys", {**first, "training": first["training"] - {"augmentation"}})
    at_default = load(tmp_path, text(training="{augmentation: none}"))
    changed = load(tmp_path, text(training="{augmentation: dihedral}"))
    assert "augmentation" not in definition(at_default, "d")["training"]
    assert definition(changed, "d")["training"]["augmentation"] == "dihedral"
    assert changes(ClusterMasses, definition(at_default, "d"), definition(changed, "d")) == (
        "training.augmentation: none -> dihedral",
    )
