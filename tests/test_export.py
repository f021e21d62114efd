"""Export: what is chosen, what is written, and the proof by reloading."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from example_results import fail_trial, grid_results
from small_study import small_plan, write_study

from clustersweep.errors import NothingCompleteError
from clustersweep.export import choose, commit, versions
from clustersweep.trial import SweepResults


def test_the_best_trial_is_chosen_and_others_by_rank_or_number():
    results = grid_results()
    best, second = results.ranked()[:2]
    assert choose(results) == (best, 1)
    assert choose(results, rank=2) == (second, 2)
    assert choose(results, number=second.number) == (second, 2)


def test_an_export_of_what_is_not_complete_is_an_error_that_says_what_there_is():
    results = fail_trial(grid_results(), 0)
    with pytest.raises(
        NothingCompleteError, match="rank 99 asked for, but 'efeds-grid' has 53 complete trials. Give a"
    ):
        choose(results, rank=99)
    with pytest.raises(NothingCompleteError, match="trial 0 of 'efeds-grid' is not complete"):
        choose(results, number=0)
    empty = dataclasses.replace(results, trials=())
    with pytest.raises(NothingCompleteError, match="no trial of 'efeds-grid' is complete, .* Launch the study first"):
        choose(empty)


def test_provenance_names_versions_and_the_commit():
    assert versions()["tensorflow"].startswith("2.")
    found = commit()
    assert found is None or len(found.rstrip("+")) == 40


def test_the_results_need_no_axis_to_be_ranked():
    assert SweepResults("s", "d", {}, (), ()).ranked() == ()


@pytest.fixture(scope="module")
def exported(embedded_home, tmp_path_factory):
    """Launch the small study and export its best trial, from the command line."""
    folder = tmp_path_factory.mktemp("export")
    study = write_study(folder, study="exported")
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(embedded_home.path)}
    for words in (["launch", "--in-process", study], ["export", study, "--to", folder / "best"]):
        command = [sys.executable, "-m", "clustersweep", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
    assert "recorded" in done.stdout
    return folder, env, done


@pytest.mark.integration
def test_an_export_holds_the_configuration_the_weights_and_the_provenance(exported):
    folder, _, _ = exported
    config = yaml.safe_load((folder / "best" / "config.yaml").read_text())
    assert (config["format"], config["version"]) == ("clustersweep-training", 1)
    assert config["network"]["kernel_size"] == config["evidence"]["params"]["kernel_size"]
    assert config["evidence"]["rank"] == 1
    assert set(config["evidence"]["seeds"]) == {0, 1}
    assert config["evidence"]["value"] == pytest.approx(np.mean(list(config["evidence"]["seeds"].values())))
    assert len(config["scaling"]["band_mean"]) == 10
    provenance = json.loads((folder / "best" / "provenance.json").read_text())
    assert provenance["study_digest"] == config["evidence"]["study_digest"]
    assert provenance["data_digest"] == config["data"]["digest"]
    assert {"tensorflow", "keras", "numpy", "optuna", "ray"} <= set(provenance["versions"])


@pytest.mark.integration
def test_the_reloaded_network_gives_the_recorded_validation_loss_to_the_last_bit(exported):
    folder, _, _ = exported
    verified = json.loads((folder / "best" / "provenance.json").read_text())["verified"]
    assert verified["reloaded_val_loss"] == verified["recorded_val_loss"]
    config = yaml.safe_load((folder / "best" / "config.yaml").read_text())
    assert verified["recorded_val_loss"] == min(config["evidence"]["seeds"].values())
    assert verified["seed"] == config["evidence"]["weights_of_seed"]


@pytest.mark.integration
def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(exported):
    folder, env, _ = exported
    study, blocked = folder / "small.yaml", folder / "blocked"
    blocked.write_text("a file")
    command = [sys.executable, "-m", "clustersweep", "export", str(study), "--to", str(blocked)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 3
    assert "blocked" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_an_edited_study_file_is_refused_by_what_reads_results_with_a_diff(exported, tmp_path):
    _, env, _ = exported
    edited = write_study(tmp_path, study="exported", training={"epochs": 9})
    for verb in ("status", "report", "export"):
        command = [sys.executable, "-m", "clustersweep", verb, str(edited)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 2
        assert "training.epochs: 3 -> 9" in done.stderr


@pytest.mark.integration
def test_weights_that_are_not_those_of_the_sweep_are_not_exported(exported, embedded_home):
    folder, env, _ = exported
    weights = embedded_home.run("exported") / "weights"
    for path in weights.iterdir():
        with np.load(path) as file:
            arrays = {name: file[name] + 0.5 for name in file.files}
        np.savez(path, **arrays)
    command = [
        sys.executable,
        "-m",
        "clustersweep",
        "export",
        str(folder / "small.yaml"),
        "--to",
        str(folder / "other"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 3
    assert "the weights or the data are not those of the sweep" in done.stderr
    for path in weights.iterdir():
        path.write_bytes(b"damaged")
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 3
    assert "are damaged" in done.stderr
    assert "Traceback" not in done.stderr
    for path in weights.iterdir():
        path.unlink()
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 3
    assert "They stay on the machine that launched the sweep: export there, with the same --home" in done.stderr


def test_a_replicates_key_does_not_depend_on_the_studys_name(tmp_path):
    one, other = (small_plan(tmp_path, study=name) for name in ("one", "other"))
    assert one.replicate(one.trials[0], 0).key == other.replicate(other.trials[0], 0).key
