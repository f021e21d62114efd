"""The command line: help, exit codes, JSON, and messages that name the cure."""

import io
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.table import Table
from command_line import VERBS, typed
from example_results import grid_results
from places import ROOT
from rich.console import Console
from small_study import DROPOUT, small_plan, write_study

from clustersweep.cli import main as cli
from clustersweep.cli.main import print_result
from clustersweep.display.as_json import plan_json
from clustersweep.display.progress import Display
from clustersweep.display.tables import basis_text, left_text, print_best, print_plan, print_status
from clustersweep.errors import DataError
from clustersweep.storage.store import Storage
from clustersweep.study.cost import Speed, Sums, fitted, measured_sums
from clustersweep.study.events import Device
from clustersweep.study.plan import Left, make_plan
from clustersweep.study.results import CompleteReplicate, SweepResults, TrialResult, TrialState
from clustersweep.survey.source import read_header
from clustersweep.sweep.launch import Launched
from clustersweep.tasks import load_study, tasks
from clustersweep.training.metric import VAL_LOSS
from clustersweep.words import command, duration

SWEEPS = ROOT / "sweeps"


def run(*words, home=None, within=60, **environ):
    env = {**os.environ, **({"CLUSTERSWEEP_HOME": str(home)} if home else {}), **environ}
    return typed(*words, env=env, timeout_s=within)


def test_every_verb_has_help():
    done = run("--help")
    assert done.returncode == 0
    for verb in VERBS:
        assert verb in done.stdout


def test_the_version_is_shown():
    assert run("--version").stdout == "clustersweep 0.1.0\n"


def test_a_wrong_verb_or_option_exits_2():
    assert run("lunch").returncode == 2
    assert run("plan", SWEEPS / "grid.yaml", "--worker", "x").returncode == 2


def test_stopping_what_does_not_run_says_so_and_starts_nothing(tmp_path):
    done = run("stop", home=tmp_path / "home")
    assert (done.returncode, done.stdout) == (0, "was not running\n")
    assert not (tmp_path / "home" / "database").exists()


def test_every_problem_of_a_study_file_is_listed_at_once_with_its_line_and_exit_2(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "study: bad\ndata: {simulate: {clusters: 100}}\nsearch_space: {filterz: [1]}\nnetwork: {padding: diagonal}\n"
    )
    done = run("plan", path, home=tmp_path / "home")
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"{path}:3" in done.stderr
    assert "filters" in done.stderr
    assert f"{path}:4" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_study_file_exits_2(tmp_path):
    done = run("launch", tmp_path / "none.yaml", home=tmp_path / "home")
    assert done.returncode == 2
    assert "none.yaml" in done.stderr


def test_a_plan_in_which_all_is_impossible_is_shown_and_exits_2(tmp_path):
    done = run("plan", write_study(tmp_path, search_space={"kernel_size": [13, 15]}), home=tmp_path / "home")
    assert done.returncode == 2
    assert "0 feasible, 4 impossible" in done.stdout
    assert "all 4 combinations are impossible" in done.stderr


def test_of_one_seed_and_one_combination_every_verb_speaks_in_the_singular(tmp_path):
    plan = small_plan(tmp_path, search_space={"kernel_size": [3], "conv_blocks": [1]}, seeds=[0])
    said = io.StringIO()
    out = Console(width=200, file=said)
    print_plan(plan, 1, Speed(), out)
    Display(out).begin(plan, [])
    assert "1 combination: 1 feasible, 0 impossible; 1 seed makes 1 replicate\n" in said.getvalue()
    assert " with 1 worker (" in said.getvalue()
    assert ": 1 combination, 1 feasible, 0 impossible (`clustersweep plan` tells why); 0 of 1 replicate to train\n" in (
        said.getvalue()
    )
    assert left_text(Left((), 1, 0, 0), 1) == "the only replicate is finished: launch has nothing to train"
    assert left_text(Left(((plan.trials[0], 1),), 1, 1, 0), 2) == (
        "1 of 2 replicates is finished; launch would train 1 (the file has 1 combination more than the stored study)"
    )
    trials = (TrialResult(0, {"a": 0}, TrialState.WAITING),)
    print_status(SweepResults("s", "d", {"a": (0,)}, (0,), trials, metric=VAL_LOSS), out)
    assert "\n1 combination: 1 waiting\n" in said.getvalue()


