"""Times and counts in words."""

import pytest

from clustersweep.words import counted, duration, read_duration, size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400), ("1d", 86400), (" 10 m ", 600), ("0", 0), ("0s", 0)],
)
def test_a_duration_is_a_number_with_its_unit(text, seconds):
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["30", "", "m", "-5m", "1h30m", "inf", "nan", "10 minutes", "1e3s"])
def test_what_is_no_duration_is_refused_with_what_it_must_be(text):
    with pytest.raises(ValueError, match=r"is not a number with its unit \(s, m, h or d\), as in 90s, 30m, 2h or 1d"):
        read_duration(text)


def test_a_duration_is_told_in_the_unit_that_fits():
    assert [duration(seconds) for seconds in (0, 89, 600, 5400)] == ["1 s", "89 s", "10 min", "1.5 h"]


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


def test_a_number_of_bytes_is_told_in_the_unit_that_fits():
    assert [size(count) for count in (0, 999, 1000, 1.5e6, 4e12)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "1.5 MB",
        "4,000.0 GB",
    ]
