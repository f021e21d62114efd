"""What a kind of settings file calls its keys: which stand beside which, and what editors are told of them."""

import jsonschema  # comes with Ray
from observations import SCHEMA, WORDS

from clustersweep.settings.vocabulary import Vocabulary

SPACE = Vocabulary(
    file="a study",
    begin="",
    keys={"study": "Its name.", "search_space": "The axes.", "network": "All.", "network.filters": "How many."},
    axes={"filters": "network"},
)


def test_keys_stand_beside_those_of_the_same_section():
    assert WORDS.siblings("") == ("target", "camera", "nights", "wait", "cooled", "seeds")
    assert WORDS.siblings("camera") == ("exposure_s", "band", "shift")
    assert WORDS.siblings("nights") == WORDS.siblings("nowhere") == ()


def test_axes_stand_in_the_search_space_which_is_no_section_of_its_own():
    assert SPACE.siblings("search_space") == ("filters",)
    assert SPACE.sections == ("network",)
    assert WORDS.sections == ("camera",)


def test_an_editor_is_told_what_every_key_means_in_one_piece():
    schema = WORDS.schema(SCHEMA.json_schema())
    assert schema["title"] == "clustersweep observation"
    assert "$ref" not in str(schema)
    assert "$defs" not in schema
    assert {name: one["description"] for name, one in schema["properties"].items()} == {
        name: WORDS.keys[name] for name in WORDS.siblings("")
    }
    camera = schema["properties"]["camera"]
    assert camera["properties"]["band"] == {
        "description": "Colour.", "default": "r", "enum": ["g", "r", "i"], "type": "string"
    }  # fmt: skip
    jsonschema.Draft7Validator.check_schema(schema)


def test_an_axis_means_what_its_key_means():
    number = {"type": "array", "items": {"type": "integer", "title": "Filters"}}
    space = {"type": "object", "properties": {"filters": number}}
    found = SPACE.schema({"$defs": {}, "properties": {"search_space": space}})["properties"]["search_space"]
    assert found["description"] == "The axes."
    assert found["properties"]["filters"] == {
        "description": "How many.", "type": "array", "items": {"type": "integer"}
    }  # fmt: skip