def test_the_json_of_plan_stands_alone_on_stdout(tmp_path):
    done = run("plan", SWEEPS / "quickstart.yaml", "--json", home=tmp_path / "home")
    assert done.returncode == 0
    assert json.loads(done.stdout)["feasible"] == 63
    assert done.stderr == ""


def test_the_schema_is_the_shipped_one():
    assert run("schema").stdout == (SWEEPS / "study.schema.json").read_text()
    assert run("schema", "--training").stdout == (SWEEPS / "training.schema.json").read_text()
    assert run("schema", "--own").stdout == (SWEEPS / "own.schema.json").read_text()


def test_a_plan_shows_the_trace_that_kills_each_impossible_combination(tmp_path):
    said = io.StringIO()
    print_plan(small_plan(tmp_path), 2, Speed(), Console(width=200, file=said))
    text = said.getvalue()
    assert "4 combinations: 3 feasible, 1 impossible; 2 seeds make 6 replicates" in text
    assert "image 12x12x10 → block1_conv1 6x6x4 → block1_pool 3x3x4 → block2_conv1: a 7 x 7 kernel" in text
    assert (
        "an assumption until a sweep has run here with as many cpus_per_worker, most likely within a factor of" in text
    )
    assert "reading the data and starting the workers come on top" in text


def test_a_plan_says_what_its_estimate_is_made_from_and_how_sure_it_is(tmp_path):
    plan = small_plan(tmp_path)
    device = Device("CPU", "Fast One", 1, "float32", deterministic=True)
    speed = fitted(sum((measured_sums(trial, 0.1, 1.0) for trial in plan.trials[-1:]), Sums()), device)
    larger = replace(plan.trials[0], cost_flops=64 * plan.trials[-1].cost_flops)
    assert basis_text([(plan.trials[-1], 1)], speed) == (
        f"from 1 replicate of one size measured here, on CPU Fast One, 1 thread, float32; "
        f"most likely within a factor of {speed.factor([(plan.trials[-1], 1)]):.1f}"
    )
    assert re.search(
        r"the largest of which cost \d+ times less an epoch than the largest here", basis_text([(larger, 1)], speed)
    )


def test_a_plan_tells_which_combinations_are_the_same_network_and_why(tmp_path):
    said = io.StringIO()
    plan = small_plan(tmp_path, **DROPOUT)
    print_plan(plan, 2, Speed(), Console(width=80, file=said))
    assert (
        "\n6 feasible combinations are 4 networks, the others equal to the last bit:\n"
        "  dropout acts between dense layers, and there are fewer than two:\n"
        "    dense_layers=1 dropout=0.3 as dense_layers=1 dropout=0.0\n"
        "    dense_layers=1 dropout=0.5 as dense_layers=1 dropout=0.0\n"
    ) in said.getvalue()
    shown = plan_json(plan, 2, Speed())["same"]
    assert [(one["params"]["dropout"], one["as"]["dropout"]) for one in shown] == [(0.3, 0.0), (0.5, 0.0)]
    Display(Console(width=200, file=said)).begin(plan, [])
    assert "2 of them are the same network as another (`clustersweep plan` tells which)" in said.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (40, "40 s"), (600, "10 min"), (36000, "10.0 h")])
def test_times_are_written_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_a_launch_in_a_container_ends_with_what_a_person_opens_and_types_outside(tmp_path, monkeypatch, capsys):
    report = Path("/var/lib/clustersweep/runs/small/report.html")
    done = Launched(small_plan(tmp_path), None, grid_results(), report)
    monkeypatch.setenv("CLUSTERSWEEP_WEB", "http://127.0.0.1:8080")
    monkeypatch.setenv("CLUSTERSWEEP_PROGRAM", "docker compose run --rm clustersweep")
    print_result(done.results, done.report, Path("sweeps/small.yaml"), (), False)
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "report     http://127.0.0.1:8080/runs/small/report.html",
        "dashboard  http://127.0.0.1:8080",
        "export     docker compose run --rm clustersweep export sweeps/small.yaml --to best/",
    ]


