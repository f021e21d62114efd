"""A round of `make chaos` with every kind of fault: a worker, connections, the launch and the server are killed."""

import pytest
from chaos import one_round, table, undisturbed

SEED = 34


@pytest.fixture(scope="module")
def expected():
    return table(undisturbed())


@pytest.mark.deployment
@pytest.mark.timeout(300)
def test_a_sweep_whose_parts_are_killed_at_random_ends_as_an_undisturbed_one(expected):
    one_round(SEED, expected)
