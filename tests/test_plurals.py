"""Counts in words."""

import pytest

from clustersweep.plurals import counted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((0, "seed"), "0 seeds"),
        ((1, "seed"), "1 seed"),
        ((2, "seed"), "2 seeds"),
        ((1200, "trial"), "1,200 trials"),
        ((1, "seed makes", "seeds make"), "1 seed makes"),
        ((3, "seed makes", "seeds make"), "3 seeds make"),
    ],
)
def test_one_is_no_plural(words, said):
    assert counted(*words) == said