def test_commands_to_copy_are_quoted_and_have_the_containers_program(monkeypatch):
    assert command("train", Path("my study.yaml"), "--to", "model") == "clustersweep train 'my study.yaml' --to model"
    monkeypatch.setenv("CLUSTERSWEEP_PROGRAM", "docker compose run --rm clustersweep")
    assert command("report", "$x.yaml") == "docker compose run --rm clustersweep report '$x.yaml'"


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("plan", "nothing was changed"),
        ("status", "nothing was changed"),
        ("report", "what is stored is unharmed. The same command writes it anew"),
        ("export", "what is stored is unharmed. The same command writes it anew"),
        ("predict", "nothing was written"),
        ("remove", "the same command removes what is left"),
        ("launch", "what ran is checkpointed. The same command goes on from there"),
        ("train", "what ran is checkpointed. The same command goes on from there"),
    ],
)
def test_an_interrupted_verb_says_what_has_become_of_its_work(verb, words, monkeypatch, capsys):
    def interrupted(**options):
        raise SystemExit(130)

    monkeypatch.setattr(cli, "app", interrupted)
    monkeypatch.setattr(sys, "argv", ["clustersweep", verb])
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err == f"interrupted: {words}\n"


def test_nothing_complete_prints_counts_and_no_table(tmp_path, capsys):
    storage = Storage.in_memory(tasks)
    storage.begin(small_plan(tmp_path))
    print_best(storage.results("small"), Console())
    assert capsys.readouterr().out == "4 combinations: 3 waiting, 1 infeasible\n"


@pytest.mark.integration
def test_a_database_that_cannot_be_reached_exits_3_without_its_password(tmp_path):
    study = write_study(tmp_path)
    url = "postgresql://me:hunter2@127.0.0.1:1/sweeps"
    for words in (["status", study, "--storage", url], ["launch", study], ["dashboard"]):
        done = run(*words, home=tmp_path / "home", CLUSTERSWEEP_STORAGE=url)
        assert done.returncode == 3, done.stderr
        assert "127.0.0.1" in done.stderr
        assert "hunter2" not in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_reading_verbs_on_a_study_that_was_never_launched_exit_3_and_say_so(tmp_path, embedded_home):
    from clustersweep.postgres.location import open_database

    open_database(None, {}, embedded_home)
    study = write_study(tmp_path, study="never")
    for verb in ("status", "report", "export"):
        done = run(verb, study, home=embedded_home.path)
        assert done.returncode == 3
        missing = rf"there is no study 'never' in the home {embedded_home.path} \(stored: .+\)\. Give the --home or "
        assert re.search(f"{missing}--storage that it was launched with; if it never was, launch it first", done.stderr)


@pytest.mark.integration
def test_reporting_a_study_with_nothing_complete_exits_1(tmp_path, embedded_home):
    from clustersweep.postgres.location import open_database

    storage = Storage.connect(open_database(None, {}, embedded_home).url, tasks)
    study = write_study(tmp_path, study="none-complete")
    loaded = load_study(study)
    storage.begin(make_plan(loaded, read_header(loaded.task.data)))
    storage.close()
    for verb in ("report", "export"):
        done = run(verb, study, "--to", tmp_path / "out", home=embedded_home.path)
        assert done.returncode == 1
        assert "complete" in done.stderr
    done = run("status", study, "--json", home=embedded_home.path)
    assert json.loads(done.stdout)["waiting"] == 3


