"""What all figures share: colours, axes, and how they are put on a page."""

from example_results import figure_of, grid_results

from clustersweep.report.style import draw
from clustersweep.report.sweep.slice_figure import slice_figure

RESULTS = grid_results()


def test_no_figure_offers_to_upload_its_data() -> None:
    drawn = draw(slice_figure(figure_of(RESULTS, "filters")), "name")
    assert '"showSendToCloud": false' in drawn
    assert "plotly.com" not in drawn
