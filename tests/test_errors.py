"""What errors say: their first line, and what the database's libraries raise."""

import optuna
import psycopg2
import pytest
import sqlalchemy.exc

from clustersweep.errors import StorageAwayError, first_line
from clustersweep.storage.errors import translated


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


@pytest.mark.parametrize("text", ["", "\n", "server closed the connection unexpectedly\n\tThis probably means"])
@pytest.mark.parametrize("by_optuna", [False, True])
def test_a_lost_connection_is_waited_for_also_when_the_library_says_nothing(text, by_optuna):
    lost = sqlalchemy.exc.OperationalError("SELECT 1", {}, psycopg2.OperationalError(text))
    error = optuna.exceptions.StorageInternalError("in a transaction") if by_optuna else lost
    with pytest.raises(StorageAwayError, match="does not answer") as told, translated():
        raise error from (lost if by_optuna else None)
    assert (text.split("\n")[0] or "OperationalError") in str(told.value)
