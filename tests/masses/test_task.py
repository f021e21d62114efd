"""The task of cluster masses: its study file's paths, its combinations and what they cost."""

from pathlib import Path

import pytest
from small_study import small_plan
from study_files import load, text

from clustersweep.study.study import Study
from clustersweep.tasks import load_study
from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import TrainingSpec


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return load(tmp_path, text(search_space="{filters: [1, 2], learning_rate: [0.01, 1]}"))


def test_paths_start_from_the_folder_of_the_study_file(tmp_path, monkeypatch):
    written = text(data="{images: in/x.fits, catalogue: /abs/c.fits}")
    assert load(tmp_path, written).task.data.images == tmp_path / "in/x.fits"
    assert load(tmp_path, written).task.data.catalogue == Path("/abs/c.fits")
    monkeypatch.chdir(tmp_path)
    study = load_study(Path("s.yaml"))
    monkeypatch.chdir("/")
    assert study.task.data.images == tmp_path / "in/x.fits"


def test_params_go_where_their_keys_belong(study):
    network, training = study.task.specs({"filters": 7, "learning_rate": 0.5})
    assert (network, training) == (NetworkSpec(filters=7), TrainingSpec(learning_rate=0.5))


def test_more_epochs_cost_more_in_proportion(tmp_path):
    once, twice = (small_plan(tmp_path, training={"epochs": n}).trials[0].cost_flops for n in (3, 6))
    assert twice == pytest.approx(2 * once)


def test_training_keys_may_be_axes_too(tmp_path):
    plan = small_plan(tmp_path, search_space={"optimizer": ["adam", "sgd"]})
    assert plan.combinations == 8
    assert {trial.spec[1].optimizer for trial in plan.trials} == {"adam", "sgd"}
