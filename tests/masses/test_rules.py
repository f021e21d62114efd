"""What must hold between the keys of a study of galaxy clusters: the data, the split and the dense layers together."""

import pytest

from clustersweep.masses.rules import cross_checks


def places(study):
    return [".".join(map(str, fault.key)) for fault in cross_checks(study)]


GOOD = {"data": {"simulate": {"clusters": 100}}, "search_space": {"dense_layers": [1, 2]}}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"data": {"simulate": {"clusters": 100}, "images": "i.npz"}}, ["data"]),
        ({"split": {"test": 0.99, "validation": 0.5}}, ["data.simulate.clusters"]),
        ({"network": {"dense_units": [8]}}, ["search_space.dense_layers.1"]),
        ({"network": {"dense_units": [8], "dense_layers": 2}, "search_space": {}}, ["network.dense_layers"]),
    ],
)
def test_a_study_is_told_what_its_sections_have_against_each_other(changes, wrong):
    assert places({**GOOD, **changes}) == wrong


@pytest.mark.parametrize("sections", [{"data": 3}, {"split": []}, {"network": "x"}, {"search_space": None}])
def test_sections_of_the_wrong_type_are_told_elsewhere(sections):
    assert set(places({**GOOD, **sections})) <= {"data"}
