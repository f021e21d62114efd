"""What rules of settings files ask of plain values: what is there twice, a section, a number."""

import pytest

from clustersweep.settings.rules import is_number, repeated, section


def test_what_a_list_has_twice_is_found_by_its_place():
    found = list(repeated(("seeds",), [1, 2, 1, [3], [3], 1.0]))
    assert [fault.key for fault in found] == [("seeds", 2), ("seeds", 5)]
    assert list(repeated(("seeds",), "11")) == []


def test_sections_that_are_missing_or_none_are_empty():
    assert section({"a": {"b": 1}}, "a") == {"b": 1}
    assert section({"a": 3}, "a") == section({}, "a") == section(None, "a") == {}


@pytest.mark.parametrize(("value", "number"), [(1, True), (0.5, True), (True, False), ("1", False), (None, False)])
def test_true_is_no_number(value, number):
    assert is_number(value) is number
