"""What version 54339aa stored and computed, which every later one must find again, go on with, and reproduce.

`golden/README.md` says what the files are.
"""

import contextlib
import csv
import json
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import optuna
import pytest
from astropy.table import Table
from command_line import typed
from servers import short_folder

from clustersweep.home import find_home
from clustersweep.postgres.embedded import stop_embedded
from clustersweep.postgres.location import open_database
from clustersweep.postgres.programs import server_user
from clustersweep.storage.store import Storage
from clustersweep.study.results import CompleteReplicate
from clustersweep.tasks import tasks

GOLDEN = Path(__file__).parent / "golden"
KEYS = json.loads((GOLDEN / "keys.json").read_text())
STORED = json.loads((GOLDEN / "stored.json").read_text())
FIELDS = STORED.pop("replicate_fields")
SAME = 1e-5  # of a loss, relative, on any machine; on one machine `compare_losses.py` finds no bit that differs

sys.path.append(str(GOLDEN))


@pytest.fixture(scope="module")
def keys_now():
    from make_keys import all_keys

    return all_keys()


@pytest.mark.parametrize("study", KEYS)
def test_a_stored_study_is_known_again_by_its_definition_its_digest_and_its_replicates_keys(study, keys_now):
    assert json.loads(json.dumps(keys_now[study])) == KEYS[study]


class Restored:
    """A home of its own into which what 54339aa left has been restored."""

    def __init__(self, folder):
        self.home = find_home(folder / "home", {}, os.geteuid())
        self.folder = folder

    def run(self, *words, check=True):
        with contextlib.chdir(self.folder):
            done = typed(*words, env={**os.environ, "CLUSTERSWEEP_HOME": str(self.home.path)}, timeout_s=200.0)
        assert not check or done.returncode == 0, done.stderr
        return done

    def losses(self, study):
        """Each replicate's loss as it is stored now."""
        return {
            (tuple(sorted(trial.params.items())), seed): result.value if isinstance(result, CompleteReplicate) else None
            for trial in self.trials(study)
            for seed, result in trial.replicates.items()
        }

    def trials(self, study):
        storage = Storage.connect(open_database(None, {}, self.home).url, tasks)
        try:
            return storage.results(study).trials
        finally:
            storage.close()


def golden_losses(study):
    return {(tuple(sorted(params.items())), seed): value for params, seed, value, _ in STORED[study]["losses"]}


@pytest.fixture(scope="module")
def restored():
    folder = short_folder(server_user() if os.geteuid() == 0 else None)
    made = Restored(folder)
    try:
        made.run("restore", GOLDEN / "studies.dump")
        with tarfile.open(GOLDEN / "files.tar.gz") as files:
            files.extractall(folder, filter="data")
        shutil.move(folder / "runs", made.home.path / "runs")
        yield made
    finally:
        stop_embedded(made.home, force=True)
        shutil.rmtree(folder)


@pytest.mark.integration
@pytest.mark.parametrize("study", sorted(STORED.keys() - {"golden-interrupted"}))  # which goes on below
def test_the_status_of_a_study_of_an_earlier_version_is_what_it_was(restored, study):
    counted = json.loads(restored.run("status", GOLDEN / f"{study.removeprefix('golden-')}.yaml", "--json").stdout)
    states = list(STORED[study]["states"].values())
    for state in ("complete", "failed", "infeasible"):
        assert counted[state] == states.count(state)
    assert restored.losses(study) == golden_losses(study)


@pytest.mark.integration
@pytest.mark.parametrize("study", ["finished", "optimizers", "views", "failed"])
def test_launching_a_finished_study_of_an_earlier_version_trains_nothing(restored, study):
    before = restored.trials(f"golden-{study}")
    launched = restored.run(
        "launch", GOLDEN / f"{study}.yaml", "--in-process", "--keep-failed", check=study != "failed"
    )
    assert re.search(r"\b0 of \d+ replicates to train", launched.stderr)
    assert restored.trials(f"golden-{study}") == before


