"""Two rounds of `make chaos`: every kind of fault is in them."""

import pytest
from chaos import STUDY, one_round, table, undisturbed

SEEDS = (3, 6)


@pytest.fixture(scope="module")
def expected():
    return table(undisturbed(STUDY))


@pytest.mark.deployment
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sweep_whose_parts_are_killed_at_random_ends_as_an_undisturbed_one(seed, expected):
    one_round(seed, expected)
