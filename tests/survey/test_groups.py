"""What hints at one halo in several rows is told, with the way to keep them together."""

import numpy as np
import pytest
from survey_files import Files

from clustersweep.errors import DataError
from clustersweep.survey.catalogue import Catalogue, ColumnNames, Labels
from clustersweep.survey.formats.all import read_source
from clustersweep.survey.groups import concerns, groups_concern, is_count


def test_repeated_identifiers_give_a_warning_that_names_the_split_by_identifier(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.columns["SRC_ID_IN"][[1, 2, 5]] = [100, 103, 103]
    read_source(*files.write("lab"), ColumnNames())
    assert "2 of 9 identifiers are repeated (100, 103)" in caplog.text
    assert "`split: {by: identifier}` keeps each on one side" in caplog.text


def labels_of(masses: list[float], identifiers: list[int] | None = None) -> Labels:
    log_mass = np.log10(np.array(masses))
    own = None if identifiers is None else np.array(identifiers)
    return Labels(log_mass, np.full(len(masses), 0.3), own, ("M500c", "z", "id" if identifiers else ""))


def test_good_labels_are_no_concern() -> None:
    assert concerns(labels_of([1e13, 1e14, 1e15], [5, 6, 7])) == ()
    assert concerns(labels_of([1e13, 1e14, 1e15])) == ()


@pytest.mark.parametrize(
    ("masses", "told"),
    [
        ([1e12, 2e12, 1e14], "half of the masses are below 2e12 solar masses, as those of single galaxies are"),
        ([1e14, 8e15, 8e15], "one in twenty of the masses is above 8e15 solar masses, and no cluster of 5e15 is known"),
    ],
)
def test_masses_of_galaxies_or_of_what_is_too_heavy_hint_at_a_wrong_unit(masses: list[float], told: str) -> None:
    (concern,) = concerns(labels_of(masses))
    assert told in concern
    assert concern.endswith("is the unit of the masses right?")


@pytest.mark.parametrize(
    ("identifiers", "count"),
    [([0, 1, 2], True), ([1, 2, 3], True), ([2, 3, 4], False), ([0, 2, 1], False), (["0", "1"], False), ([0.0], False)],
)
def test_only_whole_numbers_from_0_or_1_in_their_order_count_the_rows(identifiers: list[object], count: bool) -> None:
    assert is_count(np.array(identifiers)) == count


def test_a_split_by_identifier_needs_one_that_some_rows_share() -> None:
    table = Catalogue("c", {"halo": np.array([7, 7, 8]), "z": np.array([0.1, 0.1, 0.2])})
    assert groups_concern(table, ColumnNames(identifier="halo"), None) == ""
    assert groups_concern(table, ColumnNames(), np.array([4, 4, 5])) == ""
    unique = groups_concern(table, ColumnNames(), np.array([4, 6, 5]))
    assert unique.startswith("the images' identifiers: every identifier is unique")


def test_row_numbers_are_no_identifier_to_split_by_and_the_columns_that_could_be_are_named() -> None:
    table = Catalogue("c", {"halo": np.array([7, 7, 8]), "z": np.array([0.1, 0.1, 0.2])})
    for of_images in (None, np.arange(3)):
        with pytest.raises(DataError, match="needs a column that names the haloes") as info:
            groups_concern(table, ColumnNames(), of_images)
        assert "data: {identifier: halo}" in str(info.value)
        assert "Values are repeated in: halo." in str(info.value)
