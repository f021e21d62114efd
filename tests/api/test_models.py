"""Models from Python: what they refuse, what they give, and what they show."""

import re

import numpy as np
import pytest
from astropy import units
from small_model import small_model

import clustersweep as cs
from clustersweep.api.models import Masses, Model, Predicted
from clustersweep.errors import DataError, ModelError
from clustersweep.training.files.model_folder import write_model
from clustersweep.training.network import NetworkSpec
from clustersweep.training.predict import Summary


@pytest.mark.parametrize(
    ("images", "redshift", "says"),
    [
        (np.zeros((12, 12, 10)), [0.3], r"predict: images = 12 x 12 x 10 of float64: must be numbers of the shape "),
        (
            np.zeros((2, 12, 12, 10)),
            None,
            r"predict: redshift = None: is needed: the model's network",
        ),
        (np.zeros((2, 12, 12, 10)), [0.3], r"predict: redshift = shape \(1,\): must be one for each of the 2 "),
    ],
)
def test_arrays_that_are_no_images_or_have_no_redshift_are_refused_with_the_remedy(images, redshift, says):
    from types import SimpleNamespace

    from clustersweep.api.models import Model

    model = Model(SimpleNamespace(network=SimpleNamespace(redshift="head")), "d")
    with pytest.raises(DataError, match=says):
        model.predict(images, redshift)


def test_masses_are_a_table_with_units_and_the_part_only_where_the_model_knows_it():
    log_mass, sd, flag = np.array([14.0, np.nan]), np.array([0.1, np.nan]), np.array([0, 4], np.int32)
    table = Masses(log_mass, sd, flag).table()
    assert table.colnames == ["log_mass", "log_mass_sd", "M500c", "flag"]
    assert table["M500c"].unit == units.solMass
    assert table["M500c"].value == pytest.approx([1e14, np.nan], nan_ok=True)
    assert Masses(log_mass, sd, flag, np.array(["train", ""])).table()["part"].tolist() == ["train", ""]


def test_masses_show_how_many_there_are_and_the_range_of_those_that_are_known():
    masses = Masses(np.array([14.0, np.nan, 14.5, 14.2]), np.array([0.1, np.nan, 0.3, 0.2]), np.array([0, 4, 1, 0]))
    assert len(masses) == 4
    assert repr(masses) == (
        "4 clusters, 2 flagged; log10 M500c / Msun 14.00 to 14.50, median 14.20, median uncertainty 0.200 dex"
    )
    assert repr(Masses(np.full(2, np.nan), np.full(2, np.nan), np.array([4, 4]))) == "2 clusters, 2 flagged"


def test_a_model_takes_images_as_they_were_before_its_rebinning():
    model = Model(small_model(rebin=2), "d")
    assert model.image_shape == (24, 24, 3)
    assert "images of 24 x 24 pixels x 3 bands" in repr(model)
    assert model.takes_redshift
    assert not Model(small_model(network=NetworkSpec(redshift="none")), "d").takes_redshift


def test_a_model_is_read_from_its_folder_and_shows_what_it_is(tmp_path):
    digest = write_model(small_model(), tmp_path / "model")
    model = cs.load_model(str(tmp_path / "model"))
    assert (model.digest, model.known) == (digest, None)  # the folder does not say which clusters taught it
    assert repr(model).startswith(f"model {digest}: 2 networks of ")
    with pytest.raises(ModelError, match=re.escape(str(tmp_path / "elsewhere"))):
        cs.load_model(tmp_path / "elsewhere")


def test_a_written_table_shows_a_comparison_only_where_known_masses_were_named(tmp_path):
    model, summary = Model(small_model(), "d1"), Summary(3, "CPU", (13.5, 14.0, 14.9), 0.123)
    asked, not_asked = (repr(Predicted(tmp_path / "m.fits", model, summary, asked, None)) for asked in (True, False))
    assert not_asked.startswith(f"{tmp_path / 'm.fits'}: 3 clusters, model d1\n")
    assert "13.50 to 14.90" in not_asked
    assert "nothing to compare" in asked
    assert "nothing to compare" not in not_asked
