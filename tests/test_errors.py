"""What errors say first."""

import pytest

from clustersweep.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("  \n one \n"), "one"),
        (ValueError(), "ValueError"),
        (ValueError("\n"), "ValueError"),
        ("an error's text\nand its trace", "an error's text"),
    ],
)
def test_the_first_line_of_an_error_is_its_first_words_or_its_name(error, line):
    assert first_line(error) == line
