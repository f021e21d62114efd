"""A growing stack keeps images in the smallest type that holds them."""

import numpy as np
import pytest

from clustersweep.survey.stack import ImageStack, smallest_type


@pytest.mark.parametrize(
    ("highest", "dtype"), [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "uint32")]
)
def test_counts_are_kept_in_the_smallest_type_that_holds_them(highest: int, dtype: str) -> None:
    images = np.zeros((3, 4, 4, 2))
    images[2, 1, 1, 1] = highest
    stack = ImageStack((4, 4, 2), 3)
    stack.add(images)
    kept = stack.finish()
    assert kept.dtype == dtype == smallest_type(images)
    assert np.array_equal(kept, images)


@pytest.mark.parametrize("odd", [0.5, -1.0])
def test_what_is_not_counts_is_kept_as_float32(odd: float) -> None:
    stack = ImageStack((2, 2, 1), 4)
    stack.add(np.full((2, 2, 2, 1), 7.0))
    stack.add(np.full((2, 2, 2, 1), odd))
    kept = stack.finish()
    assert kept.dtype == np.float32
    assert kept[0, 0, 0, 0] == 7.0
    assert kept[3, 1, 1, 0] == odd


def test_a_growing_stack_widens_in_place_without_changing_what_it_holds() -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.integers(0, top, (700, 30, 30, 2)) for top in (200, 60_000, 5_000_000)]
    stack = ImageStack((30, 30, 2), 2500)  # more room than is used in the end, and several blocks
    for piece in pieces:
        stack.add(piece)
    kept = stack.finish()
    assert kept.dtype == np.uint32
    assert kept.shape == (2100, 30, 30, 2)
    assert np.array_equal(kept, np.concatenate(pieces))
    fraction = np.full((1, 30, 30, 2), 0.25)
    stack = ImageStack((30, 30, 2), 2500)
    for piece in (*pieces[:2], fraction):
        stack.add(piece)
    assert np.array_equal(stack.finish(), np.concatenate([*pieces[:2], fraction]).astype(np.float32))
