"""Which combinations of a study are trained as an earlier one is."""

from small_study import DROPOUT, small_study

from clustersweep.study.task import same


def combinations(*dropouts: float) -> list[dict[str, float]]:
    return [{"dense_layers": layers, "dropout": dropout} for layers in (1, 2) for dropout in dropouts]


def test_a_combination_that_is_trained_as_an_earlier_one_is_told_with_the_first_such_and_why(tmp_path):
    task = small_study(tmp_path, **DROPOUT).task
    found = list(same(task, combinations(0.0, 0.3, 0.5)))
    assert [(place, of) for place, of, _ in found] == [(1, 0), (2, 0)]
    assert {why for *_, why in found} == {task.why_same(*combinations(0.0, 0.3)[:2])}


def test_the_first_is_the_first_in_the_order_that_is_given(tmp_path):
    task = small_study(tmp_path, **DROPOUT).task
    found = same(task, list(reversed(combinations(0.0, 0.3))))
    assert [(place, of) for place, of, _ in found] == [(3, 2)]


def test_where_all_are_trained_differently_nothing_is_told(tmp_path):
    assert list(same(small_study(tmp_path, **DROPOUT).task, combinations(0.3))) == []
