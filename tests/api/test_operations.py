"""A database looked after from Python."""

import contextlib

import pytest

import clustersweep as cs

STUDY = """
study: cared-for
task: nets:train
search_space: {width: [1, 2]}
objective: {metric: error}
seeds: [0]
"""
CODE = "def train(run):\n    run.report(1, error=run.params['width'])\n"


@pytest.fixture
def study(embedded_home, tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSTERSWEEP_HOME", str(embedded_home.path))
    (tmp_path / "nets.py").write_text(CODE)
    (tmp_path / "own.yaml").write_text(STUDY)
    cs.launch(tmp_path / "own.yaml", in_process=True)
    yield tmp_path / "own.yaml"
    with contextlib.suppress(cs.ClusterSweepError):  # it is removed by the test
        cs.remove("cared-for")


@pytest.mark.integration
def test_a_study_is_backed_up_removed_and_restored(study, embedded_home, postgres_tcp, database_name):
    saved = cs.backup(study.parent / "studies.dump")
    assert saved.studies["cared-for"] == 2
    assert f"copy {embedded_home.path / 'runs'} too" in repr(saved)

    asked = []
    assert cs.remove("cared-for", agreed=lambda found: asked.append(found.text)) is None  # None is no yes
    assert asked[0].startswith("2 trials, ")
    assert cs.results(study).best.value == 1
    removed = cs.remove("cared-for")
    assert repr(removed) == f"removed cared-for: {asked[0]}"
    with pytest.raises(cs.ClusterSweepError, match="cared-for"):
        cs.results(study)

    other = postgres_tcp.url_with(database=database_name)
    restored = cs.restore(study.parent / "studies.dump", storage=other)
    assert restored.studies["cared-for"] == 2
    assert postgres_tcp.password not in repr(restored)
    assert cs.results(study, storage=other).best.value == 1


def test_a_server_that_does_not_run_is_not_stopped(tmp_path):
    assert cs.stop(home=tmp_path / "home") is False
