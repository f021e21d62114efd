"""Studies that name a function, launched as a person does: real PostgreSQL, real Ray where it says so."""

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import forking
import optuna
import psutil
import pytest
import yaml

from clustersweep.postgres.location import open_database
from clustersweep.storage.store import Storage
from clustersweep.tasks import tasks

pytestmark = pytest.mark.integration

TRAIN = """
import math

def train(run):
    width, rate = run.params["width"], run.params["rate"]
    for epoch in range(1, run.settings["epochs"] + 1):
        accuracy = 100 - (width - 3) ** 2 - abs(math.log10(rate) + 2) - 10 / epoch - 0.01 * run.seed
        run.report(epoch, accuracy=accuracy, cost=width**2)
"""
OWN = {
    "task": "nets:train",
    "settings": {"epochs": 4},
    "search_space": {"width": [1, 2, 3], "rate": [0.1, 0.01]},
    "exclude": [{"when": {"width": 1, "rate": 0.1}, "reason": "too coarse"}],
    "objective": {"metric": "accuracy", "unit": "%", "direction": "maximize"},
    "seeds": [0, 1],
}
# Long enough to be killed in the middle.
SLOW = """
import time

def train(run):
    for epoch in range(int(run.saved or 0) + 1, 41):
        time.sleep(0.1)
        run.report(epoch, error=run.params["width"] + 1 / epoch + 0.01 * run.seed)
        run.save(str(epoch).encode())
"""


class Own:
    """A folder with a study and its code, and the verbs on it."""

    def __init__(self, folder, home, name):
        self.folder, self.home, self.name = folder, home, name
        self.file = folder / "own.yaml"
        self.code(TRAIN)
        self.change()

    def code(self, text):
        (self.folder / "nets.py").write_text(text)

    def change(self, **changes):
        content = {"study": self.name, **OWN, **changes}
        kept = {key: value for key, value in content.items() if value is not None}
        self.file.write_text(yaml.safe_dump(kept, sort_keys=False))

    def command(self, verb, *words):
        return [sys.executable, "-m", "clustersweep", verb, str(self.file), "--home", str(self.home.path),
                *map(str, words)]  # fmt: skip

    def run(self, verb, *words, code=0):
        """Run a verb as `command` does, in a process that need not import everything anew."""
        with contextlib.chdir(self.folder):
            done = forking.run(self.command(verb, *words)[3:], os.environ, 250.0)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def results(self):
        storage = Storage.connect(open_database(None, {}, self.home).url, tasks)
        try:
            return storage.results(self.name)
        finally:
            storage.close()

    def stored(self):
        storage = Storage.connect(open_database(None, {}, self.home).url)
        try:
            return optuna.load_study(study_name=self.name, storage=storage.backend)
        finally:
            storage.close()

    def losses(self):
        return {
            (*trial.params.values(), seed): r.value
            for trial in self.results().trials for seed, r in trial.replicates.items()
        }  # fmt: skip


@pytest.fixture
def own(tmp_path, embedded_home, request):
    return Own(tmp_path, embedded_home, re.sub(r"\W+", "-", request.node.name)[:90])


def accuracy(width, rate, seed, epoch=4):
    return 100 - (width - 3) ** 2 - {0.1: 1, 0.01: 0}[rate] - 10 / epoch - 0.01 * seed


def test_a_function_is_swept_stored_told_and_reported_by_its_own_metric(own):
    said = own.run("launch", "--in-process")
    assert f"runs train of {own.folder / 'nets.py'} (digest " in said.stderr
    assert "Preparing the database and the workers" in said.stderr
    assert "6 combinations: 5 complete, 1 infeasible" in said.stdout
    assert re.search(r"accuracy\s+and\s+its\s+sd\s+over\s+the\s+seeds\s+in\s+%", said.stdout)
    found = own.losses()
    assert found == {key: pytest.approx(accuracy(*key), abs=1e-9) for key in found}
    assert len(found) == 10
    best = own.results().ranked()[0]
    assert best.params == {"width": 3, "rate": 0.01}
    assert best.replicates[0].metrics == {"cost": 9.0}
    page = (own.home.run(own.name) / "report.html").read_text()
    assert "accuracy [%]" in page
    assert "dex²" not in page
    assert "too coarse" in page
    with (own.home.run(own.name) / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "complete"]
    assert {float(row["accuracy"]) for row in rows} == set(found.values())
    assert {row["cost"] for row in rows} == {"1.0", "4.0", "9.0"}
    again = own.run("launch", "--in-process")
    assert "0 of 10 replicates to train" in again.stderr


