"""Tables on terminals of any width."""

import io
import re

import pytest
from example_results import grid_results, stop_trials
from rich.console import Console

from clustersweep.display.tables import print_best, print_replay
from clustersweep.study.replay import replay, rules_for


def printed(show, width):
    out = io.StringIO()
    show(Console(file=out, width=width))
    return out.getvalue().splitlines()


def test_names_break_after_an_underscore_where_a_terminal_is_too_narrow():
    lines = printed(lambda out: print_best(grid_results(), out), 80)
    first = next(number for number, line in enumerate(lines) if "kernel_" in line)
    assert lines[first].split() == ["kernel_", "conv_", "dense_"]
    assert lines[first + 1].split() == [
        "rank",
        "trial",
        "filters",
        "size",
        "blocks",
        "layers",
        "val_loss",
        "sd",
        "RMSE",
    ]


def test_names_are_whole_where_there_is_room():
    lines = printed(lambda out: print_best(grid_results(), out), 120)
    assert any("kernel_size  conv_blocks  dense_layers  val_loss" in line for line in lines)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_of_a_table_is_wider_than_the_terminal(width):
    results = grid_results()
    replayed = [replay(results, rule) for rule in rules_for(results)]
    for show in (lambda out: print_best(results, out), lambda out: print_replay(results, replayed, out)):
        rows = [line for line in printed(show, width) if re.match(r"\d+%?  ", line)]
        assert len(rows) >= 5
        assert max(map(len, rows)) <= width


def test_a_sweep_that_stopped_trials_early_says_that_the_best_may_be_among_them():
    said = " ".join(printed(lambda out: print_best(stop_trials(grid_results()), out), 200))
    assert (
        "the best may be among those that were stopped early; with later rungs or a larger share (stop_early)" in said
    )
    assert "its ties are not known" not in said
    alone = " ".join(printed(lambda out: print_best(stop_trials(grid_results(), (2, 5, 8), 0.02), out), 200))
    assert "one combination was trained to its end: its ties are not known" in alone
    assert "stopped early" not in " ".join(printed(lambda out: print_best(grid_results(), out), 200))
