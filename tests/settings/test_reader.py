"""YAML as settings files have it: what values mean, where each stands, and what is refused. Knows no kind of file."""

import pytest

from clustersweep.settings.reader import MAX_BYTES, MAX_DEPTH, read_yaml


@pytest.fixture
def read(tmp_path):
    def reading(text):
        path = tmp_path / "s.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(path)

    return reading


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("12", 12),
        ("-0.5", -0.5),
        ("no", "no"),
        ("yes", "yes"),
        ("true", True),
        ("~", None),
        ("2026-11-22", "2026-11-22"),
        ("12:30:00", "12:30:00"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("'3'", "3"),
        ("[1, a, 0.5]", [1, "a", 0.5]),
        ("{b: {c: 1}}", {"b": {"c": 1}}),
    ],
)
def test_values_mean_what_they_look_like(read, text, value):
    found = read(f"a: {text}\n")
    assert (found.value, found.faults) == ({"a": value}, ())
    assert type(found.value["a"]) is type(value)


def test_every_value_knows_its_line_and_how_it_was_written(read):
    found = read("a: 1e-3\nb:\n  c: [x,\n      y]\n")
    assert found.lines[("a",)] == 1
    assert found.lines[("b", "c", 1)] == 4
    assert found.written[("a",)] == "1e-3"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: 1\na: 2\n", "is given twice, first on line 1"),
        ("a: &x 1\n", "must not use the anchor `&x`"),
        ("a: *x\n", "must not use the alias `*x`"),
        ("a: !!python/name:os.system ls\n", "must not use the tag `tag:yaml.org,2002:python/name:os.system`"),
        ("a: .inf\n", "must be a finite number"),
        ("a: 1e999\n", "must be a number that 64 bits can hold"),
        ("a: 12345678901234567890\n", "must have at most 18 digits"),
        ('a: "x\\u0000"\n', "must be printable text on one line"),
        ("---\na: 1\n---\nb: 2\n", "must hold one document"),
        ("[1]: 2\n", "must have words as its keys"),
        (b"a: \xff\n", "must be UTF-8 text, and byte 3 is not"),
        ("a: " + "[" * 40 + "]" * 40, f"must not be nested deeper than {MAX_DEPTH} levels"),
        ("a: " + "x" * MAX_BYTES, "is larger than 100 kB"),
    ],
)
def test_what_no_settings_file_needs_is_refused(read, text, rule):
    assert rule in [fault.rule for fault in read(text).faults]


def test_a_file_that_is_not_there_and_a_folder_are_faults_not_errors(tmp_path):
    assert read_yaml(tmp_path / "no.yaml").faults[0].rule == "there is no such file"
    assert read_yaml(tmp_path).faults[0].rule == "is a folder"
