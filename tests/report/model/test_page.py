"""The page of a trained model as a whole, and what the browser makes of it."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from example_training import example_clusters, example_page, example_predictions, stage
from mode_bar import covered_words
from playwright.sync_api import Browser

from clustersweep.errors import StorageError
from clustersweep.report.model.masses import parity
from clustersweep.report.model.page import training_figures, training_page, write_training_page
from clustersweep.report.model.stages import final
from clustersweep.training.evaluation.evaluation import evaluate
from clustersweep.words import counted

PAGE = example_page(resamples=100)
TEST, STAGES = PAGE.test, PAGE.stages
NAMES = ["masses", "residuals", "reliability", "uncertainty", "curves", "outliers"]


def test_the_page_is_one_file_with_numbered_figures(tmp_path: Path) -> None:
    to = write_training_page(PAGE, tmp_path / "model" / "report.html")
    text = to.read_text()
    assert text.count("* plotly.js v") == 1
    assert re.findall(r'id="figure-([a-z]+)"', text) == NAMES
    assert re.findall(r"Figure (\d)\.", text) == ["1", "2", "3", "4", "5", "6"]
    assert "default-src 'none'" in text
    assert "A predicted mass is typically right to within a factor of 1.49" in text
    assert to.stat().st_size < 6_000_000


def test_a_training_of_one_stage_and_one_seed_has_a_page_too() -> None:
    same = dataclasses.replace(TEST, sd=np.full(1590, 0.2))
    found = evaluate(example_clusters(500, 1), example_predictions(500, 2), same, factor=1.0, resamples=10)
    page = dataclasses.replace(PAGE, stages=(stage("base"),), evaluation=found, test=same, facts={}, commands={})
    text = training_page(page)
    assert re.findall(r'id="figure-([a-z]+)"', text) == NAMES[:5]
    assert "Retraining on outliers" not in text


def test_a_survey_without_any_redshift_makes_a_page_that_speaks_of_none() -> None:
    train, *parts = example_clusters(500, 1), example_predictions(500, 2), example_predictions(500, 3)
    blind = [dataclasses.replace(part, redshift=np.full(500, np.nan)) for part in (train, *(p.clusters for p in parts))]
    validation, test = (dataclasses.replace(p, clusters=c) for p, c in zip(parts, blind[1:], strict=True))
    found = evaluate(blind[0], validation, test, factor=1.0, resamples=10)
    page = dataclasses.replace(PAGE, evaluation=found, test=test, facts={})
    words = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", training_page(page), flags=re.DOTALL)
    assert "redshift" not in words.rpartition("Beside the published values")[0]
    assert not re.search(r"\bnan\b|\bz\b", words, re.IGNORECASE)
    drawn = training_figures(page)
    assert "xaxis3" not in drawn["residuals"].to_dict()["layout"]
    assert "colorbar" not in str(drawn["masses"].data[0].marker.to_plotly_json())


def test_a_handful_of_clusters_makes_a_page() -> None:
    found = evaluate(
        example_clusters(20, 1), example_predictions(6, 2), example_predictions(5, 3), factor=1.0, resamples=10
    )
    page = dataclasses.replace(PAGE, evaluation=found, test=example_predictions(5, 3))
    assert "5 test clusters" in training_page(page)


def test_what_comes_from_outside_is_escaped() -> None:
    evil = '<script>alert("x")</script>'
    text = training_page(dataclasses.replace(PAGE, title=evil, facts={evil: evil}, commands={evil: evil}))
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert") >= 5


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"the report of .* bytes cannot be written"):
        write_training_page(PAGE, tmp_path / "file" / "report.html")


def test_drawing_the_page_needs_no_tensorflow() -> None:
    code = "import sys, clustersweep.report.model.page; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ONE = np.arange(1590) == 7


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("predicted", "sd", "beyond", "wide"),
    [
        (np.where(ONE, 1e6, TEST.predicted), TEST.sd, 1, 0),
        (np.full(1590, 1e300), np.full(1590, 1e-300), 1590, 0),
        (np.where(ONE, -1e30, 1e30), np.where(ONE, 1e300, 1e5), 1590, 1590),
    ],
    ids=["one prediction", "all predictions", "all uncertainties"],
)
def test_a_diverged_network_has_a_page_whose_figures_end_near_the_true_masses(
    predicted: np.ndarray, sd: np.ndarray, beyond: int, wide: int
) -> None:
    wild = dataclasses.replace(TEST, predicted=predicted, sd=sd)
    found = evaluate(example_clusters(500, 1), example_predictions(500, 2), wild, factor=1.0, resamples=10)
    curve = ((1e300, 1e308), (1e-12, 0.05))
    diverged = dataclasses.replace(stage("base", loss=0.05), curve=curve, nll_curve=((1e12, 1e300), (0.1, 0.2)))
    page = dataclasses.replace(PAGE, evaluation=found, test=wild, stages=(diverged,))
    text = training_page(page)
    assert (
        f"{counted(beyond, 'cluster lies', 'clusters lie')} beyond the picture"
        in text.split('id="figure-masses"')[1].split("Figure 2.")[0]
    )
    assert f"and the σ of {counted(wide, 'cluster')} lie beyond 3 dex and are drawn there" in text
    drawn = training_figures(page)
    truth = TEST.clusters.log_mass
    for axis in (drawn["masses"].layout.xaxis, drawn["masses"].layout.yaxis2):
        assert axis.range[0] >= truth.min() - 3.3
        assert axis.range[1] <= truth.max() + 3.3
    plot = parity(wild, found)
    assert plot.density.sum() == 1590
    assert drawn["residuals"].layout.yaxis.range[1] < 3.2
    assert drawn["uncertainty"].layout.xaxis.range[1] < 3.3
    assert sum(drawn["uncertainty"].data[-1].y) == 1590
    ticks = drawn["curves"].layout.yaxis.tickvals
    assert 3 <= len(ticks) <= 12
    assert drawn["curves"].layout.yaxis2.range[1] < 30


def test_a_seed_that_failed_is_in_no_mean_and_is_named() -> None:
    stages = (stage("base", 0, loss=0.04), stage("base", 1, loss=0.08))
    why = "the loss is not finite in epoch 3"
    assert [result.seed for result in final(stages, {1: why})] == [0]
    text = training_page(dataclasses.replace(PAGE, stages=stages, failed={1: why}))
    assert f"<b>Seed 1 failed:</b> {why}. Its network is not in the model" in text
    assert "this model, its one seed" in text
    assert "With one seed nothing is known" in text
    assert "Seed 1 failed" not in training_page(dataclasses.replace(PAGE, stages=stages))


def test_a_retraining_of_a_failed_seed_is_not_said_to_be_kept() -> None:
    text = training_page(dataclasses.replace(PAGE, failed={2: "why"}))
    assert "The retraining was kept for 1 of 2 seeds" in text
    only = (*(result for result in STAGES if result.seed == 2), stage("base", 3))
    assert "The retraining was kept" not in training_page(dataclasses.replace(PAGE, stages=only, failed={2: "why"}))


@pytest.mark.integration
def test_chromium_draws_every_figure_of_the_page_and_sends_no_request(browser: Browser, tmp_path: Path) -> None:
    to = write_training_page(PAGE, tmp_path / "report.html")
    requests: list[str] = []
    said: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text))
    page.goto(to.as_uri())
    page.wait_for_selector("#figure-outliers .main-svg")
    assert page.locator(".js-plotly-plot").count() == 6
    for name in NAMES:
        assert page.locator(f"#figure-{name}").locator("path.point, path.js-line, .bars path").count() > 3
    assert page.locator("#figure-masses .heatmaplayer image").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    assert covered_words(page) == []
    page.close()
    assert said == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
