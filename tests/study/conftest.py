"""Fixtures for the tests of studies."""

from pathlib import Path

import pytest
from study_files import load, text

from clustersweep.study.study import Study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return load(tmp_path, text(search_space="{filters: [1, 2], learning_rate: [0.01, 1]}"))
