"""The page of a survey as a person sees it: Chromium draws every figure and asks the network for nothing."""

from pathlib import Path

import pytest
from example_survey import make_dataset
from mode_bar import covered_words
from playwright.sync_api import Browser

from clustersweep.report.survey import write_survey_page


@pytest.mark.integration
def test_chromium_draws_every_figure_of_the_survey_and_sends_no_request(browser: Browser, tmp_path: Path) -> None:
    page_file = write_survey_page(make_dataset(), tmp_path / "survey.html", "simulated")
    requests: list[str] = []
    said: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(page_file.as_uri())
    page.wait_for_selector("#figure-example-6 .main-svg")
    drawn = page.locator(".js-plotly-plot").count()
    bars = page.locator("#figure-histograms .bars path").count()
    panels = page.locator("#figure-example-1 .heatmaplayer image").count()
    covered = covered_words(page)
    page.close()
    assert (drawn, panels) == (8, 3)
    assert bars > 20
    assert not said
    assert covered == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
