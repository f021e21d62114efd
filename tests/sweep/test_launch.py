"""Whole launches through the command line, as a person runs them: real PostgreSQL and Ray.

Where what is trained makes no difference it is arithmetic (`arithmetic_task`), else real networks. Where a launch need
not be a program of its own, as it must be for signals, it is forked (`forking`).
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import arithmetic_task
import forking
import pytest
from arithmetic_workers import NOTHING, TASK, arithmetic_plan
from astropy.io import fits
from chaos import results as results_in
from children import Children
from places import TESTS
from rich.console import Console
from small_study import small_study, write_study

from clustersweep.cli.main import app
from clustersweep.cpus import available_cpus
from clustersweep.display.progress import Display
from clustersweep.errors import StorageError
from clustersweep.postgres.location import open_database
from clustersweep.report.sweep.study_report import write_study_report
from clustersweep.storage.store import Storage
from clustersweep.study.study import read_study
from clustersweep.survey.simulator.simulate import write_survey
from clustersweep.survey.spec import SimulateSpec
from clustersweep.sweep.launch import Options, launch
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.sweep.speeds import read_speed
from clustersweep.sweep.turns import Turn, claim_of, folder_of_turns
from clustersweep.tasks import tasks
from clustersweep.workers.protocol import InProcessWorkers

pytestmark = pytest.mark.integration

# Long enough to be interrupted in the middle: six seconds for each replicate.
LONG = {"epochs": 300, "patience": 300, "batch_size": 1}
AT_ONCE = {arithmetic_task.AT_ONCE: "1"}
# A launch with checkpoints so frequent that a test need not wait for them.
DRIVER = """
import os, sys
from pathlib import Path
from rich.console import Console
from clustersweep.home import Home
from clustersweep.sweep.launch import Options, launch
from clustersweep.postgres.location import open_database
from clustersweep.display.progress import Display
from clustersweep.report.sweep.study_report import write_study_report
from arithmetic_task import tasks
from clustersweep.study.study import read_study
home = Home(Path(sys.argv[2]))
done = launch(read_study(Path(sys.argv[1]), tasks), home, lambda: open_database(None, {}, home),
              Options(checkpoint_every_s=0.2), watcher=Display(Console(stderr=True)), write_report=write_study_report)
sys.exit(130 if done.outcome and done.outcome.interrupted else 0)
"""


REAL = [sys.executable, "-m", "clustersweep"]
ARITHMETIC = [sys.executable, arithmetic_task.__file__]


def environment(home, **changes):
    """This process's, with a home; Ray's workers find what tests are made of."""
    beside = str(TESTS / "support")
    return {**os.environ, "CLUSTERSWEEP_HOME": str(home.path), "PYTHONPATH": beside, **changes}


@pytest.fixture(scope="session")
def runner(embedded_home):
    """Run `clustersweep` with the session's home, to train arithmetic, or networks if they are to be `real`."""

    def run(*words, code=0, real=False, **environ):
        done = forking.run(words, environment(embedded_home, **environ), 110, arithmetic=not real)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def results(embedded_home):
    """Read a study's results from the session's home."""
    opened = []

    def read(study):
        if not opened:
            opened.append(Storage.connect(open_database(None, {}, embedded_home).url, tasks))
        return opened[0].results(study)

    yield read
    for storage in opened:
        storage.close()


def replicates(results):
    return {(tuple(t.params.items()), seed): r for t in results.trials for seed, r in t.replicates.items()}


def numbers(results):
    return {key: (r.value, r.best_epoch, r.curve) for key, r in replicates(results).items()}


