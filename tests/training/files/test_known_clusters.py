"""The clusters of a training are known again by their images, and a list of them that is none is refused."""

import numpy as np
import pytest
from small_model import small_model

from clustersweep.errors import ModelError
from clustersweep.training.files.known_clusters import Misnamed, fingerprints, misnamed
from clustersweep.training.files.model_folder import read_clusters, write_model


@pytest.mark.parametrize(
    ("known", "own", "said"),
    [
        (["a", "b", "c", None], ["a", "b", "c", "x"], None),
        (["a", "b", "c", None], ["a", "c", "b", "x"], (2, 3, 1, "c", "b", True)),
        (["a", "b", "c", None], ["x", "a", "b", "c"], (3, 3, 0, "x", "a", True)),
        (["a", "b", "c", None], ["11", "12", "13", "14"], None),  # other names altogether
        (["5", "2", "9", None], ["1", "2", "3", "5"], (1, 3, 0, "1", "5", False)),  # or only by chance some of them
        ([None, None], ["b", "a"], None),
    ],
)
def test_rows_whose_image_is_known_under_another_rows_name_are_found(known, own, said):
    found = misnamed([() if name is None else (name,) for name in known], own)
    assert found == (said and Misnamed(*said))


def test_an_image_that_two_clusters_share_may_have_either_name():
    assert misnamed([("a", "b"), ("a", "b"), ("c",)], ["b", "a", "c"]) is None
    assert misnamed([("a", "b"), ("c",)], ["c", "a"]).rows == 2


def test_blank_images_are_nobodys_and_minus_zero_is_zero():
    images = np.zeros((3, 2, 2, 1), np.float32)
    images[1:, 0, 0] = 1.5
    images[2, 1, 1] = -0.0
    blank, one, other = fingerprints(images)
    assert (blank, one) == (b"", other)
    assert fingerprints(images[1:2].astype(">f8")) == [one]


@pytest.mark.parametrize(
    ("edited", "match"),
    [
        (b"part,row\n", "line 1 must be part,row,identifier,fingerprint"),
        (b"part,row,identifier,fingerprint\nteacher,0,0,\n", "line 2 must have a part, a row, an identifier and a fin"),
        (b"part,row,identifier,fingerprint\ntest,0,0,xyz\n", "line 2 must have a part"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_list_of_clusters_that_is_none_is_refused(tmp_path, edited, match):
    (tmp_path / "clusters.csv").write_bytes(edited)
    write_model(small_model(), tmp_path, ("clusters.csv",))
    with pytest.raises(ModelError, match=match):
        read_clusters(tmp_path)
    (tmp_path / "clusters.csv").write_bytes(edited + b"x")
    with pytest.raises(ModelError, match=r"clusters.csv: was altered"):
        read_clusters(tmp_path)
