"""Which words of a page's figures lie under Plotly's buttons."""

from playwright.sync_api import Page

_COVERED = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => {
    const bars = [...plot.querySelectorAll('.modebar-group')].map(bar => bar.getBoundingClientRect());
    const words = [...plot.querySelectorAll('.legend .traces, .annotation-text-g')];
    const under = box => box.width && bars.some(bar =>
        box.left < bar.right && bar.left < box.right && box.top < bar.bottom && bar.top < box.bottom);
    return words.filter(word => bars.length === 0 || under(word.getBoundingClientRect()))
        .map(word => `${plot.id}: ${word.textContent}`);
})"""


def covered_words(page: Page) -> list[str]:
    """Return what legends and titles say under the buttons, which every figure must have, in a 1280 pixels' window."""
    before = page.viewport_size
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_timeout(300)  # the figures are drawn anew
    found = page.evaluate(_COVERED)
    if before is not None:
        page.set_viewport_size(before)
    return list(found)
