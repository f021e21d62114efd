"""What a training leaves in its folder when it is killed, and what the next one makes of it. Trains nothing."""

import dataclasses
import os
import time

import pytest

from clustersweep.errors import DataError
from clustersweep.survey.spec import DataSpec, SimulateSpec
from clustersweep.training.files.configuration import Configuration, load_configuration
from clustersweep.training.files.work_folder import claim, require_free
from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import TrainingSpec

FIRST = Configuration(
    network=NetworkSpec(filters=4),
    training=TrainingSpec(epochs=4, patience=4),
    data=DataSpec(simulate=SimulateSpec(clusters=60, seed=1, pixels=12)),
    seeds=(0,),
)
EDITED = dataclasses.replace(FIRST, training=TrainingSpec(epochs=5, patience=5))
PART = ".0123456789abcdef.part"


def test_a_part_of_a_killed_training_is_no_finished_stage_so_an_edited_configuration_is_taken(tmp_path):
    folder = tmp_path / "model"
    claim(folder, FIRST)
    (folder / "work" / PART).write_bytes(b"half a stage")
    (folder / "work" / "base-0.checkpoint.npz").write_bytes(b"of the first")
    claim(folder, EDITED)
    assert load_configuration(folder / "config.yaml").training == EDITED.training
    assert not (folder / "work" / "base-0.checkpoint.npz").exists()


def test_a_finished_stage_still_keeps_an_edited_configuration_out(tmp_path):
    folder = tmp_path / "model"
    claim(folder, FIRST)
    (folder / "work" / "base-0.npz").write_bytes(b"a stage")
    with pytest.raises(DataError, match="holds the training of another configuration: `training`"):
        claim(folder, EDITED)


def test_a_training_that_was_killed_before_its_configuration_was_written_leaves_the_folder_free(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / PART).write_bytes(b"half a configuration")
    require_free(folder)
    claim(folder, FIRST)
    assert load_configuration(folder / "config.yaml") == FIRST
    other = tmp_path / "other"
    other.mkdir()
    (other / ".mine.part").write_bytes(b"a person's")
    with pytest.raises(DataError, match="is there already and holds no training"):
        require_free(other)


@pytest.mark.parametrize("next_one", [FIRST, EDITED])
def test_old_parts_are_removed_by_the_next_training_and_young_ones_may_be_anothers(tmp_path, next_one):
    folder = tmp_path / "model"
    claim(folder, FIRST)
    old, young = folder / "work" / PART, folder / "work" / ".fedcba9876543210.part"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    claim(folder, next_one)
    assert not old.exists()
    assert young.exists()
