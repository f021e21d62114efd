"""Removing a study: what goes, what stays, and when it is refused."""

import re

import pytest
from two_studies import two_studies

from clustersweep.errors import StorageError, StudyLockedError
from clustersweep.home import Home
from clustersweep.postgres.location import StudyLock, open_database
from clustersweep.storage.store import Storage
from clustersweep.sweep.removal import Belongings, remove_study
from clustersweep.sweep.run_folder import RunFolder


def yes(found):
    return True


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def database(postgres_tcp, database_name):
    return open_database(postgres_tcp.url_with(database=database_name), {}, None)


@pytest.fixture
def storage(database, home, tmp_path):
    with two_studies(database, home, tmp_path) as stored:
        yield stored


@pytest.mark.integration
def test_a_study_is_removed_with_its_files_and_nothing_else_is(database, home, storage):
    asked = []
    removed = remove_study("small", database, home, keep_files=False, agreed=lambda found: not asked.append(found))
    assert asked == [removed] == [Belongings(4, home.run("small"), 5)]
    assert storage.studies() == ("other",)
    assert not home.run("small").exists()
    assert RunFolder(home.run("other")).checkpoint("key") == b"12345"


@pytest.mark.integration
def test_files_can_be_kept(database, home, storage):
    removed = remove_study("small", database, home, keep_files=True, agreed=yes)
    assert removed == Belongings(4, None, 0)
    assert storage.studies() == ("other",)
    assert RunFolder(home.run("small")).checkpoint("key") == b"12345"


@pytest.mark.integration
def test_nothing_is_removed_without_consent(database, home, storage):
    assert remove_study("small", database, home, keep_files=False, agreed=lambda found: False) is None
    assert storage.studies() == ("other", "small")
    assert RunFolder(home.run("small")).checkpoint("key") == b"12345"
    StudyLock.acquire(database.url, "small").release()


@pytest.mark.integration
def test_nothing_is_removed_under_a_launch(database, home, storage):
    with StudyLock.acquire(database.url, "small"), pytest.raises(StudyLockedError, match="study small is being launch"):
        remove_study("small", database, home, keep_files=False, agreed=yes)
    assert storage.studies() == ("other", "small")
    assert RunFolder(home.run("small")).checkpoint("key") == b"12345"


@pytest.mark.integration
def test_a_removal_that_was_cut_short_is_finished_by_the_next(database, home, storage, monkeypatch):
    def interrupt(self, study):
        raise KeyboardInterrupt

    monkeypatch.setattr(Storage, "remove", interrupt)
    with pytest.raises(KeyboardInterrupt):
        remove_study("small", database, home, keep_files=False, agreed=yes)
    monkeypatch.undo()
    assert remove_study("small", database, home, keep_files=False, agreed=yes) == Belongings(4, None, 0)
    assert storage.studies() == ("other",)


@pytest.mark.integration
def test_an_unknown_study_is_refused_with_those_that_there_are(database, home, storage):
    message = (
        rf"there is no study 'smal' in {re.escape(database.safe_url)} \(stored: other, small\)\. Give the name of "
    )
    with pytest.raises(StorageError, match=message):
        remove_study("smal", database, home, keep_files=False, agreed=yes)


@pytest.mark.integration
@pytest.mark.parametrize("name", ["..", "../home", "/", ".", "small\n"])
def test_a_study_whose_name_leads_elsewhere_takes_no_folder_along(database, home, storage, name):
    storage.backend.create_new_study([1], name)
    with pytest.raises(StorageError, match=r"was not made by clustersweep\. Remove it with what made it"):
        remove_study(name, database, home, keep_files=False, agreed=yes)
    assert RunFolder(home.run("small")).checkpoint("key") == b"12345"


@pytest.mark.integration
def test_a_folder_that_cannot_be_removed_keeps_the_study(database, home, storage):
    moved = home.path / "moved"
    home.run("small").rename(moved)
    home.run("small").symlink_to(moved)
    message = f"{home.run('small')} cannot be removed: .*symbolic link.* Remove {home.run('small')} by hand"
    with pytest.raises(StorageError, match=message):
        remove_study("small", database, home, keep_files=False, agreed=yes)
    assert storage.studies() == ("other", "small")
