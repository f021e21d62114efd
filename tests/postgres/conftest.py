"""Folders for servers of a test's own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import owner, short_folder

from clustersweep.home import Home, find_home
from clustersweep.postgres.embedded import stop_embedded


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that a server can live in, whoever we are."""
    path = short_folder(owner())
    yield path
    shutil.rmtree(path)


@pytest.fixture
def home(folder: Path) -> Iterator[Home]:
    """A home without a server yet."""
    home = find_home(folder / "home", {}, os.geteuid())
    yield home
    stop_embedded(home)
