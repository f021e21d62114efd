"""Random views of images: which there are, and how often."""

import numpy as np
import pytest

integration = pytest.mark.integration
pytestmark = pytest.mark.usefixtures("tensorflow")


@integration
def test_dihedral_views_are_the_eight_symmetries_of_the_square_alike_often_and_each_image_on_its_own():
    from clustersweep.training.augmentation import Augmentation

    image = np.arange(16.0, dtype=np.float32).reshape(4, 4, 1)
    augmentation = Augmentation("dihedral", image.shape)
    augmentation.begin_epoch(3, 1)
    views = np.asarray(augmentation(np.repeat(image[None], 4000, axis=0)))
    found, count = np.unique(views.reshape(4000, -1), axis=0, return_counts=True)
    turned = [np.rot90(flip, turns) for flip in (image, image[::-1]) for turns in range(4)]
    assert {tuple(row) for row in found} == {tuple(view.ravel()) for view in turned}
    assert count.min() > 400  # of 500 expected


@integration
def test_images_that_are_not_square_are_mirrored_and_never_transposed():
    from clustersweep.training.augmentation import Augmentation

    augmentation = Augmentation("dihedral", (2, 3, 1))
    augmentation.begin_epoch(0, 1)
    views = np.asarray(augmentation(np.repeat(np.arange(6.0, dtype=np.float32).reshape(1, 2, 3, 1), 200, axis=0)))
    assert len(np.unique(views.reshape(200, -1), axis=0)) == 4


@integration
def test_rotations_reach_a_tenth_of_a_turn_and_keep_the_centre():
    from clustersweep.training.augmentation import Augmentation

    image = np.zeros((41, 41, 1), np.float32)
    image[20, 20], image[20, 35] = 5, 9  # the centre, and a source 15 pixels to its right
    augmentation = Augmentation("flip_rotate", image.shape)
    augmentation.begin_epoch(0, 1)
    views = np.array(augmentation(np.repeat(image[None], 400, axis=0)))[..., 0]
    assert (views[:, 20, 20] > 4).all()
    views[:, 18:23, 18:23] = 0
    rows, columns = np.divmod(views.reshape(400, -1).argmax(axis=1), 41)
    angles = np.degrees(np.arctan2(rows - 20, np.abs(columns - 20)))
    assert np.abs(angles).max() < 39
    assert np.abs(angles).max() > 30
    assert (columns < 20).mean() == pytest.approx(0.5, abs=0.1)