def test_the_dashboard_has_the_metrics_name_and_direction(own):
    own.run("launch", "--in-process")
    stored = own.stored()
    assert stored.direction == optuna.study.StudyDirection.MAXIMIZE
    assert stored.metric_names == ["accuracy"]
    assert stored.best_trial.params == {"width": 3, "rate": 0.01}
    assert len(stored.best_trial.intermediate_values) == 4


def test_status_report_and_export_run_none_of_the_studys_code(own):
    possible = "\ndef possible(params, settings):\n    return 'too narrow' if params['width'] == 1 else None\n"
    own.code(TRAIN + possible)
    own.change(feasible="nets:possible", exclude=None)
    assert "6 combinations: 4 complete, 2 infeasible" in own.run("launch", "--in-process").stdout
    own.code("raise RuntimeError('imported')\n" + TRAIN + possible)
    told = own.run("status")
    assert "6 combinations: 4 complete, 2 infeasible" in told.stdout
    assert "what a launch would train is not told: `feasible` is code of the study" in told.stderr
    own.run("report")
    own.run("export")
    assert "feasible = nets:possible: failed for" in own.run("plan", code=2).stderr


def test_plan_says_which_file_runs_and_imports_none_of_it(own):
    own.code("raise RuntimeError('imported')\n" + TRAIN)
    said = own.run("plan").stdout
    assert f"runs train of {own.folder / 'nets.py'}, digest " in said
    assert "10 replicates; what one takes is known once it has run" in said
    told = json.loads(own.run("plan", "--json").stdout)
    assert told["code"]["runs"] == f"train of {own.folder / 'nets.py'}"
    assert told["estimate"] is None


def test_code_that_changed_is_refused_until_it_is_said_what_that_means(own):
    own.run("launch", "--in-process")
    before = own.losses()
    own.code(TRAIN.replace("100", "90"))
    own.change(seeds=[0, 1, 2])
    for verb in ("launch", "plan"):
        refused = own.run(verb, code=2)
        assert "the code of the study" in refused.stderr
        assert "raise `version: 1` to 2, and all is trained anew" in refused.stderr
        assert "launch with --same-code, which is recorded" in refused.stderr
    assert own.losses() == before
    own.run("launch", "--in-process", "--same-code")
    mixed = own.losses()
    assert {key: value for key, value in mixed.items() if key in before} == before
    assert mixed[3, 0.01, 2] == pytest.approx(accuracy(3, 0.01, 2) - 10)
    codes = own.stored().user_attrs["codes"]
    assert [code["same_code"] for code in codes] == [False, True]
    assert len({code["digest"] for code in codes}) == 2
    trained_by = {seed: r.code for seed, r in own.results().ranked()[0].replicates.items()}
    assert trained_by[0] == trained_by[1] == codes[0]["digest"]
    assert trained_by[2] == codes[1]["digest"]
    kept = own.home.run(own.name) / "code"
    assert (kept / codes[0]["digest"] / "nets.py").read_text() == TRAIN


def test_a_version_that_is_raised_trains_anew_and_what_was_before_counts_no_more(own):
    own.run("launch", "--in-process")
    own.code(TRAIN.replace("100", "90"))
    own.change(version=2)
    said = own.run("plan").stdout
    assert "0 of 10 replicates are finished; launch would train 10" in said
    own.run("launch", "--in-process")
    found = own.losses()
    assert len(found) == 10
    assert found == {key: pytest.approx(accuracy(*key) - 10, abs=1e-9) for key in found}
    own.change(version=1)
    assert "version: 2 -> 1" in own.run("launch", "--in-process", code=2).stderr


def test_axes_and_values_of_any_letters_are_shown_as_they_are_written(own):
    """Brackets are marks of the terminal's library, which ends a program that has one too many."""
    own.code("def train(run):\n    run.report(1, **{'[/metric]': float(len(run.params['[/axis] <b>']))})\n")
    axes = {"[/axis] <b>": ["[/value]", "[bold]x", "<i>&"]}
    rule = [{"when": {"[/axis] <b>": "<i>&"}, "reason": "[/reason]"}]
    own.change(search_space=axes, exclude=rule, objective={"metric": "[/metric]", "unit": "[/unit]"})
    planned, said = own.run("plan").stdout, own.run("launch", "--in-process")
    for text in (planned, said.stdout):
        assert "[/axis] <b>" in text
        assert "[/value]" in text
    assert "[/reason]" in planned
    assert "[/axis] <b>=[bold]x: [/metric] 7.0000" in said.stderr
    assert "[/unit]" in said.stdout
    own.run("status")
    own.run("export")
    page = (own.home.run(own.name) / "report.html").read_text()
    assert "[/axis] &lt;b&gt;" in page
    assert "<i>&" not in page.partition("plotly")[0]


