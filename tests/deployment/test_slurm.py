"""docker/slurm.sbatch, with stand-ins for SLURM's commands that run here what SLURM would run on nodes; Ray is real.

Where a study is launched its networks are arithmetic.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from chaos import new_home, results, trained
from places import ROOT, SUPPORT
from small_study import write_study

from clustersweep.postgres.url import VARIABLES

JOB = os.getpid()  # another one for tests that run beside these
STANDINS = ROOT / "tests" / "standins" / "slurm"
ARITHMETIC = f'exec {sys.executable} {SUPPORT / "arithmetic_task.py"} "$@"'


class Job:
    """The script as SLURM would start it, on two nodes that are both this machine, with a home of its own."""

    def __init__(self, home, folder):
        self.home, self.folder = home, folder
        self.token = home.path / f"slurm-{JOB}" / "ray_token"
        self.process = None

    def start(self, *arguments, **variables):
        kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        path = f"{self.folder}:{STANDINS}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        slurm = {
            "SLURM_JOB_ID": str(JOB), "SLURM_JOB_NODELIST": "localhost,localhost", "SLURM_CPUS_PER_TASK": "1",
            "STANDINS": str(self.folder), "OBJECT_STORE_BYTES": "100000000",
        }  # fmt: skip
        environment = kept | slurm | {"PATH": path, "CLUSTERSWEEP_HOME": str(self.home.path)} | variables
        with (self.folder / "log").open("a") as log:
            command = ["bash", ROOT / "docker" / "slurm.sbatch", *map(str, arguments)]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.folder)

    def ended(self, patience_s=120.0):
        return self.process.wait(patience_s)

    def said(self):
        return (self.folder / "log").read_text()

    def processes(self):
        """Give what runs with the job's token, whoever its parent is by now, and the embedded server."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                variables = process.environ()
                mine = variables.get("RAY_AUTH_TOKEN_PATH") == str(self.token)
                if mine or process.cwd().startswith(str(self.home.database)):
                    found.append(process)
        return found

    def has_left_nothing(self):
        assert self.processes() == []
        assert not self.token.parent.exists()
        assert folders_of_ray() == []
        assert not (self.home.database / "host").exists()  # the next job may be on another machine
        return True


def stub(folder, name, body):
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def folders_of_ray():
    return list(Path("/tmp").glob(f"ray-{JOB}-*"))


@pytest.fixture
def job(tmp_path):
    with new_home() as home:
        job = Job(home, tmp_path)
        yield job
        for process in [job.process, *job.processes()]:
            with contextlib.suppress(psutil.Error, AttributeError):
                process.kill()
        for folder in folders_of_ray():
            shutil.rmtree(folder)


@pytest.mark.deployment
@pytest.mark.timeout(300)
def test_a_job_trains_a_study_on_all_of_its_nodes_and_leaves_nothing_behind(job, tmp_path):
    stub(tmp_path, "clustersweep", ARITHMETIC)
    study = write_study(tmp_path, study="chaos", training={"epochs": 30, "patience": 30, "batch_size": 1})
    job.start(study, "--keep-failed", ARITHMETIC_EPOCH_S="0.2")
    mode = nodes = None
    while job.process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            mode = job.token.stat().st_mode & 0o777, job.token.parent.stat().st_mode & 0o777, job.token.stat().st_size
        if nodes is None and "to train" in job.said():
            nodes = sum("raylet/raylet" in process.cmdline()[0] for process in job.processes())
        time.sleep(0.2)
    assert job.process.returncode == 0, job.said()
    assert nodes == 2  # and none of launch's own: the machine that it is on is one
    assert mode == (0o600, 0o700, 64)
    assert job.has_left_nothing()
    workers = {worker for worker, _ in trained(results(job.home)).values()}
    assert len(workers) == 2, job.said()  # each node has one CPU


@pytest.mark.deployment
@pytest.mark.timeout(300)
def test_slurms_signal_before_the_end_keeps_checkpoints_and_puts_the_job_back_into_the_queue(job, tmp_path):
    stub(tmp_path, "clustersweep", ARITHMETIC)
    study = write_study(tmp_path, study="chaos", training={"epochs": 1000, "patience": 1000, "batch_size": 1})
    job.start(study, CLUSTERSWEEP_REQUEUE="1", ARITHMETIC_EPOCH_S="0.2")
    until = time.monotonic() + 180
    while not any(job.home.run("chaos").glob("checkpoints/*.npz")):
        assert job.process.poll() is None, job.said()
        assert time.monotonic() < until, job.said()
        time.sleep(0.2)
    job.process.send_signal(signal.SIGTERM)  # to the script alone, as --signal=B: says
    assert job.ended() == 130, job.said()
    assert "what ran is checkpointed" in job.said()
    assert job.has_left_nothing()
    assert (tmp_path / "scontrol.log").read_text() == f"requeue {JOB}\n"


@pytest.mark.parametrize("variable", VARIABLES)
def test_nodes_get_nothing_of_the_database(variable):
    assert f"-u {variable} " in (ROOT / "docker" / "slurm.sbatch").read_text().replace("\\\n", " ")


def test_where_ray_does_not_start_the_job_says_why_and_removes_its_token(job, tmp_path):
    stub(tmp_path, "ray", 'case $1 in start) echo "no such port" >&2;; esac; exit 1')
    stub(tmp_path, "clustersweep", f'echo "$@" >>{tmp_path}/clustersweep.log')
    job.start("study.yaml")
    assert job.ended() == 3, job.said()
    assert "no such port" in job.said()
    assert f"error: Ray does not start on localhost, port {20000 + JOB % 5000 * 2}" in job.said()
    assert (tmp_path / "clustersweep.log").read_text() == "stop\n"
    assert job.has_left_nothing()


def test_a_server_of_ones_own_is_not_stopped(job, tmp_path):
    stub(tmp_path, "ray", "exit 1")
    stub(tmp_path, "clustersweep", f'echo "$@" >>{tmp_path}/clustersweep.log')
    job.start("study.yaml", CLUSTERSWEEP_STORAGE="postgresql://me@host/sweeps")
    assert job.ended() == 3, job.said()
    assert not (tmp_path / "clustersweep.log").exists()


def test_without_a_study_the_job_says_how_to_name_one(job):
    job.start()
    assert job.ended() == 2
    assert "sbatch docker/slurm.sbatch STUDY" in job.said()
