"""The split: scikit-learn's, and by identifier."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from clustersweep.errors import DataError
from clustersweep.survey.spec import SplitSpec
from clustersweep.survey.split import make_split


@pytest.mark.parametrize("clusters", [10, 1600, 7946])
def test_the_split_is_scikit_learns_applied_twice(clusters: int) -> None:
    split = make_split(clusters, SplitSpec())
    rest, test = train_test_split(np.arange(clusters), test_size=0.2, random_state=42)
    train, validation = train_test_split(rest, test_size=0.2, random_state=42)
    assert np.array_equal(split.test, test)
    assert np.array_equal(split.train, train)
    assert np.array_equal(split.validation, validation)
    together = np.sort(np.concatenate([split.train, split.validation, split.test]))
    assert np.array_equal(together, np.arange(clusters))


def test_the_shares_of_the_real_survey_are_64_16_20() -> None:
    split = make_split(7946, SplitSpec())
    assert (len(split.train), len(split.validation), len(split.test)) == (5084, 1272, 1590)


def test_another_seed_gives_another_split() -> None:
    assert not np.array_equal(make_split(100, SplitSpec(seed=1)).test, make_split(100, SplitSpec(seed=2)).test)


def test_a_split_by_identifier_keeps_each_halo_on_one_side() -> None:
    groups = np.repeat(np.arange(100), 5)
    np.random.default_rng(0).shuffle(groups)
    split = make_split(500, SplitSpec(by="identifier"), groups)
    parts = [set(groups[rows].tolist()) for rows in (split.train, split.validation, split.test)]
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 100
    assert len(split.test) == 100
    assert len(split.validation) == 80
    naive = make_split(500, SplitSpec(), groups)  # which the identifiers do not touch
    assert set(groups[naive.train].tolist()) & set(groups[naive.test].tolist())


def test_a_split_that_leaves_a_part_empty_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"split: shares = test 0.2, validation 0.9 of 2 clusters: must leave at least one"
    ):
        make_split(2, SplitSpec(validation=0.9))
    groups = np.zeros(50, int)
    with pytest.raises(
        DataError, match=r"test 0\.2, validation 0\.2 of 1 distinct identifiers: must leave at least one in each"
    ):
        make_split(50, SplitSpec(by="identifier"), groups)
