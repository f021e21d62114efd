"""The data set: integer types, rebinning, digests."""

import dataclasses

import numpy as np
import pytest

from clustersweep.errors import DataError
from clustersweep.survey.dataset import Dataset, catalogue_digest, images_digest, rebinned_shape


def make_dataset(images: np.ndarray) -> Dataset:
    rows = np.arange(len(images))
    return Dataset(images, 14.0 + rows / 100, 0.1 + rows / 100, rows, ((0.25, 0.455),), "d" * 16)


def test_rebinning_adds_up_squares_and_loses_no_count() -> None:
    images = np.random.default_rng(1).poisson(100.0, (5, 6, 4, 3)).astype(np.uint8)
    halved = make_dataset(images).rebinned(2)
    assert halved.image_shape == (3, 2, 3)
    assert halved.images.sum() == images.sum(dtype=np.int64)
    assert halved.images[3, 2, 1, 0] == images[3, 4:6, 2:4, 0].sum(dtype=np.int64)
    assert halved.images.dtype == np.uint16  # four times 100 does not fit into 8 bits
    assert halved.digest == "d" * 16


def test_rebinning_keeps_what_is_not_counts() -> None:
    images = np.full((2, 4, 4, 1), 0.25, np.float32)
    halved = make_dataset(images).rebinned(2)
    assert halved.images.dtype == np.float32
    assert (halved.images == 1.0).all()


def test_a_factor_that_would_lose_counts_is_refused_with_those_that_fit() -> None:
    with pytest.raises(DataError, match=r"data: rebin = 3: must divide the images' 50 x 50 pixels.*Use one of") as info:
        make_dataset(np.zeros((1, 50, 50, 1), np.uint8)).rebinned(3)
    assert "[1, 2, 5, 10, 25, 50]" in str(info.value)
    assert rebinned_shape((50, 50, 10), 2) == (25, 25, 10)


def test_a_changed_pixel_changes_the_digest_and_another_layout_does_not() -> None:
    images = np.random.default_rng(2).poisson(3.0, (7, 5, 5, 2)).astype(np.uint16)
    digest = images_digest(images)
    assert digest == images_digest(images.astype(">u2")) == images_digest(np.asfortranarray(images))
    changed = images.copy()
    changed[6, 4, 4, 1] += 1
    assert images_digest(changed) != digest
    assert images_digest(images.reshape(7, 5, 2, 5)) != digest


def test_the_digest_of_a_catalogue_ignores_order_and_width_but_not_values() -> None:
    mass, name = np.array([1e14, 2e14]), np.array(["a", "bc"])
    digest = catalogue_digest({"M500c": mass, "name": name})
    assert digest == catalogue_digest({"name": name.astype("U20"), "M500c": mass.astype(">f8")})
    assert digest != catalogue_digest({"M500c": np.nextafter(mass, np.inf), "name": name})
    assert digest != catalogue_digest({"M500": mass, "name": name})


def test_a_dataset_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_dataset(np.zeros((1, 2, 2, 1), np.uint8)).digest = "x"  # type: ignore[misc]