def wait_for(condition, seconds=100.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the long study gives when nothing happens to it."""
    folder, storage = tmp_path_factory.mktemp("undisturbed"), Storage.in_memory(tasks)
    plan = arithmetic_plan(folder, training=LONG)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(arithmetic_task, "EPOCH_S", 0.0)
        workers = InProcessWorkers(TASK, NOTHING)
        Sweep(plan, storage.begin(plan), storage, workers, RunFolder(folder / "run")).run()
    return numbers(storage.results("small"))


REMEDY = (
    "Install it there with CUDA's libraries (`make setup GPU=1`) and check the driver (`nvidia-smi`), or ask for CPUs "
    "with resources.gpus_per_worker: 0"
)
# Ray counts the GPUs that the driver has; TensorFlow needs CUDA's libraries to use them.
BLIND = {"RAY_OVERRIDE_RESOURCES": '{"CPU": 2, "GPU": 2}', "CUDA_VISIBLE_DEVICES": "17,18"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, embedded_home):
    """A study of networks, and what its launch says in a process of its own, on cards that TensorFlow does not see."""
    study = write_study(tmp_path_factory.mktemp("whole"), study="whole")
    done = subprocess.run(
        [*REAL, "launch", study], capture_output=True, text=True, env=environment(embedded_home, **BLIND),
        check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return study, done


@pytest.mark.timeout(300)
def test_one_launch_trains_everything_and_the_next_trains_nothing(whole, runner, results, embedded_home):
    study, first = whole
    assert "4 combinations, 3 feasible, 1 impossible" in first.stderr
    assert "6 of 6 replicates to train" in first.stderr
    assert first.stderr.count("trial ") == 3  # one line per trial where there is no terminal
    assert "4 combinations: 3 complete, 1 infeasible" in first.stdout
    for line in ("report     ", "dashboard  ", "export     "):
        assert line in first.stdout
    before = replicates(results("whole"))
    assert all(r.state == "complete" and r.epochs == 3 and r.seconds > 0 for r in before.values())
    second = runner("launch", study, "--home", embedded_home.path, real=True)
    again = f"launch {study} --home {embedded_home.path}</pre>"
    assert again in (embedded_home.run("whole") / "report.html").read_text()
    assert "0 of 6 replicates to train" in second.stderr
    assert "Preparing the survey and the workers" not in second.stderr
    assert replicates(results("whole")) == before


@pytest.mark.timeout(300)
def test_a_launch_on_a_card_that_tensorflow_does_not_see_trains_on_cpus_and_says_so(whole, results):
    said = " ".join(whole[1].stderr.split())
    assert re.search("TensorFlow sees 0 of 2 GPUs on [0-9.]+, so CPUs train. ", said)
    assert REMEDY in said
    assert {device.kind for r in replicates(results("whole")).values() for device in r.devices} == {"CPU"}


def test_what_a_launch_measured_is_what_the_next_plan_is_estimated_from(tmp_path, embedded_home, capsys):
    study, display = write_study(tmp_path, study="measured"), Display(Console(stderr=True))
    embedded_home.speeds.unlink(missing_ok=True)
    launch(read_study(study, arithmetic_task.tasks), embedded_home,
           lambda: open_database(None, {}, embedded_home), Options(in_process=True), watcher=display,
           write_report=write_study_report)  # fmt: skip
    speed = read_speed(embedded_home.speeds, 1)
    assert (speed.count, speed.device.threads) == (6, 1)
    with pytest.raises(SystemExit):
        app(["plan", str(study), "--home", str(embedded_home.path), "--json"])
    shown = json.loads(capsys.readouterr().out)["estimate"]
    assert (shown["measured"], shown["device"]) == (True, str(speed.device))
    assert 1 < shown["within_factor"] < 3


def test_a_new_value_and_a_new_seed_train_only_what_is_new(runner, tmp_path, results):
    runner("launch", write_study(tmp_path, study="grows"), "--in-process")
    before = replicates(results("grows"))
    more = {"search_space": {"kernel_size": [3, 5, 7]}}
    grown = runner("launch", write_study(tmp_path, study="grows", **more), "--in-process")
    assert "2 of 8 replicates to train" in grown.stderr
    grown = runner("launch", write_study(tmp_path, study="grows", **more, seeds=[0, 1, 2]), "--in-process")
    assert "4 of 12 replicates to train" in grown.stderr
    after = results("grows")
    assert {key: r for key, r in replicates(after).items() if key in before} == before
    assert len(replicates(after)) == 12
    assert (after.count("complete"), after.count("infeasible")) == (4, 2)


def test_the_next_launch_removes_what_one_that_was_killed_left(runner, tmp_path, embedded_home):
    study = write_study(tmp_path, study="left")
    runner("launch", study, "--in-process")
    folder = embedded_home.run("left")
    (kept, *_) = (folder / "weights").glob("*.npz")
    orphan, other = (folder / "checkpoints" / f"{key}.npz" for key in (kept.stem, "f" * 16))
    parts = [folder / name / ".0123456789abcdef.part" for name in ("checkpoints", "weights")]
    orphan.parent.mkdir(exist_ok=True)  # there is none where all was trained within seconds
    for path in (orphan, other, *parts):
        path.write_bytes(b"left")
    again = runner("launch", study, "--in-process")
    assert "0 of 6 replicates to train" in again.stderr
    assert not orphan.exists()
    assert not any(part.exists() for part in parts)
    assert other.exists()  # nobody knows that it is not needed
    assert kept.exists()


def test_a_changed_study_is_refused_with_a_diff_and_nothing_is_lost(runner, tmp_path, results):
    runner("launch", write_study(tmp_path, study="changes"), "--in-process")
    before = replicates(results("changes"))
    refused = runner("launch", write_study(tmp_path, study="changes", training={"epochs": 4}), code=2)
    assert "training.epochs: 3 -> 4" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert replicates(results("changes")) == before


def test_a_launch_whose_data_turn_out_to_be_edited_leaves_no_study_behind_and_one_that_is_there_as_it_was(
    runner, tmp_path, results, embedded_home
):
    survey = tmp_path / "survey"
    write_survey(SimulateSpec(clusters=60, seed=1, pixels=12), survey)
    data = {"simulate": None, "images": str(survey / "images.fits"), "catalogue": str(survey / "catalogue.fits")}
    good = (survey / "images.fits").read_bytes()
    runner("launch", write_study(tmp_path, study="trusted", data=data), "--in-process", real=True)
    before = results("trusted")
    with fits.open(survey / "images.fits", mode="update") as images:  # which keeps the stamp
        images[0].data[0, 0, 0, 0] += 1
    for name, more in (("trusted", {"seeds": [0, 1, 2]}), ("never-stored", {})):
        study = write_study(tmp_path, study=name, data=data, **more)
        refused = runner("launch", study, "--in-process", code=2, real=True)
        assert "was edited since it was written" in refused.stderr
    assert results("trusted") == before
    assert not has_study(embedded_home, "never-stored")
    (survey / "images.fits").write_bytes(good)
    again = runner("launch", write_study(tmp_path, study="trusted", data=data), "--in-process", real=True)
    assert "0 of 6 replicates to train" in again.stderr


@pytest.fixture(scope="module")
def killed(embedded_home, tmp_path_factory):
    """A launch that is killed in the middle, with what was done by then, and what the one behind it says."""
    folders, found = [tmp_path_factory.mktemp(name) for name in ("killed", "second")], SimpleNamespace()
    found.study = write_study(folders[0], study="killed", training=LONG)
    env = environment(embedded_home)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": env}
    with Children() as children:
        driver = children([sys.executable, "-c", DRIVER, found.study, embedded_home.path], **pipes)
        wait_for(lambda: trains(embedded_home, "killed"))
        second = children([*ARITHMETIC, "launch", write_study(folders[1], study="second")], **pipes)
        found.waiting = read_until(second, "goes on by itself")
        checkpoints = embedded_home.run("killed") / "checkpoints"
        wait_for(lambda: replicates(results_in(embedded_home, "killed")))
        wait_for(lambda: any(checkpoints.glob("*.npz")))  # of what trains now, not of what has ended meanwhile
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        found.done = replicates(results_in(embedded_home, "killed"))
        found.pid, workers = driver.pid, {int(r.worker.rpartition(":")[2]) for r in found.done.values()}
        wait_for(lambda: not any(alive(pid) for pid in workers))  # no worker outlives its driver
        _, found.said = second.communicate(timeout=200)
        found.code = second.returncode
    return found


def read_until(running, words):
    """Read what a launch says until it says some words."""
    said = ""
    while words not in said:
        line = running.stderr.readline()
        assert line, said
        said += line
    return said


@pytest.mark.timeout(300)
def test_after_kill_9_of_the_driver_a_relaunch_gives_the_same_bits_and_repeats_nothing(
    killed, runner, results, undisturbed
):
    assert 0 < len(killed.done) < 6
    again = runner("launch", killed.study, "--in-process", **AT_ONCE)
    assert f"{6 - len(replicates_told(again))} of 6" in again.stderr
    after = replicates(results("killed"))
    assert numbers(results("killed")) == undisturbed
    assert {key: r for key, r in after.items() if key in killed.done} == killed.done  # seconds and worker too
    assert any(r.resumed for r in after.values())
    assert results("killed").count("running") == 0


@pytest.mark.timeout(300)
def test_a_second_launch_on_this_machine_waits_and_goes_on_by_itself_when_the_first_is_killed(killed, results):
    cpus = available_cpus()
    assert f"no room on this machine yet: it takes {cpus} of {cpus} CPUs, and these came first:\n" in killed.waiting
    assert re.search(
        rf"  killed: {cpus} CPUs?, process {killed.pid}, since \d{{4}}-\d\d-\d\d \d\d:\d\d, trains\n", killed.waiting
    )
    assert "waiting, then this goes on by itself. Launches run side by side with fewer --workers each" in killed.waiting
    assert killed.code == 0, killed.said
    assert "room on this machine after" in killed.said
    assert results("second").count("complete") == 3


def replicates_told(launched):
    """Replicates that a relaunch says are done already, from `N of 6 replicates to train`."""
    line = next(line for line in launched.stderr.splitlines() if "replicates to train" in line)
    return range(6 - int(line.split("; ")[1].split(" of ")[0]))


@pytest.mark.timeout(300)
def test_ctrl_c_checkpoints_says_how_to_go_on_and_a_relaunch_gives_the_same_bits(
    runner, tmp_path, results, embedded_home, undisturbed
):
    study = write_study(tmp_path, study="stopped", training=LONG)
    running = begun(study, embedded_home)
    wait_for(lambda: trains(embedded_home, "stopped"))
    time.sleep(1)
    os.killpg(running.pid, signal.SIGINT)  # its whole process group, as a terminal does
    _, errors, code = ended(running)
    assert code == 130, errors
    assert "interrupted: what ran is checkpointed. The same command goes on from there" in errors
    assert "Traceback" not in errors
    assert any((embedded_home.run("stopped") / "checkpoints").glob("*.npz"))
    assert results("stopped").count("complete") < 3
    again = runner("launch", study, "--in-process", **AT_ONCE)
    assert "Preparing the survey and the workers" in again.stderr
    assert numbers(results("stopped")) == undisturbed
    assert any(r.resumed for r in replicates(results("stopped")).values())


def has_study(home, study):
    """Say whether a database has a study of a name, with or without a record."""
    storage = Storage.connect(open_database(None, {}, home).url, tasks)
    try:
        return study in storage.studies()
    finally:
        storage.close()


def trains(home, study):
    """Say whether a launch of a study trains by now: its record is there, and a trial has begun."""
    found = results_in(home, study)
    return found is not None and found.count("running") > 0


ENDLESS = {"epochs": 5000, "patience": 5000, "batch_size": 1}


@pytest.mark.timeout(300)
def test_sigterm_while_a_launch_trains_checkpoints_and_a_second_one_until_then_is_refused_and_names_it(
    runner, tmp_path, embedded_home
):
    study = write_study(tmp_path, study="once", training=ENDLESS)
    running = begun(study, embedded_home)
    wait_for(lambda: trains(embedded_home, "once"))
    refused = runner("launch", study, code=3)
    assert f"pid {running.pid}" in refused.stderr
    assert "Traceback" not in refused.stderr
    os.kill(running.pid, signal.SIGTERM)
    assert_checkpointed(running, "once", embedded_home)


def assert_checkpointed(running, study, home):
    """An interrupted launch has ended as it should."""
    _, errors, code = ended(running)
    assert code == 130, errors
    assert "interrupted: what ran is checkpointed" in errors
    assert "Traceback" not in errors
    assert any((home.run(study) / "checkpoints").glob("*.npz"))


def test_a_failed_replicate_is_reported_with_exit_1_and_tried_again_by_the_next_launch(runner, tmp_path, results):
    axes = {"kernel_size": [3], "conv_blocks": [1], "optimizer": ["sgd"], "learning_rate": [1.0e-3, 1.0e3]}
    study = write_study(tmp_path, study="fails", search_space=axes, training={"epochs": 30})
    failed = runner("launch", study, "--in-process", code=1)
    assert "the loss is not finite in epoch" in failed.stderr
    assert (results("fails").count("failed"), results("fails").count("complete")) == (1, 1)
    kept = runner("launch", study, "--in-process", "--keep-failed", code=1)
    assert "0 of 4 replicates to train" in kept.stderr
    again = runner("launch", study, "--in-process", code=1)
    assert "2 of 4 replicates to train" in again.stderr


def test_a_worker_that_does_not_fit_exits_3_and_says_what_the_cluster_has(runner, tmp_path):
    study = write_study(tmp_path, study="gpus", resources={"gpus_per_worker": 1})
    refused = runner("launch", study, code=3)
    assert "one needs 1 CPU and 1 GPU, the cluster has" in refused.stderr


@pytest.mark.parametrize(
    ("options", "real", "says"),
    [
        (
            [],
            False,
            "one needs 1 CPU and 0.5 GPU, the cluster has 2 CPU and 0 GPU. .*TensorFlow sees 0 of 2 GPUs on [0-9.]+. ",
        ),
        (["--in-process"], True, "error: a worker on .* was given 0.5 GPU, and TensorFlow sees none there. "),
    ],
)
def test_a_gpu_that_is_asked_for_and_that_tensorflow_does_not_see_exits_3_with_the_remedy(
    runner, tmp_path, results, options, real, says
):
    study = write_study(tmp_path, study="unseen", resources={"gpus_per_worker": 0.5})
    refused = " ".join(runner("launch", study, *options, code=3, real=real, **BLIND).stderr.split())
    assert re.search(f"{says}{re.escape(REMEDY)}", refused)
    assert "Traceback" not in refused
    with pytest.raises(StorageError, match="there is no study 'unseen'"):
        results("unseen")


@pytest.mark.parametrize("given", ["in the URL", "in PGPASSWORD"])
def test_no_output_report_or_row_holds_the_databases_password(runner, tmp_path, postgres_tcp, database_name, given):
    study = write_study(tmp_path, study="secret")
    environ = {"CLUSTERSWEEP_STORAGE": postgres_tcp.url_with(database=database_name)}
    if given == "in PGPASSWORD":
        environ = {
            "CLUSTERSWEEP_STORAGE": postgres_tcp.url_with(database=database_name, password=""),
            "PGPASSWORD": postgres_tcp.password,
        }
    home = tmp_path / "home"
    said = []
    launched = ["launch", study, *([] if given == "in the URL" else ["--in-process"])]
    for words in (launched, ["status", study], ["report", study, "--to", tmp_path / "out"]):
        done = runner(*words, "--home", home, **environ)
        said += [done.stdout, done.stderr]
    said += [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    said.append(rows_of(postgres_tcp, database_name))
    quoted = postgres_tcp.url.split("@")[0].rpartition(":")[2]
    for text in said:
        assert postgres_tcp.password not in text
        assert quoted not in text


def rows_of(server, database):
    import psycopg2

    connection = psycopg2.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, dbname=database
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = []
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT * FROM {table}")
            rows.append(repr(cursor.fetchall()))
    connection.close()
    assert len(rows) > 5
    return "\n".join(rows)


def test_the_small_study_is_what_the_tests_take_it_for(tmp_path):
    study = small_study(tmp_path)
    assert (len(study.seeds), study.task.training.epochs) == (2, 3)


def begun(study, home, *, ignored=None, program=ARITHMETIC):
    """Start a launch in a session of its own, as a terminal does."""

    def before():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)

    env = environment(home, PYTHONUNBUFFERED="1")
    command = [*program, "launch", str(study), "--workers", "1"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True,
        preexec_fn=before,
    )  # fmt: skip


def ended(running, seconds=90):
    try:
        return (*running.communicate(timeout=seconds), running.returncode)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)


# A launch that makes its survey as a real one does, though arithmetic is trained.
MAKES_SURVEY = """
import arithmetic_task
from clustersweep.cli.main import main
from clustersweep.masses.task import ClusterMasses
arithmetic_task.take_over()
arithmetic_task.Arithmetic.load = ClusterMasses.load
main()
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "after_s"), [(signal.SIGTERM, 0.0), (signal.SIGHUP, 2.0)])
def test_a_signal_while_a_launch_prepares_exits_130_without_a_trace(tmp_path, embedded_home, number, after_s):
    data = {"simulate": {"clusters": 20000, "seed": 1000 + number, "pixels": 12}}  # not there yet
    study = write_study(tmp_path, study=f"prepares-{number.name}", data=data)
    surveys = embedded_home.path / "surveys"
    before = set(surveys.glob(".*partial*"))
    running = begun(study, embedded_home, program=[sys.executable, "-c", MAKES_SURVEY])
    wait_for(lambda: set(surveys.glob(".*partial*")) - before or running.poll() is not None)
    time.sleep(after_s)
    os.kill(running.pid, number)
    _, errors, code = ended(running)
    assert code == 130, errors
    assert "Traceback" not in errors
    assert "***" not in errors