def test_steps_and_trials_are_lines_where_there_is_no_terminal(tmp_path, capsys):
    from arithmetic_workers import ArithmeticWorkers

    from clustersweep.study.events import Failed
    from clustersweep.sweep.loop import Sweep
    from clustersweep.sweep.run_folder import RunFolder
    from clustersweep.workers.protocol import Lost

    said = io.StringIO()
    display = Display(Console(file=said, width=300))
    storage, plan = Storage.in_memory(tasks), small_plan(tmp_path)
    opened = storage.begin(plan)
    with display.step("Looking"):
        pass
    display.made(5, 10)
    display.begin(plan, opened)
    faults = [(0, 2, Lost("killed")), (1, 1, Failed("X", "broke"))]
    Sweep(plan, opened, storage, ArithmeticWorkers(1, faults), RunFolder(tmp_path), on_event=display.on_event).run()
    display.end()
    text = said.getvalue()
    assert "Looking (0.0 s)" in text
    assert "simulated 5 of 10 clusters" in text
    assert "6 of 6 replicates to train" in text
    assert text.count("\ntrial ") == 3
    assert "worker-1 died (killed); seed 0 of" in text
    assert "failed: broke" in text


def test_a_terminal_shows_the_workers_the_bar_and_the_best(tmp_path):
    from arithmetic_workers import ArithmeticWorkers

    from clustersweep.sweep.loop import Sweep
    from clustersweep.sweep.run_folder import RunFolder

    said = io.StringIO()
    display = Display(Console(file=said, width=160, force_terminal=True))
    storage, plan = Storage.in_memory(tasks), small_plan(tmp_path)
    opened = storage.begin(plan)
    display.begin(plan, opened)
    Sweep(plan, opened, storage, ArithmeticWorkers(2), RunFolder(tmp_path), on_event=display.on_event).run()
    display._live.refresh()
    display.end()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.getvalue())
    assert "worker" in text
    assert "6/6" in text
    best = storage.results("small").ranked()[0]
    kernel, blocks = best.params["kernel_size"], best.params["conv_blocks"]
    assert f"best so far: {best.value:.4f} with kernel_size={kernel} conv_blocks={blocks}" in text


def test_reading_verbs_make_no_home_and_plan_starts_no_server(tmp_path):
    study, home = write_study(tmp_path), tmp_path / "home"
    done = run("plan", study, home=home)
    assert done.returncode == 0
    assert "not compared with what is stored: the home's database does not run, and plan starts none" in done.stdout
    for verb in ("status", "report", "export"):
        done = run(verb, study, home=home)
        assert done.returncode == 3
        assert (
            f"nothing was ever launched in the home {home}: there is no study in it. Give the --home or --storage that "
            "it was launched with; if it never was, launch it first\n"
        ) in done.stderr
    assert not home.exists()


def test_a_plan_whose_database_cannot_be_reached_says_that_it_did_not_compare(tmp_path):
    study, url = write_study(tmp_path), "postgresql://ann:hunter2@127.0.0.1:1/db"
    done = run("plan", study, home=tmp_path / "home", CLUSTERSWEEP_STORAGE=url)
    assert done.returncode == 0
    assert "not compared with what is stored: CLUSTERSWEEP_STORAGE" in done.stdout
    asked = run("plan", study, "--storage", url, home=tmp_path / "home")
    assert asked.returncode == 3
    assert "hunter2" not in done.stdout + done.stderr + asked.stdout + asked.stderr


@pytest.fixture
def half_done(tmp_path, embedded_home):
    """A study of three trials with two seeds: one is complete, one was running when its launch died."""
    from clustersweep.postgres.location import open_database

    name = f"half-{tmp_path.name[-12:].replace('_', '-')}"
    loaded = load_study(write_study(tmp_path, study=name))
    url = open_database(None, {}, embedded_home).url
    storage = Storage.connect(url, tasks)
    first, second, _ = storage.begin(make_plan(loaded, read_header(loaded.task.data)))
    for trial, seeds in ((first, (0, 1)), (second, (0,))):
        storage.start(trial)
        for seed in seeds:
            storage.record_replicate(trial, CompleteReplicate(seed, 0.1, 1, 3, 1.0, "w"))
    storage.finish(first, 0.1, curve={})
    storage.close()
    return name, url


