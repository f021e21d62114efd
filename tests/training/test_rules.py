"""What must hold between keys that studies and training configurations share: plain values in, faults out."""

import pytest

from clustersweep.training.rules import data_source, dense_layers


def told(faults):
    """Return where each fault lies, its rule and its remedy."""
    return [(".".join(map(str, fault.key)), fault.rule, fault.remedy) for fault in faults]


@pytest.mark.parametrize(
    ("data", "which", "remedy"),
    [
        ({"simulate": {}, "images": "i.fits", "catalogue": "c.fits"}, "both are given", "Remove one of them."),
        ({}, "neither is given", "Add `simulate: {clusters: 1600}` or `images:`."),
        ({"images": None}, "neither is given", "Add `simulate: {clusters: 1600}` or `images:`."),
    ],
)
def test_data_have_exactly_one_source(data, which, remedy):
    assert told(data_source(data, {})) == [
        ("data", f"must have exactly one of `simulate` and `images`; {which}", remedy)
    ]


def test_what_belongs_to_files_is_refused_beside_a_simulation_each_by_its_key():
    found = told(data_source({"simulate": {"clusters": 100}, "mass": "M", "catalogue": "c.fits"}, {}))
    rule = "belongs to `images`, and the data are simulated"
    assert found == [("data.catalogue", rule, "Remove it."), ("data.mass", rule, "Remove it.")]


@pytest.mark.parametrize(("images", "needed"), [("i.fits", True), ("i.NPZ", False), ("a-survey", False)])
def test_images_without_masses_need_a_catalogue(images, needed):
    rule = "is missing: only npz files hold the masses and redshifts beside the images"
    expected = [("data.catalogue", rule, "Add `catalogue:` with the catalogue's file.")] * needed
    assert told(data_source({"images": images}, {})) == expected


@pytest.mark.parametrize(
    ("clusters", "split", "empty"),
    [
        (10, {"test": 0.5, "validation": 0.5}, False),  # 5, of which 3 validate
        (2, {"test": 0.5, "validation": 0.5}, True),
        (3, {"test": 0.4, "validation": 0.1}, True),  # parts are rounded up: 2 and 1
        (10, {"test": 1.5}, False),  # told elsewhere
        ("many", {}, False),
    ],
)
def test_a_split_leaves_clusters_to_train_with(clusters, split, empty):
    found = told(data_source({"simulate": {"clusters": clusters}}, split))
    assert [key for key, *_ in found] == ["data.simulate.clusters"] * empty
    assert all(rule.startswith("must leave clusters to train with; test ") for _, rule, _ in found)


@pytest.mark.parametrize(
    ("axis", "network", "where"),
    [
        ([1, 2, 3], {"dense_units": [8, 4]}, ["search_space.dense_layers.2"]),
        (None, {"dense_units": [8], "dense_layers": 2}, ["network.dense_layers"]),
        ([1], {"dense_units": [8], "dense_layers": 9}, []),  # what the axis says counts
        (["two"], {"dense_units": [8]}, []),  # told elsewhere
        ([9], {"dense_units": "8"}, []),
        (None, {}, []),
    ],
)
def test_there_are_units_for_every_dense_layer(axis, network, where):
    assert [key for key, *_ in told(dense_layers(axis, network))] == where
