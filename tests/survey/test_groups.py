"""What hints at one halo in several rows is told, with the way to keep them together."""

import pytest
from survey_files import Files

from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.formats.all import read_source


def test_repeated_identifiers_give_a_warning_that_names_the_split_by_identifier(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.columns["SRC_ID_IN"][[1, 2, 5]] = [100, 103, 103]
    read_source(*files.write("lab"), ColumnNames())
    assert "2 of 9 identifiers are repeated (100, 103)" in caplog.text
    assert "`split: {by: identifier}` keeps each on one side" in caplog.text
