"""What a person reads of a prediction: what was predicted, what is doubtful, and how good it is where that is known."""

import io
from collections import Counter

import numpy as np
import pytest
from rich.console import Console
from small_model import small_model

from clustersweep.display.prediction import print_comparison, print_summary
from clustersweep.training.files.mass_table import Flag
from clustersweep.training.predict import Summary, compare

TRUE = np.array([14.0, 14.2, 14.4, 14.6, 14.8])
PREDICTED = TRUE + np.array([0.1, -0.1, 0.1, -0.1, 0.3])
SD = np.full(5, 0.2)


def printed(show, *given):
    said = io.StringIO()
    show(*given, Console(file=said, width=100))
    return said.getvalue()


@pytest.fixture(scope="module")
def model():
    return small_model()


def test_only_flags_that_were_set_are_named_each_with_its_limits(model):
    flags = Counter({Flag.COUNTS: 2, Flag.REDSHIFT: 1_200, Flag.NO_REDSHIFT: 0})
    done = Summary(5_000, "CPU", (13.5, 14.0, 14.9), 0.123, 0, 1_202, flags, parts=Counter())
    assert printed(print_summary, done, model).splitlines() == [
        "log10 M500c / Msun   13.50 to 14.90, median 14.00",
        "median uncertainty   0.123 dex",
        "computed on          CPU",
        "flagged              1,202",
        "  flag 1             1,200: redshift outside the training part's, 0.1 to 0.8",
        "  flag 2             2: counts outside the training part's, 300 to 2000",
    ]


def test_where_no_cluster_has_a_mass_no_range_is_told(model):
    text = printed(
        print_summary, Summary(3, "CPU", without_mass=3, flagged=3, flags=Counter({Flag.NO_REDSHIFT: 3})), model
    )
    assert "nan" not in text
    assert "without a mass       3\n" in text
    assert "  flag 4             3: no redshift, hence no mass\n" in text
    assert text.endswith("seen in training     cannot be told: an earlier version wrote the model\n")


def test_clusters_that_the_model_has_seen_are_counted_by_part(model):
    parts = Counter({"train": 1_000, "validation": 0, "test": 20})
    text = printed(print_summary, Summary(2_000, "CPU", (13.5, 14.0, 14.9), 0.1, parts=parts), model)
    assert text.endswith("seen in training     1,020: 1,000 train, 20 test (column `part`)\n")


def test_a_comparison_counts_what_it_leaves_out_and_what_it_should_not_be_judged_by():
    taught, outside = np.array([True, *[False] * 4]), np.array([*[False] * 4, True])
    done = Summary(5, predicted=PREDICTED, sd=SD, taught=taught, outside=outside)
    known = np.where(np.arange(5) == 1, np.nan, TRUE)
    text = printed(print_comparison, done, compare(done, known, 2.0))
    assert "Against the known masses of 3 clusters" in text
    assert "1 of 5 trained or validated the model, and are left out\n" in text
    assert "1 of 5 have no known or no predicted mass\n" in text
    assert "are counted in; without them the RMSE is 0.100 dex\n" in text
    assert "truth within 1 sigma: 66.7% (66.7% before recalibration), 68.3% ± 26.9% is honest\n" in text


def test_where_all_is_as_it_should_be_only_the_measures_are_told():
    done = Summary(5, predicted=PREDICTED, sd=SD)
    text = printed(print_comparison, done, compare(done, TRUE, 2.0))
    for words in ("left out", "counted in", "no known"):
        assert words not in text


@pytest.mark.parametrize(("taught", "words"), [(0, "no cluster has both"), (1, "no cluster that the model was not tr")])
def test_where_nothing_can_be_compared_it_is_said_why(taught, words):
    done = Summary(5, predicted=PREDICTED, sd=SD, taught=np.arange(5) < taught)
    text = printed(print_comparison, done, None)
    assert words in text
    assert text.endswith("nothing to compare\n")
