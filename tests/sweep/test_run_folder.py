"""The files of one study's runs: written, found again, and removed."""

import math
from types import SimpleNamespace

import pytest
from example_results import ACCURACY

from clustersweep.errors import StorageError
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.training.metric import VAL_LOSS


def test_the_weights_that_are_kept_are_those_of_the_highest_value_where_more_is_better(tmp_path):
    for metric, kept in ((VAL_LOSS, "low"), (ACCURACY, "high")):
        files = RunFolder(tmp_path / metric.name)
        for key in ("low", "high"):
            files.save_weights(key, b"weights")
        files.keep_best_weights({0: "low", 1: "high"}, {0: 0.1, 1: 0.9}, metric)
        assert [path.stem for path in (files.path / "weights").iterdir()] == [kept]


@pytest.fixture
def files(tmp_path):
    return RunFolder(tmp_path / "run")


def test_a_checkpoint_is_there_until_it_is_discarded(files):
    assert (files.checkpoint("one"), files.checkpoint_bytes("one"), files.checkpoints()) == (None, 0, frozenset())
    for state in (b"first", b"second one"):
        files.save_checkpoint("one", state)
    files.save_checkpoint("other", b"x")
    assert (files.checkpoint("one"), files.checkpoint_bytes("one")) == (b"second one", 10)
    assert files.checkpoints() == {"one", "other"}
    files.discard_checkpoint("one")
    files.discard_checkpoint("one")
    assert (files.checkpoint("one"), files.checkpoints()) == (None, {"other"})
    assert files.weights("other") is None  # which are another file


def test_the_weights_of_a_diverged_seed_stay_beside_the_best_ones(files):
    for key in ("best", "worse", "diverged"):
        files.save_weights(key, key.encode())
    files.keep_best_weights({0: "best", 1: "worse", 2: "diverged"}, {0: 0.1, 1: 0.2, 2: math.nan}, VAL_LOSS)
    assert [files.weights(key) for key in ("best", "worse", "diverged")] == [b"best", None, b"diverged"]
    files.keep_best_weights({}, {}, VAL_LOSS)
    assert files.weights("best") == b"best"


def test_what_a_killed_launch_left_half_written_goes_and_a_report_that_somebody_writes_stays(files):
    files.save_checkpoint("key", b"whole")
    parts = [files.path / folder / f".{'0' * 16}.part" for folder in ("checkpoints", ".")]
    for part in parts:
        part.write_bytes(b"half")
    files.remove_parts()
    assert [part.exists() for part in parts] == [False, True]
    assert files.checkpoint("key") == b"whole"


def test_code_of_ones_own_is_kept_below_its_digest_as_it_was_first(files):
    code = SimpleNamespace(digest="d1", words="", files={"nets.py": b"one", "parts/layers.py": b"two"})
    files.keep_code(code)
    files.keep_code(SimpleNamespace(digest="d1", words="", files={"nets.py": b"edited"}))
    assert files.read_code("d1") == code.files
    assert files.read_code("d2") == {}


def test_a_folder_is_removed_with_all_that_is_in_it_and_one_that_is_a_link_is_not(files, tmp_path):
    files.save_checkpoint("key", b"12345")
    files.save_weights("key", b"123")
    assert files.size_bytes() == 8
    (tmp_path / "link").symlink_to(files.path)
    with pytest.raises(StorageError, match=rf"link cannot be removed: .* Remove {tmp_path / 'link'} by hand"):
        RunFolder(tmp_path / "link").remove()
    assert files.size_bytes() == 8
    files.remove()
    assert not files.path.exists()
    files.remove()
    assert files.size_bytes() == 0


def test_what_cannot_be_written_or_read_says_what_to_do(files, tmp_path):
    (tmp_path / "run").write_text("a file in its place")
    with pytest.raises(StorageError, match=r"checkpoint of 1 bytes cannot be written: .* Then launch again: what is"):
        files.save_checkpoint("key", b"1")
    assert files.checkpoint("key") is None
    (tmp_path / "other" / "weights" / "key.npz").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"key\.npz cannot be read: Is a directory\. Mend that, or remove the file"):
        RunFolder(tmp_path / "other").weights("key")
