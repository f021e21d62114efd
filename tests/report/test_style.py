"""What all figures share: colours, axes, and how they are put on a page."""

import math

import plotly.graph_objects as go
import pytest
from example_results import figure_of, grid_results

from clustersweep.report.style import (
    Encoding,
    axis_id,
    axis_key,
    base,
    colours,
    cost_axis,
    draw,
    loss_axis,
    mark_constant,
    ordinal,
    value_axis,
)
from clustersweep.report.sweep.slice_figure import slice_figure

RESULTS = grid_results()


def test_no_figure_offers_to_upload_its_data() -> None:
    drawn = draw(slice_figure(figure_of(RESULTS, "filters")), "name")
    assert '"showSendToCloud": false' in drawn
    assert "plotly.com" not in drawn


def test_losses_over_a_factor_of_three_and_costs_over_one_of_ten_have_logarithmic_axes() -> None:
    assert [loss_axis(0.1, high)["type"] for high in (0.29, 0.31)] == ["linear", "log"]
    assert [cost_axis(100, high)["type"] for high in (990, 1010)] == ["linear", "log"]
    assert loss_axis(-0.1, 0.3)["type"] == loss_axis(0.0, 0.3)["type"] == "linear"
    low, high = loss_axis(0.1, 1.0)["range"]
    assert low < -1
    assert 0 < high < 0.1  # the ends are powers of ten, with room beyond the values
    low, high = loss_axis(0.5, 0.5)["range"]
    assert low < 0.5 < high


def test_an_axis_of_losses_that_diverged_has_few_ticks_and_each_names_its_value() -> None:
    usual, wild = loss_axis(0.05, 0.5), loss_axis(0.05, 1e40)
    assert all(float(name) == tick for name, tick in zip(usual["ticktext"], usual["tickvals"], strict=True))
    assert 3 <= len(wild["tickvals"]) <= 12
    assert all(math.log10(tick) % 1 == pytest.approx(0, abs=1e-9) for tick in wild["tickvals"])


def test_an_axis_of_a_hyperparameter_has_a_tick_at_each_of_its_values() -> None:
    choices = value_axis(("max", True), "category")
    assert (choices["categoryarray"], choices["range"]) == (["max", "True"], [-0.35, 1.35])
    rates = value_axis((1e-4, 1e-2), "log")
    assert (rates["tickvals"], rates["ticktext"]) == ([1e-4, 1e-2], ["0.0001", "0.01"])
    assert rates["range"] == pytest.approx([-4.2, -1.8])
    assert value_axis((5,), "linear")["range"] == [4, 6]


def test_colour_line_and_symbol_go_to_the_first_axes_that_they_are_enough_for() -> None:
    many = tuple(range(9))
    encoding = Encoding({"many": many, "more": many, "few": ("a", "b"), "six": tuple(range(6)), "left": (1, 2)})
    assert encoding.axes == ("many", "few", "six")  # four line styles and six symbols: too few for nine values
    looks = [encoding.look({"many": value}) for value in many]
    assert len({colour for colour, _, _ in looks}) == 9
    assert len({(dash, symbol) for _, dash, symbol in looks}) == 1
    assert encoding.look({"few": "a"})[1] != encoding.look({"few": "b"})[1]
    assert encoding.look({"left": 2}) == encoding.look({})


@pytest.mark.parametrize("count", [0, 1, 6, 7, 30])
def test_every_colour_differs_from_the_others(count: int) -> None:
    assert len(set(colours(count))) == count


@pytest.mark.parametrize(("variance", "marked"), [(0.2, True), (0.31, False), (0.09, False), (None, False)])
def test_what_a_constant_gives_is_marked_where_it_lies_in_the_picture(variance: float | None, marked: bool) -> None:
    figure = go.Figure(layout=base(300, yaxis=loss_axis(0.1, 0.3)))
    mark_constant(figure, variance, "x", "y", named=True, within=(0.1, 0.3))
    assert [shape.y0 for shape in figure.layout.shapes] == [variance] * marked
    assert [note.y for note in figure.layout.annotations] == [variance] * marked


def test_the_name_of_the_constant_stands_at_its_line_on_a_logarithmic_axis_too() -> None:
    figure = go.Figure(layout=base(300, yaxis=loss_axis(0.1, 1.0)))
    mark_constant(figure, 0.2, "x", "y", named=True, within=(0.1, 1.0))
    assert figure.layout.shapes[0].y0 == 0.2
    assert figure.layout.annotations[0].y == pytest.approx(math.log10(0.2))  # there notes are placed by logarithms


def test_ranks_and_axes_have_the_names_that_people_and_plotly_give_them() -> None:
    found = [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)]
    assert found == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]
    assert [axis_id("y", number) for number in (0, 1, 2)] == ["y", "y2", "y3"]
    assert [axis_key(axis) for axis in ("x", "y12")] == ["xaxis", "yaxis12"]