# A launch that is sent SIGTERM at one moment: when a function of Ray's own has returned.
STRUCK = """
import os, signal, sys
import ray, ray._private.node, ray._private.worker
import arithmetic_task
from clustersweep.cli.main import main
arithmetic_task.take_over()
place, name = {
    "processes": (ray._private.node.Node, "start_ray_processes"),
    "core worker": (ray._private.worker, "connect"),
    "end": (ray, "shutdown"),
}[sys.argv.pop(1)]
own = getattr(place, name)
def struck(*given, **named):
    own(*given, **named)
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):
        pass  # where Python runs handlers
setattr(place, name, struck)
main()
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", ["processes", "core worker", "end"])
def test_sigterm_while_ray_starts_or_just_after_it_has_ended_exits_130_without_a_trace(
    children, tmp_path, embedded_home, moment
):
    study = write_study(tmp_path, study=f"struck-{moment.replace(' ', '-')}")
    env = environment(embedded_home)
    command = [sys.executable, "-c", STRUCK, moment, "launch", study, "--workers", "1"]
    running = children(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    assert "***" not in errors


# --- beside other launches on this machine ---------------------------------------------------------------------


@pytest.fixture
def turn_of_another():
    """The turn of a launch that takes all CPUs of this machine, as one of another study does."""
    claim = claim_of("another", 10_000, 1, gpus=False)
    with Turn(folder_of_turns(os.environ, os.geteuid()), claim) as turn:
        yield turn


def test_launches_that_fit_beside_each_other_do_not_wait(runner, tmp_path):
    claim = dataclasses.replace(claim_of("another", 1, 1, gpus=False), cpus=available_cpus() - 1)
    with Turn(folder_of_turns(os.environ, os.geteuid()), claim):
        done = runner("launch", write_study(tmp_path, study="beside", seeds=[0]), "--workers", "1")
    assert "no room" not in done.stderr


def test_a_launch_that_is_told_not_to_wait_exits_3_and_says_for_whom_it_would(runner, tmp_path, turn_of_another):
    refused = runner("launch", write_study(tmp_path, study="hurried"), "--wait", "0", code=3)
    assert re.search(r"error: no room on this machine: it takes \d+ of \d+ CPUs, and these came first:", refused.stderr)
    assert f"  another: {available_cpus()} CPU" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_what_is_wrong_with_a_study_is_told_while_it_waits(runner, tmp_path, embedded_home, turn_of_another):
    runner("launch", write_study(tmp_path, study="altered"), "--in-process")
    shutil.rmtree(embedded_home.run("altered"))  # only what is launched here for the first time is compared so late
    refused = runner("launch", write_study(tmp_path, study="altered", training={"epochs": 4}), code=2)
    assert "training.epochs: 3 -> 4" in refused.stderr


def test_a_launch_with_nothing_to_train_waits_for_nobody(runner, tmp_path, embedded_home, turn_of_another):
    study = write_study(tmp_path, study="nothing")
    runner("launch", study, "--in-process")
    assert "0 of 6 replicates to train" in runner("launch", study).stderr
    shutil.rmtree(embedded_home.run("nothing"))  # as in a home of another machine: now the database has to be asked
    assert "0 of 6 replicates to train" in runner("launch", study).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_launch_that_waits_for_room_can_be_interrupted(tmp_path, embedded_home, turn_of_another, number):
    running = begun(write_study(tmp_path, study=f"impatient-{number.name}"), embedded_home)
    read_until(running, "goes on by itself")
    os.kill(running.pid, number)
    _, errors, code = ended(running)
    assert code == 130, errors
    assert "Traceback" not in errors


@pytest.mark.timeout(300)
def test_a_launch_whose_whole_terminal_is_closed_while_it_trains_checkpoints(tmp_path, embedded_home):
    running = begun(write_study(tmp_path, study="closed", training=ENDLESS), embedded_home)
    wait_for(lambda: trains(embedded_home, "closed"))
    time.sleep(1)
    os.killpg(running.pid, signal.SIGHUP)
    assert_checkpointed(running, "closed", embedded_home)


@pytest.mark.timeout(300)
def test_a_launch_under_nohup_outlives_its_terminal(tmp_path, embedded_home, results):
    study = write_study(tmp_path, study="nohup", training={"epochs": 30, "batch_size": 2})
    running = begun(study, embedded_home, ignored=signal.SIGHUP)
    wait_for(lambda: trains(embedded_home, "nohup"))
    os.killpg(running.pid, signal.SIGHUP)
    _, errors, code = ended(running)
    assert code == 0, errors
    assert results("nohup").count("complete") == 3


@pytest.mark.timeout(300)
def test_a_signal_while_the_report_is_written_exits_130(tmp_path, embedded_home, runner):
    study = write_study(tmp_path, study="reported")
    runner("launch", study, "--in-process")
    running = begun(study, embedded_home)
    for line in running.stderr:
        if "0 of 6 replicates to train" in line:
            break
    os.kill(running.pid, signal.SIGTERM)
    _, errors, code = ended(running)
    assert code == 130, errors
    assert "Traceback" not in errors
