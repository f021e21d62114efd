"""`train` as typed: what a person sees, what it leaves, how it ends, and that it goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from command_line import typed
from places import ROOT

from clustersweep.training.files.checkpoint import progress_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CONFIGURATION = """\
format: clustersweep-training
version: 1
network: {filters: 2, dense_layers: 1, dense_units: [4], redshift: head}
training: {epochs: 3, augmentation: dihedral}
outliers: {bins: 4, worst: 1, epochs: 1}
probabilistic: {epochs: 2}
data:
  simulate: {clusters: 120, seed: 3, pixels: 10}
seeds: [0, 1]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def command(*words):
    return [sys.executable, "-m", "clustersweep", *map(str, words)]


def run(home, *words, **env):
    """Run a command where there is no browser, which would draw figures for ten seconds."""
    return typed(*words, env={**os.environ, "CLUSTERSWEEP_HOME": str(home), "PATH": "/", **env}, timeout_s=200.0)


@pytest.fixture(scope="module")
def trained(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("typed")
    (folder / "c.yaml").write_text(CONFIGURATION)
    done = run(home, "train", folder / "c.yaml", "--to", folder / "model", "--threads", 1, PATH=os.environ["PATH"])
    assert done.returncode == 0, done.stderr
    return folder, done


def test_every_stage_of_every_seed_is_told_and_what_the_model_is_worth(trained):
    folder, done = trained
    for seed in (0, 1):
        for stage in ("base", "retraining on outliers", "probabilistic"):
            assert re.search(rf"^seed {seed} {stage}: val_loss 0\.\d+", done.stderr, re.MULTILINE)
    assert re.search(r"Preparing the survey, to train on [CG]PU .*, 1 thread, float32", done.stderr)
    assert "On the test part, 24 clusters" in done.stdout
    for line in (
        r"RMSE \[dex\]",
        r"bias \[dex\]",
        "R²",
        "RMSE of `constant`",
        "RMSE of `linear in z`",
        "`counts and z`",
    ):
        assert re.search(rf"{line}.* \S+ to \S+", done.stdout), line
    assert re.search(r"truth within 1 sigma: \S+% as the networks say, \S+% recalibrated", done.stdout)
    assert f"report   {folder / 'model' / 'report.html'}" in done.stdout
    model = folder / "model"
    assert f"predict  clustersweep predict {model} IMAGES --catalogue CATALOGUE --to masses.fits\n" in done.stdout
    assert "warning:" not in done.stderr


def test_the_report_and_the_figures_are_there(trained):
    model = trained[0] / "model"
    page = (model / "report.html").read_text()
    for part in (
        "120 simulated clusters, seed 3",
        "What the model is worth",
        "Retraining on outliers",
        "0.1471",
        "0.0533",
    ):
        assert part in page
    pictures = {path.name for path in (model / "figures").iterdir()}
    assert {"masses.png", "residuals.png", "reliability.png", "curves.png", "outliers.png"} <= pictures


def test_the_same_command_again_trains_nothing(trained, home):
    folder, first = trained
    again = run(home, "train", folder / "c.yaml", "--to", folder / "model", "--threads", 1)
    assert again.returncode == 0
    assert again.stderr.count("(done before)") == 6
    assert [line for line in again.stdout.splitlines() if "no PNG" not in line] == first.stdout.splitlines()


def test_a_browser_that_is_not_there_costs_the_pictures_and_nothing_else(trained, home):
    folder, _ = trained
    done = run(home, "train", folder / "c.yaml", "--to", folder / "model", PATH="/")
    assert done.returncode == 0
    assert "no PNG" in done.stdout


@pytest.mark.timeout(400)
def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_goes_on_from_it(home, tmp_path, children):
    """Interrupted as soon as the second stage begins, which would go on for an hour."""
    long = CONFIGURATION.replace("epochs: 3", "epochs: 2, batch_size: 4").replace("1, epochs: 1", "1, epochs: 9000")
    (tmp_path / "c.yaml").write_text(long)
    words = ["train", tmp_path / "c.yaml", "--to", tmp_path / "model", "--threads", 1]
    environment = {**os.environ, "CLUSTERSWEEP_HOME": str(home)}
    work = tmp_path / "model" / "work"

    def interrupted():
        """Type the command, and Ctrl-C once it tells that the first stage is done; gives its stderr and the state."""
        process = children(
            command(*words), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
        )
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("seed 0 base:"):
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=100) == 130, said
        return "".join(said), progress_of((work / "outliers-0.checkpoint.npz").read_bytes(), "outliers-0")

    err, before = interrupted()
    assert "interrupted: what ran is checkpointed. The same command goes on from there" in err
    assert {path.name for path in work.iterdir()} == {"base-0.npz", "outliers-0.checkpoint.npz"}
    assert before.epoch >= 1
    assert not (tmp_path / "model" / "model.json").exists()
    predicted = run(home, "predict", tmp_path / "model", tmp_path, "--to", tmp_path / "m.fits")
    assert predicted.returncode == 2
    assert "its training has not finished. Run `clustersweep train` again: it goes on" in predicted.stderr
    err, progress = interrupted()
    assert "(done before)" in err
    assert progress.epoch > before.epoch
    assert progress.resumed == 1
    assert len(progress.curve) == progress.epoch


