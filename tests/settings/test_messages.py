"""What a schema refuses in words for the person who wrote it, whatever kind of file it is."""

import pytest
from observations import refused

WHOLE = "must be a whole number. Write a whole number, without quotes or decimal point."


def told(folder, text: str) -> str:
    """Return what is told of a good file with one line more, without the file and that line's number."""
    [message] = refused(folder, f"target: m31\n{text}\n")
    return message.removeprefix("o.yaml:2: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target: 3", "target = 3: must be text. Write it in quotes if it looks like something else."),
        ("target: a/b", "target = a/b: must be a name, not a path. Leave out the folders and every slash."),
        ("- m31", "must be lines of the form `key: value`. Begin with `target: a-name`."),
        ("cooled: true", "target: is missing. Add `target:`. What to look at."),
    ],
)
def test_what_is_wrong_with_the_first_line_is_told_with_how_it_is_written(tmp_path, text, message):
    assert refused(tmp_path, f"{text}\n") == [f"o.yaml:1: {message}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nights: 3", "nights = 3: must be a list. Write it as [a, b, c]."),
        ("nights: []", "nights = []: must have at least one value. Write one, or remove the key."),
        ("camera: {shift: [1]}", "camera.shift = [1]: must have 2 values. Write as many, or remove the key."),
        ("camera: {shift: [1, 2, 3]}", "camera.shift = [1, 2, 3]: must have 2 values. "
         "Write as many, or remove the key."),
        ("camera: {shift: [1, x]}", f"camera.shift[1] = x: {WHOLE}"),  # not too short besides
        ("camera: {exposure_s: 0}", "camera.exposure_s = 0: must be greater than 0. Write a larger number."),
        ("camera: {exposure_s: 7200}", "camera.exposure_s = 7200: must be at most 3600. Write 3600 or less."),
        ("camera: cold", "camera = cold: must be a section with keys of its own. Indent its keys below it, or "
         "remove it."),
        ("cooled: no", "cooled = no: must be true or false. Write one of these."),
        ("wait: soon", "wait = soon: must be a whole number or auto. Write one of these."),
    ],
)  # fmt: skip
def test_a_value_of_another_type_or_size_is_told_with_what_it_must_be(tmp_path, text, message):
    assert told(tmp_path, text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("camera: {band: G}", "camera.band = G: must be one of g, r, i. Write g."),
        ("camera: {band: infrared}", "camera.band = infrared: must be one of g, r, i. Write one of these."),
    ],
)
def test_of_choices_the_one_that_was_meant_is_proposed(tmp_path, text, message):
    assert told(tmp_path, text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("camera: {exposure: 3}", "camera.exposure: is no key of `camera`. Did you mean `exposure_s`?"),
        ("nigths: [1]", "nigths: is no key of an observation. Did you mean `nights`?"),
        ("band: r", "band: is no key of an observation. It is a key of `camera`: move it there."),
        ("camera: {nights: [1]}", "camera.nights: is no key of `camera`. "
         "Move it to the left margin: it stands outside all sections."),
        ("exposure: 3", "exposure: is no key of an observation. Did you mean `camera.exposure_s`?"),
        ("xyz: secret", "xyz: is no key of an observation. "
         "Remove it; the keys here are target, camera, nights, wait, cooled, seeds."),
        ("storage: secret", "storage: is no key of an observation. Remove it: storage is given by --storage or "
         "CLUSTERSWEEP_STORAGE, never in an observation file."),
    ],
)  # fmt: skip
def test_of_an_unknown_key_it_is_said_where_it_may_belong_and_never_its_value(tmp_path, text, message):
    assert told(tmp_path, text) == message
