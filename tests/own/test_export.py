"""What an export of a trainer of one's own holds: enough to train the best combination again, anywhere."""

import contextlib
import importlib.util
import json
import os
import re

import forking
import pytest
import yaml

pytestmark = pytest.mark.integration

CODE = """
def train(run):
    for epoch in range(1, 4):
        run.report(epoch, error=run.params["width"] + 1 / epoch + 0.01 * run.seed, cost=epoch)
        if run.settings["saves"]:
            run.save(b"state of seed %d after epoch %d" % (run.seed, epoch))
"""


@pytest.fixture
def verbs(tmp_path, embedded_home, request):
    """Write a study, launch it, and return what types verbs on it."""
    name = re.sub(r"\W+", "-", request.node.name)[:90]

    def study(saves):
        content = {
            "study": name, "task": "nets:train", "settings": {"saves": saves}, "search_space": {"width": [1, 2]},
            "objective": {"metric": "error", "unit": "mm"}, "seeds": [3, 4],
        }  # fmt: skip
        (tmp_path / "nets.py").write_text(CODE)
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))

        def run(verb, *words, code=0):
            with contextlib.chdir(tmp_path):
                done = forking.run([verb, "own.yaml", "--home", embedded_home.path, *words], os.environ, 100.0)
            assert done.returncode == code, done.stdout + done.stderr
            return done

        run("launch", "--in-process")
        return run

    return study


def test_the_best_combination_is_exported_with_its_code_and_what_it_saved_last(verbs, tmp_path):
    run = verbs(saves=True)
    said = run("export").stdout
    assert "best/: trial 0 (rank 1 of 2): width=1" in said
    assert "error 1.3683 mm, mean of 1.3633 with seed 3, 1.3733 with seed 4" in said
    best = yaml.safe_load((tmp_path / "best" / "best.yaml").read_text())
    assert (best["task"], best["version"], best["params"], best["settings"]) == (
        "nets:train", 1, {"width": 1}, {"saves": True}
    )  # fmt: skip
    assert best["objective"] == {"metric": "error", "direction": "minimize", "over_seeds": "mean", "unit": "mm"}
    assert best["seeds"][3] == {"error": pytest.approx(1 + 1 / 3 + 0.03), "cost": 3.0, "best_epoch": 3}
    assert best["code"]["files"] == ["nets.py"]
    assert best["saved"] == {"file": "saved.bin", "seed": 3, "bytes": len(b"state of seed 3 after epoch 3")}
    assert (tmp_path / "best" / "saved.bin").read_bytes() == b"state of seed 3 after epoch 3"
    assert (tmp_path / "best" / "code" / "nets.py").read_text() == CODE
    provenance = json.loads((tmp_path / "best" / "provenance.json").read_text())
    assert provenance["study_digest"] == best["study_digest"]


def test_the_exported_code_is_that_which_trained_and_not_what_it_has_become(verbs, tmp_path):
    run = verbs(saves=False)
    (tmp_path / "nets.py").write_text(CODE + "# more\n")
    run("export")
    assert (tmp_path / "best" / "code" / "nets.py").read_text() == CODE


def test_a_function_that_saves_nothing_has_no_state_to_export(verbs, tmp_path):
    said = verbs(saves=False)("export", "--rank", "2").stdout
    assert "trial 1 (rank 2 of 2): width=2" in said
    assert "the function never called run.save: there is no state of it to export" in said
    assert not (tmp_path / "best" / "saved.bin").exists()


def test_an_export_that_was_edited_is_not_replaced_unless_asked(verbs, tmp_path):
    run = verbs(saves=False)
    run("export")
    run("export")  # the same again is no harm
    file = tmp_path / "best" / "best.yaml"
    file.write_text(file.read_text() + "# mine\n")
    refused = run("export", code=2)
    assert "best.yaml: differs from what would be written: it was edited, or is another export's" in refused.stderr
    run("export", "--force")
    assert "# mine" not in file.read_text()


def test_what_was_exported_can_be_trained_again_by_hand(verbs, tmp_path):
    """As its page says: the function needs no more than an object with these attributes."""
    verbs(saves=True)("export")
    best = yaml.safe_load((tmp_path / "best" / "best.yaml").read_text())
    spec = importlib.util.spec_from_file_location("nets", tmp_path / "best" / "code" / "nets.py")
    nets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nets)
    told = []

    class Run:
        params, settings, seed, saved = best["params"], best["settings"], 3, None

        def report(self, epoch, **metrics):
            told.append(metrics["error"])

        def save(self, state):
            pass

    nets.train(Run())
    assert min(told) == best["seeds"][3]["error"]


def test_a_state_that_was_saved_after_the_best_epoch_is_told_to_be_another_than_the_value(verbs, tmp_path, monkeypatch):
    rises = CODE.replace("1 / epoch", "epoch")  # the first epoch is the best
    monkeypatch.setitem(globals(), "CODE", rises)
    run = verbs(saves=True)
    assert (
        "the saved state is what run.save gave last, and the value of seed 3 is that of epoch 1 of 3: save only where "
        "the metric is the best yet, if you want that state" in run("export").stdout
    )
