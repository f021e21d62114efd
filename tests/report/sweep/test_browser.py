"""The report as a person sees it: Chromium opens the file and every figure must be there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from example_results import fail_trial, grid_results, stop_trials
from mode_bar import covered_words
from playwright.sync_api import Browser, Page

from clustersweep.report import write_report

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


class Opened:
    """A page with everything that it said and asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    files = write_report(fail_trial(grid_results(), 4), tmp_path_factory.mktemp("report"))
    found = Opened(browser.new_page(viewport={"width": 1200, "height": 900}))
    found.page.goto(files.html.as_uri())
    yield found
    found.page.close()


def test_every_figure_is_drawn(opened: Opened) -> None:
    opened.page.wait_for_selector("#figure-cost .main-svg")
    assert opened.page.locator(".js-plotly-plot").count() == 7
    for number in range(7):
        plot = opened.page.locator(".js-plotly-plot").nth(number)
        assert plot.locator("path.point, path.js-line, .bars path").count() > 3
        assert plot.locator(".main-svg").first.bounding_box()["height"] > 200  # type: ignore[index]


def test_a_slice_shows_27_lines_in_each_of_three_panels_and_counts_the_gaps(opened: Opened) -> None:
    plot = opened.page.locator("#figure-slice-2")
    drawn = plot.evaluate("plot => plot.data.filter(trace => trace.meta?.fixed).length")
    assert drawn == 81
    assert plot.locator("text=✕ 18").count() == 3
    for title in ("best of 3 seeds", "2nd of 3 seeds", "worst of 3 seeds"):
        assert plot.get_by_text(title).count() == 1


def test_a_legend_entry_hides_its_lines_and_brings_them_back(opened: Opened) -> None:
    plot = opened.page.locator("#figure-slice-1")
    visible = "plot => plot.data.filter(trace => trace.meta?.fixed && trace.visible !== false).length"
    entry = plot.locator(".legendtoggle").nth(2)  # after the mean and the title of the colours
    entry.click()
    opened.page.wait_for_function(
        "() => document.querySelector('#figure-slice-1').data.some(trace => trace.visible === false)"
    )
    assert plot.evaluate(visible) == 54
    opened.page.wait_for_timeout(500)  # a second click sooner would be a double click
    entry.click()
    opened.page.wait_for_function(
        "() => document.querySelector('#figure-slice-1').data.every(trace => trace.visible !== false)"
    )


def test_hovering_brings_one_line_forward_and_names_it(opened: Opened) -> None:
    plot = opened.page.locator("#figure-slice-3")
    plot.scroll_into_view_if_needed()
    x, y = plot.evaluate(
        """plot => {
            const lines = plot.data.filter(trace => trace.meta?.fixed && trace.xaxis === "x" && trace.y[0] !== null);
            const trace = lines.reduce((a, b) => (a.y[0] > b.y[0] ? a : b)); // away from all others
            const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
            return [box.left + xaxis._offset + xaxis.d2p(trace.x[0]), box.top + yaxis._offset + yaxis.d2p(trace.y[0])];
        }"""
    )
    opened.page.mouse.move(x - 4, y - 2)
    opened.page.mouse.move(x, y)
    label = plot.locator(".hovertext")
    label.wait_for()
    words = label.text_content() or ""
    assert "dex²" in words
    assert "kernel_size = " in words
    opacities = plot.evaluate("plot => plot.data.filter(trace => trace.meta?.fixed).map(trace => trace.opacity)")
    assert opacities.count(1) == 3  # the same line in all panels


def test_a_click_sorts_a_table_by_number_and_a_second_one_turns_it_round(opened: Opened) -> None:
    table = opened.page.locator("#trials table")
    head = table.locator("th", has_text="parameters")
    column = head.evaluate("head => head.cellIndex")
    for order in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        cells = table.locator(f"tbody td:nth-child({column + 1})").all_inner_texts()
        numbers = [int(cell.replace(",", "")) for cell in cells]
        assert len(numbers) == 53
        assert numbers == sorted(numbers, reverse=order == "descending")


def test_failures_and_impossible_combinations_are_shown(opened: Opened) -> None:
    assert opened.page.locator("#impossible tbody tr").count() == 27
    assert "RuntimeError: boom" in opened.page.locator("#unfinished").inner_text()


def test_the_page_fits_a_window_of_1200_pixels(opened: Opened) -> None:
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 1200


def test_no_legend_and_no_title_lies_under_the_buttons(opened: Opened) -> None:
    assert covered_words(opened.page) == []


def test_nothing_leaves_the_machine_and_nothing_goes_wrong(opened: Opened) -> None:
    opened.page.locator("#figure-slice-1").hover()
    assert opened.page.locator("[data-title*=Share], [data-title*=cloud]").count() == 0
    allowed = opened.page.evaluate("fetch('https://example.org/').then(() => true, () => false)")
    assert allowed is False  # the page's own policy refuses it
    assert [said for said in opened.said if "example.org" not in said] == []
    assert [url for url in opened.requests if not url.startswith(("file://", "data:"))] == []


def test_the_table_beside_the_page_is_there(opened: Opened) -> None:
    path = Path(opened.page.url.removeprefix("file://"))
    assert (path.parent / "results.csv").exists()


def test_the_reader_chooses_at_which_rung_trials_that_were_stopped_are_compared(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = write_report(stop_trials(grid_results()), tmp_path_factory.mktemp("stopped"))
    found = Opened(browser.new_page(viewport={"width": 1200, "height": 900}))
    page = found.page
    page.goto(files.html.as_uri())
    page.wait_for_selector("#figure-slice-1-after-2 .main-svg")
    assert page.locator("#figure-slice-1-after-2").is_visible()
    assert not page.locator("#figure-slice-1-after-5").is_visible()
    page.locator("#hyperparameters").get_by_label("after epoch 5 (19 combinations)").check()
    assert not page.locator("#figure-slice-1-after-2").is_visible()
    for name in ("slice-1", "effects"):  # both sections change, and fill the width that was not there before
        drawn = page.locator(f"#figure-{name}-after-5 .main-svg").first
        page.wait_for_function(
            "name => document.querySelector(`#figure-${name}-after-5 .main-svg`).getBoundingClientRect().width > 1000",
            arg=name,
        )
        assert drawn.is_visible()
    assert page.locator("#noise").get_by_label("after epoch 5 (19 combinations)").is_checked()
    assert found.said == []
    page.close()