@pytest.mark.integration
def test_plan_and_status_compare_the_file_with_what_is_stored(tmp_path, embedded_home, half_done):
    from clustersweep.postgres.location import StudyLock

    name, url = half_done
    study = write_study(tmp_path, study=name)
    shown = run("plan", study, home=embedded_home.path).stdout
    assert "\n3 of 6 replicates are finished; launch would train 3\n" in shown
    assert "Left to train, in the order of work (longest first)" in shown
    left = {"replicates": 3, "combinations": 2, "finished": 3, "new_combinations": 0, "new_seeds": 0, "stopped": 0}
    planned = json.loads(run("plan", study, "--json", home=embedded_home.path).stdout)
    assert {**left, "seconds": planned["left"]["seconds"]} == planned["left"]
    assert 0 < planned["left"]["seconds"] < planned["estimate"]["seconds"]
    shown = run("status", study, home=embedded_home.path).stdout
    assert "3 of 6 replicates are finished; launch would train 3\n" in shown
    assert "4 combinations: 1 complete, 1 waiting, 1 infeasible, 1 interrupted\n" in shown
    assert run("report", study, "--to", tmp_path / "out", "--home", embedded_home.path).returncode == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"clustersweep launch {study} --home {embedded_home.path}</pre>" in page
    with StudyLock.acquire(url, name):
        shown = run("status", study, home=embedded_home.path).stdout
        assert f"being launched by clustersweep launch {name} pid {os.getpid()}" in shown
        assert "4 combinations: 1 complete, 1 running, 1 waiting, 1 infeasible\n" in shown
        told = json.loads(run("status", study, "--json", home=embedded_home.path).stdout)
        assert told["left"] == left
        assert told["launch"].startswith(f"clustersweep launch {name} pid")


@pytest.mark.integration
def test_a_file_with_more_values_and_seeds_than_the_store_shows_what_launch_would_add(
    tmp_path, embedded_home, half_done
):
    study = write_study(
        tmp_path, study=half_done[0], search_space={"kernel_size": [3, 5, 7], "conv_blocks": [1, 2]}, seeds=[0, 1, 2]
    )
    added = "(the file has 2 combinations and 1 seed more than the stored study)"
    for verb in ("plan", "status"):
        shown = run(verb, study, home=embedded_home.path).stdout
        assert f"3 of 12 replicates are finished; launch would train 9 {added}\n" in shown


@pytest.mark.integration
def test_plan_shows_the_diff_that_launch_would_refuse_a_file_with_and_exits_2(tmp_path, embedded_home, half_done):
    study = write_study(tmp_path, study=half_done[0], training={"epochs": 9})
    for words in ([], ["--json"]):
        done = run("plan", study, *words, home=embedded_home.path)
        assert done.returncode == 2
        assert "training.epochs: 3 -> 9" in done.stderr
        assert done.stdout
    assert json.loads(done.stdout)["left"] is None


@pytest.fixture(scope="module")
def unmounted(embedded_home, tmp_path_factory):
    """A launched study of a survey's files, beside a folder where its data are not, as where no disk is mounted."""
    folder = tmp_path_factory.mktemp("unmounted")
    survey = folder / "survey"
    assert run("simulate", survey, "--clusters", 60, "--seed", 1, "--pixels", 12).returncode == 0
    data = {"simulate": None, "images": str(survey / "images.fits"), "catalogue": str(survey / "catalogue.fits")}
    space = {"kernel_size": [3, 7], "conv_blocks": [2]}  # one combination, and one that is impossible
    study = write_study(folder, study="unmounted", data=data, search_space=space, seeds=[0])
    env = {"home": embedded_home.path, "within": 300}
    done = run("launch", "--in-process", study, **env)
    assert done.returncode == 0, done.stderr
    shown = {verb: run(verb, study, "--json", **env) for verb in ("status", "report")}
    survey.rename(folder / "elsewhere")
    return folder, study, shown


