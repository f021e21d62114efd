"""How a URL of a database is refused."""

import traceback
from pathlib import Path
from urllib.parse import quote

import pytest

from clustersweep.errors import StorageError
from clustersweep.home import Home
from clustersweep.postgres.location import open_database

NO_HOME = Home(Path("/nonexistent"))
SECRET = "hunter2/@"


def refusal(url: str, *, secret: str = SECRET, where: str = "--storage") -> str:
    """Give the message that a URL is refused with, sure that no part of the error tells the password."""
    option, environ = (url, {}) if where == "--storage" else (None, {where: url})
    with pytest.raises(StorageError) as caught:
        open_database(option, environ, NO_HOME)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.value.exit_code == 3
    told = "".join(traceback.format_exception_only(caught.value)) + repr(caught.value)
    for form in (secret, quote(secret), quote(secret, safe="")):
        assert form not in told
    return str(caught.value)