def test_more_words_on_an_axis_extend_a_study(own):
    axes = {"width": [3], "rate": [0.01], "kind": ["b", "a"], "bias": [True]}
    own.change(search_space=axes, exclude=None)
    own.run("launch", "--in-process")
    before = own.losses()
    own.change(search_space={**axes, "kind": ["c", "a", "b"], "bias": [False, True]}, exclude=None)
    assert "4 of 12 replicates are finished; launch would train 8" in own.run("plan").stdout
    own.run("launch", "--in-process")
    after = own.losses()
    assert len(after) == 12
    assert {key: value for key, value in after.items() if key in before} == before
    stored = {(t.params["kind"], t.params["bias"]) for t in own.stored().trials}
    assert stored == {(kind, bias) for kind in "abc" for bias in (False, True)}


def test_code_may_change_as_long_as_nothing_was_trained_with_it(own):
    own.code("import not_installed_anywhere\n" + TRAIN)
    own.run("launch", "--in-process", code=3)
    own.code(TRAIN)
    own.run("launch", "--in-process")


@pytest.mark.parametrize("where", [["--in-process"], ["--workers", "1"]])
def test_an_import_that_fails_is_told_before_anything_is_trained(own, where):
    own.code("import not_installed_anywhere\n" + TRAIN)
    said = own.run("launch", *where, code=3).stderr
    assert f"the module nets ({own.folder / 'nets.py'}) cannot be imported" in said
    assert "ModuleNotFoundError: No module named 'not_installed_anywhere'" in said
    assert "has to be installed on every machine that trains" in said
    assert "trial " not in said


def test_a_function_that_fails_with_one_combination_fails_that_and_no_other(own):
    own.code(TRAIN + "        if width == 2 and epoch == 3:\n            raise ValueError('no such width')\n")
    said = own.run("launch", "--in-process", code=1)
    line = TRAIN.count("\n") + 2
    words = f"ValueError after epoch 3 (line {line} of {own.folder / 'nets.py'}): no such width"
    assert words in said.stderr
    assert "6 combinations: 3 complete, 2 failed, 1 infeasible" in said.stdout
    assert words in (own.home.run(own.name) / "report.html").read_text()


def slow(own):
    """Make the study one of nine replicates of four seconds each."""
    own.code(SLOW)
    judged = {"metric": "error", "unit": "", "direction": "minimize"}
    own.change(search_space={"width": [1, 2, 3]}, exclude=None, objective=judged, seeds=[0, 1, 2], settings=None)


def launched(own, children):
    """Launch on two workers; gives the process once its first trial is complete."""
    command = own.command("launch", "--workers", "2")
    process = children(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
    for line in process.stderr:
        if line.startswith("trial "):
            break
    return process


def require_whole(own):
    found = own.losses()
    assert found == {(width, seed): pytest.approx(width + 1 / 40 + 0.01 * seed) for width, seed in found}
    assert len(found) == 9
    assert {r.epochs for t in own.results().trials for r in t.replicates.values()} == {40}


def test_workers_that_are_killed_cost_nothing_but_time(own, children):
    slow(own)
    process = launched(own, children)
    time.sleep(1)  # whichever has just ended one is in the middle of its next, of four seconds
    ours = psutil.Process(process.pid).children(recursive=True)
    for worker in (one for one in ours if one.name().startswith("ray::ReplicateActor")):
        worker.kill()
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert re.search(r"worker-\d died \(.*\); seed \d of width=\d goes on elsewhere", said)
    require_whole(own)


def test_a_study_whose_launch_was_killed_in_the_middle_goes_on_and_comes_to_the_same(own, children):
    slow(own)
    process = launched(own, children)
    time.sleep(1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    said = own.run("launch", "--workers", "2")
    left = int(re.search(r"(\d+) of 9 replicates to train", said.stderr)[1])
    assert 0 < left < 9
    require_whole(own)
