"""Fixtures of what reads a survey's files."""

from pathlib import Path

import pytest
from survey_files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)
