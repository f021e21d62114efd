"""How a document tells what is wrong with it: where, with which value, and each place once."""

import pytest

from clustersweep.settings.document import SHOWN, Document, Fault, dotted, shortened

DOCUMENT = Document(
    name="s.yaml",
    value={"a": {"b": [0.001, {"c": None}]}, "d": "x"},
    lines={("a",): 1, ("a", "b"): 2, ("a", "b", 0): 3, ("a", "b", 1): 4, ("a", "b", 1, "c"): 5, ("d",): 6},
    written={("a", "b", 0): "1e-3", ("a", "b", 1, "c"): "", ("d",): "x"},
)


def told(*faults: Fault, document: Document = DOCUMENT) -> list[str]:
    return [str(problem) for problem in document.problems(faults)]


@pytest.mark.parametrize(
    ("key", "value"),
    [((), DOCUMENT.value), (("a", "b", 0), 0.001), (("a", "b", 2), None), (("d", "e"), None), (("a", 0), None)],
)
def test_a_key_leads_to_its_value_and_to_nothing_where_there_is_none(key, value):
    assert DOCUMENT.at(key) == value


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (("a", "b", 0), "s.yaml:3: a.b[0] = 1e-3: is wrong. Mend it."),
        (("a", "b", 1, "c"), "s.yaml:5: a.b[1].c = null: is wrong. Mend it."),
        (("a",), "s.yaml:1: a = {b: [0.001, {c: null}]}: is wrong. Mend it."),
        (("a", "b", 1, "missing"), "s.yaml:4: a.b[1].missing: is wrong. Mend it."),
        ((), "s.yaml: is wrong. Mend it."),
    ],
)
def test_a_fault_is_told_with_its_line_and_with_its_value_as_it_was_written(key, message):
    assert told(Fault(key, "is wrong", "Mend it.")) == [message]


def test_a_fault_may_name_another_line_and_keep_its_value_to_itself():
    assert told(Fault(("d",), "is wrong", "Mend it.", line=9, silent=True)) == ["s.yaml:9: d: is wrong. Mend it."]


def test_faults_come_in_the_order_of_the_lines_and_one_for_each_place():
    faults = [Fault((key,), rule, "R") for key, rule in (("d", "one"), ("a", "two"), ("d", "three"))]
    assert told(*faults) == ["s.yaml:1: a = {b: [0.001, {c: null}]}: two. R", "s.yaml:6: d = x: one. R"]


def test_of_a_value_that_the_reader_refused_nothing_else_is_told():
    read = Document("s.yaml", {"n": None}, (Fault(("n",), "is no number", "R"),), {("n",): 1}, {("n",): ".nan"})
    assert told(Fault(("n",), "is missing", "R", line=2), document=read) == ["s.yaml:1: n = .nan: is no number. R"]


def test_keys_are_written_as_people_do():
    assert dotted(("a", 0, "b", 12)) == "a[0].b[12]"
    assert dotted(()) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\x00b\ud800", "a\ufffdb\ufffd"),
        ("x" * SHOWN, "x" * SHOWN),
        ("x" * (SHOWN + 1), "x" * SHOWN + "..."),
        ("postgresql://me:p@ss/word@host/db", "postgresql://***@host/db"),
        ("https://host/a", "https://host/a"),
    ],
)
def test_what_a_message_repeats_is_printable_short_and_without_a_password(text, shown):
    assert shortened(text) == shown
