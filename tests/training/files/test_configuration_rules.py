"""What must hold between the keys of a training configuration, told of plain values."""

import pytest

from clustersweep.training.files.configuration_rules import cross_checks, foreign, simulated_pixels

MINE = {"format": "clustersweep-training", "version": 1, "data": {"simulate": {"clusters": 100}}}
SCALING = {"transform": "sqrt", "band_mean": [1.0, 2.0], "band_sd": [0.5, 0.5], "log_mass_sd": 0.4, "redshift_sd": 0.2}


def keys(written):
    return [".".join(map(str, fault.key)) for fault in cross_checks(written)]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        (MINE, None),
        (["no mapping"], None),
        ({"study": "s", "version": 1}, "format"),
        (MINE | {"format": "keras", "version": 9}, "format"),
        (MINE | {"version": 2}, "version"),
        (MINE | {"version": True}, "version"),
        ({"format": "clustersweep-training"}, "version"),
    ],
)
def test_what_is_no_configuration_of_this_version_is_told_once(written, key):
    assert [fault.key for fault in foreign(written)] == ([] if key is None else [(key,)])


def test_a_newer_version_is_upgraded_to_and_an_older_one_exported_again():
    (newer,), (older,) = foreign(MINE | {"version": 2}), foreign(MINE | {"version": 0})
    assert newer.remedy.startswith("Upgrade clustersweep")
    assert older.remedy.startswith("Export again")


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        ({"simulate": {"clusters": 100}}, 50),
        ({"simulate": {"pixels": 60}, "rebin": 4}, 15),
        ({"simulate": {"pixels": 60}, "rebin": 7}, None),
        ({"simulate": {"pixels": 60}, "rebin": 0}, None),
        ({"simulate": {"pixels": "60"}}, None),
        ({"images": "i.fits", "rebin": 2}, None),
    ],
)
def test_the_width_of_simulated_images_is_known_where_rebinning_fits(data, pixels):
    assert simulated_pixels(data) == pixels


@pytest.mark.parametrize(
    ("sections", "found"),
    [
        ({}, []),
        ({"seeds": [1, 2, 1]}, ["seeds.2"]),
        ({"outliers": {"bins": 3, "worst": 3}}, ["outliers.worst"]),
        ({"outliers": {"worst": 9}}, []),  # of ten bins, where none are named
        ({"outliers": {"bins": "3", "worst": 9}}, []),  # the wrong type is told elsewhere
        ({"probabilistic": {}, "training": {"loss": "nll"}}, ["probabilistic"]),
        ({"probabilistic": None, "training": {"loss": "nll"}}, []),
        ({"data": {"simulate": {"pixels": 20}, "image_shape": [20, 20, 10]}}, []),
        ({"data": {"simulate": {"pixels": 20}, "rebin": 2, "image_shape": [20, 20, 10]}}, ["data.image_shape"]),
        ({"scaling": SCALING}, []),
        ({"scaling": SCALING | {"transform": "log1p"}}, ["scaling.transform"]),
        ({"scaling": SCALING | {"band_sd": [0.5]}}, ["scaling.band_sd"]),
        (
            {"scaling": SCALING | {"band_sd": [0.5, 0.0], "redshift_sd": -1}},
            ["scaling.redshift_sd", "scaling.band_sd.1"],
        ),
    ],
)
def test_what_contradicts_another_key_is_told_at_its_own(sections, found):
    assert keys(MINE | sections) == found


def test_a_scaling_must_have_a_value_for_each_band_of_the_images():
    shaped = MINE | {"data": MINE["data"] | {"image_shape": [50, 50, 10]}, "scaling": SCALING}
    faults = list(cross_checks(shaped))
    assert [fault.key[-1] for fault in faults] == ["band_mean", "band_sd"]
    assert faults[0].rule == "must have 10 values, one for each band of `data.image_shape`; it has 2"
