"""What becomes of a settings file as a whole: its own type, or every problem of it at once."""

import pytest
from observations import Camera, Observation, observed, refused

from clustersweep.settings.document import Fault


def test_a_good_file_becomes_its_type_with_defaults_and_lists_as_tuples(tmp_path):
    found = observed(tmp_path, "target: m31\ncamera: {exposure_s: 30}\nnights: [3, 1]\n")
    assert found == Observation(target="m31", camera=Camera(exposure_s=30.0), nights=(3, 1))
    assert isinstance(found.camera.exposure_s, float)


def test_a_value_has_to_be_of_its_own_type_as_it_stands(tmp_path):
    assert refused(tmp_path, "target: m31\nnights: ['3', 2.0, true]\n") == [
        f"o.yaml:2: nights[{place}] = {shown}: must be a whole number. "
        "Write a whole number, without quotes or decimal point."
        for place, shown in enumerate(['"3"', "2.0", "true"])
    ]


def test_an_empty_file_is_told_how_to_begin_and_one_that_cannot_be_read_only_why(tmp_path):
    assert refused(tmp_path, "# later\n") == ["o.yaml: is empty. Begin with `target: a-name`."]
    assert refused(tmp_path, "target: [m31\n") == [
        "o.yaml:2: must be YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'. "
        "Correct it; after a colon comes a space."
    ]


def test_what_reader_schema_and_rules_find_is_told_at_once_in_the_order_of_the_lines(tmp_path):
    def across(content):
        assert content["nights"] == "x"  # also of a file whose types are wrong
        yield Fault(("camera", "band"), "is too dark", "Use another.")

    text = "target: m31\nnights: x\nnights: y\ncamera:\n  band: g\n  exposure_s: 0\n"
    told = [line.split(". ")[0] for line in refused(tmp_path, text, across)]
    assert told == [
        "o.yaml:2: nights = x: must be a list",
        "o.yaml:3: nights: is given twice, first on line 2",
        "o.yaml:5: camera.band = g: is too dark",
        "o.yaml:6: camera.exposure_s = 0: must be greater than 0",
    ]


@pytest.mark.parametrize(("faults", "refusals"), [((), 0), ((Fault((), "is not tonight", "Wait."),), 1)])
def test_what_only_the_rules_find_refuses_a_file_of_the_right_types(tmp_path, faults, refusals):
    assert len(refused(tmp_path, "target: m31\n", lambda content: faults)) == refusals


@pytest.mark.parametrize(
    ("seeds", "wrong"), [("[0, 2147483647]", 0), ("[]", 1), ("[-1]", 1), ("[2147483648]", 1), ("3", 1)]
)
def test_seeds_are_one_or_more_whole_numbers_of_31_bits(tmp_path, seeds, wrong):
    assert len(refused(tmp_path, f"target: m31\nseeds: {seeds}\n")) == wrong