@pytest.mark.integration
def test_an_interrupted_study_of_an_earlier_version_goes_on_from_its_checkpoint(restored):
    study = "golden-interrupted"
    (checkpoint,) = (restored.home.run(study) / "checkpoints").iterdir()
    stored = golden_losses(study)
    launched = restored.run("launch", GOLDEN / "interrupted.yaml", "--in-process")
    assert "2 of 4 replicates to train" in launched.stderr
    trials = [trial for trial in restored.trials(study) if trial.infeasible is None]
    assert [trial.state for trial in trials] == ["complete", "complete"]
    assert sorted(r.resumed for t in trials for r in t.replicates.values()) == [0, 0, 0, 1]
    assert not checkpoint.exists()
    assert {key: value for key, value in restored.losses(study).items() if key in stored} == stored


@pytest.mark.integration
def test_a_study_of_an_earlier_version_is_reported_and_exported_with_its_own_weights(restored):
    study = GOLDEN / "finished.yaml"
    page = Path(restored.run("report", study).stdout.splitlines()[0])
    with (page.parent / "results.csv").open() as file:
        rows = {row["val_loss_dex2"] for row in csv.DictReader(file)} - {""}
    assert {float(row) for row in rows} == set(golden_losses("golden-finished").values())
    exported = restored.run("export", study, "--to", "exported")
    assert "0.129251 recorded, 0.129251 reloaded" in exported.stdout


@pytest.mark.integration
def test_a_model_of_an_earlier_version_predicts_the_same_masses(restored):
    with (restored.folder / "model" / "predictions.csv").open() as file:
        expected = {int(row["row"]): float(row["log_mass"]) for row in csv.DictReader(file)}
    (survey,) = restored.home.surveys.iterdir()
    restored.run("predict", "model", survey, "--to", "masses.fits")
    masses = Table.read(restored.folder / "masses.fits")
    found = masses["log_mass"][sorted(expected)]
    np.testing.assert_allclose(found, [expected[row] for row in sorted(expected)], atol=2e-4)


@pytest.mark.integration
@pytest.mark.parametrize("study", ["finished", "optimizers", "views"])
def test_a_study_trained_anew_has_the_losses_the_keys_and_the_attributes_of_an_earlier_version(study, restored):
    """Under another name, in the same home: a replicate's key does not depend on the study's name."""
    name = f"again-{study}"
    text = (GOLDEN / f"{study}.yaml").read_text().replace(f"study: golden-{study}", f"study: {name}")
    (restored.folder / f"{name}.yaml").write_text(text)
    restored.run("launch", f"{name}.yaml", "--in-process")
    found, stored = restored.losses(name), golden_losses(f"golden-{study}")
    assert found.keys() == stored.keys()
    assert [found[key] for key in stored] == pytest.approx(list(stored.values()), rel=SAME)
    weights = [
        {path.name for path in (restored.home.run(run) / "weights").iterdir()} for run in (name, f"golden-{study}")
    ]
    assert weights[0] == weights[1]
    attributes, fields = attribute_names(restored, name)
    for kind, names in attributes.items():
        assert set(STORED[f"golden-{study}"][kind]) <= names, kind
    assert set(FIELDS) - {"val_nll"} <= fields


def attribute_names(restored, study):
    """Names of a study's attributes in Optuna, without numbers; and of a replicate's fields."""

    storage = Storage.connect(open_database(None, {}, restored.home).url, tasks)
    try:
        loaded = optuna.load_study(study_name=study, storage=storage.backend)
        names = {
            "study_attributes": loaded.user_attrs,
            "trial_attributes": [name for trial in loaded.trials for name in trial.user_attrs],
            "trial_system_attributes": [name for trial in loaded.trials for name in trial.system_attrs],
        }
        fields = {f for t in loaded.trials for a, v in t.user_attrs.items() if a.startswith("seed:") for f in v}
    finally:
        storage.close()
    return {kind: {re.sub(r"\d+", "N", name) for name in found} for kind, found in names.items()}, fields
