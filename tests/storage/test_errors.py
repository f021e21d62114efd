"""What the database's libraries raise, as an error of ours: which is waited for, and which is not."""

import optuna
import psycopg2
import pytest
import sqlalchemy.exc

from clustersweep.errors import StorageAwayError
from clustersweep.storage.errors import translated


@pytest.mark.parametrize("text", ["", "\n", "server closed the connection unexpectedly\n\tThis probably means"])
@pytest.mark.parametrize("by_optuna", [False, True])
def test_a_lost_connection_is_waited_for_also_when_the_library_says_nothing(text, by_optuna):
    lost = sqlalchemy.exc.OperationalError("SELECT 1", {}, psycopg2.OperationalError(text))
    error = optuna.exceptions.StorageInternalError("in a transaction") if by_optuna else lost
    with pytest.raises(StorageAwayError, match="does not answer") as told, translated():
        raise error from (lost if by_optuna else None)
    assert (text.split("\n")[0] or "OperationalError") in str(told.value)