def test_seeds_that_all_fail_exit_1_with_their_reason(home, tmp_path):
    wild = CONFIGURATION.replace("epochs: 3", "epochs: 9, optimizer: sgd, learning_rate: 1000.0")
    (tmp_path / "c.yaml").write_text(wild)
    done = run(home, "train", tmp_path / "c.yaml", "--to", tmp_path / "model")
    assert done.returncode == 1
    assert "seed 0 failed: NonFiniteLoss: the loss is not finite" in done.stderr
    assert "error: every seed failed (seed 0: the loss is not finite" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_study_is_not_a_configuration_and_a_bad_one_lists_every_problem(home, tmp_path):
    (tmp_path / "c.yaml").write_text(
        CONFIGURATION.replace("version: 1", "version: 7").replace("filters: 2", "filters: -2")
    )
    done = run(home, "train", tmp_path / "c.yaml", "--to", tmp_path / "model")
    assert done.returncode == 2
    assert "c.yaml:2: version = 7" in done.stderr
    study = ROOT / "sweeps" / "quickstart.yaml"
    done = run(home, "train", study, "--to", tmp_path / "model")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model").exists()


def test_a_gpu_that_tensorflow_does_not_see_is_an_error_with_the_remedy(trained, home, tmp_path):
    folder, _ = trained
    survey = run(home, "simulate", tmp_path / "s", "--clusters", 10, "--pixels", 10)
    assert survey.returncode == 0, survey.stderr
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"}
    for words in (
        ["train", folder / "c.yaml", "--to", tmp_path / "model"],
        ["predict", folder / "model", tmp_path / "s", "--to", tmp_path / "m.fits"],
    ):
        done = run(home, *words, "--device", "gpu", **hidden)
        assert done.returncode == 2
        assert "--device: gpu: TensorFlow sees no GPU here. Install it with CUDA's libraries (`make setup GPU=1`)" in (
            " ".join(done.stderr.split())
        )
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "model").exists()


def test_what_computed_a_model_is_recorded_and_going_on_elsewhere_is_told(trained, home, tmp_path):
    folder, done = trained
    assert "goes on" not in done.stderr
    manifest = json.loads((folder / "model/model.json").read_text())
    assert re.fullmatch(r"CPU .*, 1 thread, float32", manifest["provenance"]["device"])
    stages = json.loads((folder / "model/metrics.json").read_text())["stages"]
    assert {stage["devices"][0]["threads"] for stage in stages} == {1}
    shutil.copytree(folder / "model", tmp_path / "model")
    (tmp_path / "c.yaml").write_text(CONFIGURATION.replace("[0, 1]", "[0, 1, 2]"))
    words = ["train", tmp_path / "c.yaml", "--to", tmp_path / "model", "--threads", 2, "--device", "cpu"]
    more = run(home, *words)
    assert more.returncode == 0, more.stderr
    said = " ".join(more.stderr.split())
    assert re.search(
        r"this goes on with what was computed on CPU .*, 1 thread, float32; it computes on CPU .*, 2 thr", said
    )
    assert said.count("this goes on with") == 1
    provenance = json.loads((tmp_path / "model/model.json").read_text())["provenance"]
    assert re.fullmatch(r"CPU .*, 1 thread, float32; then CPU .*, 2 threads, float32", provenance["device"])
    assert "; then CPU" in (tmp_path / "model/report.html").read_text()


def test_rows_in_another_order_are_suspected_before_a_training_which_says_what_it_took(home, tmp_path):
    mass = np.geomspace(1e13, 9e14, 60)
    images = np.ones((60, 8, 8, 1), np.int32) * np.round(mass / 1e12).astype(np.int32)[:, None, None, None]
    fits.PrimaryHDU(images).writeto(tmp_path / "i.fits")
    rows = np.argsort(np.arange(60) % 7, kind="stable")
    Table({"MASS_500": mass[rows] / 1e14}, units={"MASS_500": "1e14 solMass"}).write(tmp_path / "c.fits")
    own = CONFIGURATION.replace("simulate: {clusters: 120, seed: 3, pixels: 10}", "{images: i.fits, catalogue: c.fits}")
    own = own.replace("data:\n  {", "data: {").replace("redshift: head", "redshift: none").replace("[0, 1]", "[0]")
    (tmp_path / "c.yaml").write_text(own)
    done = run(home, "train", tmp_path / "c.yaml", "--to", tmp_path / "model", "--threads", 1)
    assert done.returncode == 0, done.stderr
    before, after = done.stderr.split("seed 0 base", 1)
    assert before.count("are the rows of the catalogue in the order of the images?") == 1
    assert before.count("masses from MASS_500 in 1e14 solMass: 1e13 to 9e14 solMass, nine in ten between") == 1
    assert "masses from" not in after
    page = (tmp_path / "model" / "report.html").read_text()
    assert f"{tmp_path / 'c.fits'}: mass MASS_500 in 1e+14 solMass, redshift none, identifier none" in page
