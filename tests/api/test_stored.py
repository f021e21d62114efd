"""What is stored of a study: found without making or starting anything, and what was not compared is said."""

import dataclasses
from pathlib import Path

import pytest
from small_study import small_plan, small_study

from clustersweep.api.stored import Stored, open_to_read, read_left, read_stored
from clustersweep.errors import DataError, Problem, StorageError, StudyChangedError
from clustersweep.home import Home
from clustersweep.postgres.location import open_database
from clustersweep.storage.store import Storage
from clustersweep.study.plan import make_plan
from clustersweep.survey.dataset import Header
from clustersweep.tasks import tasks

UNREACHABLE = "postgresql://ann:hunter2@127.0.0.1:1/db"


@pytest.fixture
def stored(tmp_path):
    """What is stored of a study whose data are at hand; of no database."""
    header = Header(60, (12, 12, 10), "data-digest", "a test")
    return Stored(small_study(tmp_path), None, None, None, "data-digest", header, None, None)


def test_what_was_not_compared_is_said_with_the_reason(stored):
    assert stored.note == ""
    absent = dataclasses.replace(stored, header=None, absent=Path("/data/images.fits"))
    assert absent.note == (
        "/data/images.fits is not to be found here: all but the data was compared with what is stored"
    )
    refusal = DataError([Problem("images.fits", "mass", "nan", "must be a number", "Leave the cluster out.")])
    refused = dataclasses.replace(stored, header=None, refused=refusal).note
    assert refused.startswith(str(refusal))
    assert refused.endswith("\nthese data cannot be used: all but the data was compared with what is stored")


def test_the_data_are_told_as_they_are_or_where_they_are_not_at_hand_by_their_file(tmp_path, stored):
    assert stored.source == "a test"
    data = {"simulate": None, "images": "images.npz"}
    study = small_study(tmp_path, data=data)
    assert dataclasses.replace(stored, study=study, header=None).source == str(tmp_path / "images.npz")


def test_reading_in_a_home_where_nothing_was_launched_makes_none(tmp_path):
    home = Home(tmp_path / "home")
    with pytest.raises(StorageError, match="launch"):
        open_to_read(None, home)
    assert not home.path.exists()


def test_a_plan_is_not_compared_where_no_server_runs_and_starts_none(tmp_path):
    home = Home(tmp_path / "home")
    left, note = read_left(small_plan(tmp_path), None, home)
    assert left is None
    assert note == "not compared with what is stored: the home's database does not run, and plan starts none"
    assert not home.path.exists()


def test_a_storage_of_the_environment_that_cannot_be_reached_is_told_and_one_that_was_named_is_an_error(
    tmp_path, monkeypatch
):
    plan, home = small_plan(tmp_path), Home(tmp_path / "home")
    with pytest.raises(StorageError):
        read_left(plan, UNREACHABLE, home)
    monkeypatch.setenv("CLUSTERSWEEP_STORAGE", UNREACHABLE)
    left, note = read_left(plan, None, home)
    assert left is None
    assert note.startswith("not compared with what is stored: CLUSTERSWEEP_STORAGE")
    assert "hunter2" not in note


@pytest.mark.integration
def test_a_study_is_compared_with_what_is_stored_also_where_its_data_cannot_be_used(
    postgres_tcp, database_name, tmp_path, monkeypatch
):
    home, url = Home(tmp_path / "home"), postgres_tcp.url_with(database=database_name)
    study = small_study(tmp_path)
    plan = make_plan(study, study.task.header(study.axes))
    assert read_left(plan, url, home) == (None, "not launched yet")
    storage = Storage.connect(open_database(url, {}, None).url, tasks)
    storage.begin(plan)
    storage.close()
    left, note = read_left(plan, url, home)
    assert (left.replicates, left.finished, note) == (6, 0, "")
    found = read_stored(study, url, home)
    assert (found.data_digest, found.header.digest, found.note) == (plan.header.digest, plan.header.digest, "")
    assert len(found.results.trials) == 4
    with pytest.raises(StudyChangedError, match=r"training.epochs: 3 -> 9"):
        read_stored(small_study(tmp_path, training={"epochs": 9}), url, home)

    refusal = DataError([Problem("images.fits", "mass", "nan", "must be a number", "Leave the cluster out.")])

    def refuse(self, axes):
        raise refusal

    monkeypatch.setattr(type(study.task), "header", refuse)
    found = read_stored(study, url, home)
    assert (found.header, found.refused, found.data_digest) == (None, refusal, plan.header.digest)
    assert len(found.results.trials) == 4
