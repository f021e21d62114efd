"""Whether images and catalogue seem to belong together: what is suspected, and what is not."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from clustersweep.survey import dataset as module
from clustersweep.survey.agreement import agreement
from clustersweep.survey.dataset import Dataset
from clustersweep.survey.figures import summary
from clustersweep.survey.simulator.simulate import simulate_chunk
from clustersweep.survey.simulator.tables import bands
from clustersweep.survey.spec import SimulateSpec

ORDER = "are the rows of the catalogue in the order of the images?"
BANDS = "is the order of the bands reversed?"


@pytest.fixture(scope="module")
def survey() -> Dataset:
    """Simulate a small survey in memory: faint clusters, most of the counts background."""
    images, columns = simulate_chunk(SimulateSpec(clusters=150, seed=5, pixels=25), 0, 150)
    mass, redshift = np.log10(columns["M500c"]), columns["z"]
    return Dataset(images, mass, redshift, np.arange(150), bands().pairs_kev, "d")


def without_redshift(survey: Dataset) -> Dataset:
    return replace(survey, redshift=np.full(len(survey), np.nan))


def test_of_clusters_in_order_nothing_is_suspected(survey: Dataset) -> None:
    found = agreement(survey)
    assert found.suspicions() == ()
    assert found.centre > found.whole > 0
    assert found.centre > 5 * found.error
    assert agreement(without_redshift(survey)).suspicions() == ()


@pytest.mark.parametrize("seed", range(5))
def test_rows_in_another_order_than_the_images_are_suspected(survey: Dataset, seed: int) -> None:
    rows = np.random.default_rng(seed).permutation(len(survey))
    shuffled = replace(survey, log_mass=survey.log_mass[rows], redshift=survey.redshift[rows])
    for dataset in (shuffled, without_redshift(shuffled)):
        found = agreement(dataset)
        (said,) = found.suspicions()
        assert said.startswith(f"the counts do not follow the masses (rank correlation {found.whole:.2f}, in the cent")
        assert said.endswith(ORDER)


def test_few_clusters_are_not_suspected_as_chance_alone_correlates_as_much(survey: Dataset) -> None:
    few = replace(survey, images=survey.images[:29], log_mass=survey.log_mass[28::-1], redshift=survey.redshift[28::-1])
    found = agreement(replace(few, identifiers=np.arange(29)))
    assert found.suspicions() == ()
    assert found.clusters == 29


def test_the_correlation_is_that_of_ranks_at_given_redshift_and_of_all_rows_without(survey: Dataset) -> None:
    counts = survey.images.sum(axis=(1, 2, 3), dtype=float)
    with_mass, with_redshift = (spearmanr(counts, one).statistic for one in (survey.log_mass, survey.redshift))
    both = spearmanr(survey.log_mass, survey.redshift).statistic
    partial = (with_mass - with_redshift * both) / np.sqrt((1 - with_redshift**2) * (1 - both**2))
    found = agreement(survey)
    assert (found.whole, found.at_redshift) == (pytest.approx(partial), True)
    assert f"{found.whole:.2f}, in the centre {found.centre:.2f} at given redshift (± 0.08 by" in found.correlation_text
    without = agreement(without_redshift(survey))
    assert (without.whole, without.at_redshift) == (pytest.approx(with_mass), False)
    some = agreement(replace(survey, redshift=np.where(np.arange(150) < 40, survey.redshift, np.nan)))
    assert (some.clusters, some.at_redshift) == (40, True)
    one = agreement(replace(survey, redshift=np.full(150, 0.3)))
    assert one.whole == pytest.approx(with_mass)


def test_where_all_masses_or_all_images_are_equal_there_is_no_correlation_to_tell(survey: Dataset) -> None:
    for dataset in (replace(survey, log_mass=np.full(150, 14.0)), replace(survey, images=np.ones_like(survey.images))):
        found = agreement(dataset)
        assert (found.correlation_text, found.suspicions()) == ("", ())
        assert "counts and mass" not in dict(summary(dataset).items())


def test_images_read_piece_by_piece_give_the_same(survey: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = agreement(survey)
    monkeypatch.setattr(module, "CHUNK_BYTES", survey.images[0].nbytes * 7)
    assert agreement(survey) == whole


def test_reversed_bands_are_suspected_where_the_energies_are_known(survey: Dataset) -> None:
    turned = replace(survey, images=np.ascontiguousarray(survey.images[..., ::-1]))
    (said,) = agreement(turned).suspicions()
    assert said == (
        "the band of 2.095 to 2.3 keV has more counts per keV than any around 1 keV, which is no cluster's spectrum: "
        f"{BANDS}"
    )
    assert agreement(replace(turned, bands_kev=())).suspicions() == ()
    declared = replace(turned, bands_kev=survey.bands_kev[::-1])  # reversed, and the header says so
    assert agreement(declared).suspicions() == ()


@pytest.mark.parametrize(
    ("edges", "counts"),
    [
        ([0.2, 0.5, 1.0, 2.0], [1, 5, 30]),  # nothing is known of what lies above 2 keV
        ([0.5, 2.0, 7.0], [10, 20]),  # more in the hard band, but over more keV
        ([3.0, 10.0, 30.0], [1, 100]),  # no band around 1 keV
        ([1.0, 2.0], [5]),
    ],
)
def test_other_telescopes_bands_are_not_suspected(survey: Dataset, edges: list[float], counts: list[int]) -> None:
    images = np.repeat(survey.images[..., :1] * np.uint32(1), len(counts), axis=3) * np.array(counts, np.uint32)
    pairs = tuple(itertools.pairwise(edges))
    assert agreement(replace(survey, images=images, bands_kev=pairs)).suspicions() == ()


def test_the_summary_shows_the_mean_of_each_band_and_how_counts_follow_mass(survey: Dataset) -> None:
    lines = dict(summary(survey).items())
    means = survey.images.sum(axis=(1, 2), dtype=float).mean(axis=0)
    assert lines["mean of each band"].split() == [f"{mean:,.4g}" for mean in means]
    assert lines["counts and mass"] == f"rank correlation {agreement(survey).correlation_text}"


class Counted(np.ndarray):
    """Images that count how often rows of them are asked for."""

    asked = 0

    def __getitem__(self, key: object) -> object:
        Counted.asked += isinstance(key, slice)
        return super().__getitem__(key)  # type: ignore[index]


def test_the_summary_adds_up_the_pixels_once(survey: Dataset) -> None:
    counted = replace(survey, images=survey.images.view(Counted))
    asked = []
    for told in (agreement, summary):
        Counted.asked = 0
        told(counted)
        asked.append(Counted.asked)
    assert asked[0] == asked[1] > 0
