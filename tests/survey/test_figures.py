"""A data set's summary, histograms and examples, as numbers."""

from dataclasses import replace

import numpy as np
import pytest
from example_survey import BANDS, make_dataset

from clustersweep.survey import figures
from clustersweep.survey.dataset import Dataset


def test_the_summary_says_what_there_is() -> None:
    dataset = make_dataset()
    found = figures.summary(dataset)
    assert found.log_mass_mean == dataset.log_mass.mean()
    assert found.redshift_quantiles[2] == np.median(dataset.redshift)
    assert found.counts_quantiles[2] == np.median(dataset.images.sum(axis=(1, 2, 3), dtype=int))
    lines = dict(found.items())
    assert lines["clusters"] == "40"
    assert lines["images"] == "10 x 10 pixels x 3 bands, 0.25 to 0.865 keV"
    assert lines["pixels"].startswith("counts, uint8")
    assert lines["identifiers"] == "all different"
    assert len(lines) == len(found.items())  # no name twice: each says whose quantiles they are
    assert lines["image, 5 25 50 75 95 %"].endswith(" counts in all")
    assert lines["digest"] == dataset.digest


def test_row_numbers_are_no_identifiers_and_faint_images_are_no_zeros() -> None:
    full = make_dataset()
    lines = dict(figures.summary(replace(full, identifiers=np.arange(40) + 1)).items())
    assert lines["identifiers"] == "none: the rows are counted"
    lines = dict(figures.summary(replace(full, images=full.images / np.float32(1234.5))).items())
    assert float(lines["image, 5 25 50 75 95 %"].split()[2]) == pytest.approx(0.486, rel=0.05)


def test_the_summary_names_what_is_unusual() -> None:
    images = make_dataset().images.astype(np.float32) / 3
    dataset = Dataset(images, np.full(40, 14.0), np.full(40, 0.3), np.repeat([1, 2], [3, 37]), (), "d")
    lines = dict(figures.summary(dataset).items())
    assert lines["pixels"].startswith("not whole counts (smoothed or scaled), float32")
    assert lines["identifiers"] == "40 clusters share an identifier with another"
    assert lines["images"].endswith("energies unknown")


@pytest.mark.parametrize("make", [figures.mass_histogram, figures.redshift_histogram])
def test_a_histogram_holds_every_cluster_in_bins_that_begin_at_round_numbers(make: object) -> None:
    dataset = make_dataset(500)
    data = make(dataset)  # type: ignore[operator]
    assert data.clusters.sum() == 500
    width = data.edges[1] - data.edges[0]
    assert data.edges / width == pytest.approx(np.round(data.edges / width))
    values = dataset.redshift if data.quantity == "redshift" else dataset.log_mass
    assert data.clusters[0] == (values < data.edges[1]).sum() > 0
    assert data.clusters[-1] > 0
    assert data.median == np.median(values)


def test_equal_values_still_make_a_histogram() -> None:
    dataset = make_dataset()
    same = Dataset(dataset.images, np.full(40, 14.0), np.full(40, 0.3), dataset.identifiers, BANDS, "d")
    assert figures.mass_histogram(same).clusters.tolist() == [40]
    assert figures.redshift_histogram(same).clusters.sum() == 40


def test_examples_go_from_light_to_heavy_and_keep_their_counts() -> None:
    dataset = make_dataset()
    shown = figures.examples(dataset)
    assert len(shown) == 6
    masses = [example.log_mass for example in shown]
    assert masses == sorted(masses)
    for example in shown:
        assert example.bands.shape == (3, 10, 10)
        assert np.array_equal(example.bands[1], dataset.images[example.row, :, :, 1])
        assert example.counts == dataset.images[example.row].sum(dtype=int) == example.bands.sum()
        assert example.redshift == dataset.redshift[example.row]


def test_no_example_is_heavier_than_itself() -> None:
    shown = figures.examples(make_dataset(clusters=5))
    assert [example.share for example in shown] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])


def test_large_images_are_shown_coarser_and_few_clusters_are_all_shown() -> None:
    shown = figures.examples(make_dataset(clusters=3, pixels=300))
    assert len(shown) == 3
    assert shown[0].bands.shape == (3, 60, 60)
    assert shown[0].bands.sum() == shown[0].counts