@pytest.mark.integration
def test_status_and_report_work_where_the_data_are_not_mounted_and_say_what_was_not_compared(unmounted, embedded_home):
    folder, study, before = unmounted
    images = folder / "survey" / "images.fits"
    said = f"{images} is not to be found here: all but the data was compared with what is stored"
    for verb in ("status", "report"):
        assert before[verb].returncode == 0
        assert "compared" not in before[verb].stderr
        done = run(verb, study, "--json", home=embedded_home.path)
        assert done.returncode == 0, done.stderr
        assert said in done.stderr
        known = json.loads(before[verb].stdout)
        assert json.loads(done.stdout) == (known | {"left": None} if verb == "status" else known)
    shown = run("status", study, home=embedded_home.path)
    assert shown.returncode == 0
    assert "2 combinations: 1 complete, 1 infeasible\n" in shown.stdout
    assert "what a launch would train is not told" in shown.stderr
    assert str(images) in (embedded_home.run("unmounted") / "report.html").read_text()


@pytest.mark.integration
def test_status_and_report_of_what_is_stored_go_on_where_the_data_would_now_be_refused(
    unmounted, embedded_home, tmp_path
):
    """Masses that no cluster has, which earlier versions trained on; a survey edited under its old stamp."""
    folder, study, before = unmounted
    survey = folder / "survey"
    shutil.copytree(folder / "elsewhere", survey)
    try:
        table = Table.read(survey / "catalogue.fits")
        table["M500c"][:] = table["M500c"] / 1e14
        table.write(survey / "catalogue.fits", overwrite=True)
        with pytest.raises(DataError, match="1e14 solar masses"):
            read_header(load_study(study).task.data)
        for verb in ("status", "report"):
            done = run(verb, study, "--json", home=embedded_home.path)
            assert done.returncode == 0, done.stderr
            assert "they look like units of 1e14 solar masses" in done.stderr
            assert "these data cannot be used: all but the data was compared with what is stored" in done.stderr
            known = json.loads(before[verb].stdout)
            assert json.loads(done.stdout) == (known | {"left": None} if verb == "status" else known)
        for verb in ("plan", "launch", "export"):
            done = run(verb, study, home=embedded_home.path)
            assert done.returncode == 2
            assert done.stderr.count("they look like units of 1e14 solar masses") == 1
    finally:
        shutil.rmtree(survey)


@pytest.mark.integration
def test_an_edited_file_is_refused_with_its_diff_also_where_the_data_are_not_mounted(
    unmounted, embedded_home, tmp_path
):
    folder, _, _ = unmounted
    survey = folder / "survey"
    data = {"simulate": None, "images": str(survey / "images.fits"), "catalogue": str(survey / "catalogue.fits")}
    same = {"study": "unmounted", "data": data, "search_space": {"kernel_size": [3, 7], "conv_blocks": [2]}}
    same["seeds"] = [0]
    for changed in ({"training": {"epochs": 9}}, {"data": {**data, "rebin": 2}}):
        edited = write_study(tmp_path, **(same | changed))
        for verb in ("status", "report", "export"):
            done = run(verb, edited, home=embedded_home.path)
            assert done.returncode == 2
            assert "(stored -> file)" in done.stderr
            assert "digest" not in done.stderr


@pytest.mark.integration
def test_export_needs_the_data_and_says_so_after_what_can_be_told_without_them(unmounted, embedded_home, tmp_path):
    folder, study, _ = unmounted
    done = run("export", study, "--rank", 9, home=embedded_home.path)
    assert done.returncode == 1
    assert "has 1 complete trials" in done.stderr
    done = run("export", study, "--to", tmp_path / "best", home=embedded_home.path)
    assert done.returncode == 2
    images = folder / "survey" / "images.fits"
    assert f"{images}: is not to be found here, and export computes the validation loss of trial" in done.stderr
    assert f"Mount the data, or mend their path in {study}: where they lie is no part of the study." in done.stderr
    assert not (tmp_path / "best").exists()
    weights = embedded_home.run("unmounted") / "weights"
    weights.rename(weights.with_name("away"))
    try:
        done = run("export", study, home=embedded_home.path)
    finally:
        weights.with_name("away").rename(weights)
    assert done.returncode == 3
    assert "They stay on the machine that launched the sweep" in done.stderr
