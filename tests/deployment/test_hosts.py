"""Sweeps across hosts: the services of docker-compose.yml, each on a host of its own with a network between them.

What is started, with which variables and secrets, and what is healthy stands in docker-compose.yml; how a host is made
of namespaces, in `hosts.py`.
"""

import ast
import csv
import re
import sys
import time

import pytest
from chaos import PART, table, undisturbed
from hosts import network, require_root
from lab import ROOT, Lab
from long_study import LONG, on_one_machine
from places import SUPPORT

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]

ARITHMETIC = [sys.executable, str(SUPPORT / "arithmetic_task.py")]

READ = """
import sys
from chaos import table, trained
from clustersweep.postgres.location import open_database
from clustersweep.home import Home
from clustersweep.storage.store import Storage
from clustersweep.tasks import tasks
import os
results = Storage.connect(open_database(None, os.environ, Home("/nowhere")).url, tasks).results(sys.argv[1])
print(repr(sorted((table if sys.argv[2] == "table" else trained)(results).items())))
"""

CONNECT = """
import os, pathlib
from clustersweep.workers.connection import connect
connect(os.environ["RAY_ADDRESS"], 0, pathlib.Path("/run/host/no-token"))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A database, a head and two workers, the dashboard and the proxy before it, and a host to launch from."""
    require_root()
    folder = tmp_path_factory.mktemp("lab")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == 0 and parent != parent.parent:
            parent.chmod(parent.stat().st_mode | 0o011)  # the database's user passes through
    with network() as made:
        lab = Lab(made, folder)
        lab.up("postgres", "head", "worker-1", "worker-2", "dashboard", "proxy")
        lab.host("launch")
        yield lab


def launch(lab, study, program=("clustersweep",)):
    (lab.network.hosts["launch"].folder / "launch.log").write_text("")
    path = lab.network.hosts["launch"].folder / "chaos.yaml"
    path.write_text(study)
    host = lab.network.hosts["launch"]
    environment = lab.environment_of_launch() | {"ARITHMETIC_EPOCH_S": "0.4"}
    return host.start([*program, "launch", "/run/host/chaos.yaml"], environment, "launch.log")


def read(lab, study, what):
    environment = lab.environment_of_launch() | {"PYTHONPATH": str(ROOT / "tests" / "support")}
    done = lab.network.hosts["launch"].run([sys.executable, "-c", READ, study, what], environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def said(lab):
    return lab.network.hosts["launch"].said("launch.log")


def wait_for(lab, text, process, patience_s=200.0):  # also beside busy processes
    deadline = time.monotonic() + patience_s
    while not re.search(text, said(lab)):
        assert time.monotonic() < deadline, f"no {text!r} in\n{said(lab)}"
        assert process.poll() is None, said(lab)
        time.sleep(0.1)


def test_a_launch_that_has_not_the_clusters_token_is_told_how_to_come_in(lab):
    (lab.network.hosts["launch"].folder / "chaos.yaml").write_text(PART)
    host, environment = lab.network.hosts["launch"], lab.environment_of_launch()
    told = "does not let us in: its token is missing here, or another. Set RAY_AUTH_MODE=token"
    launched = ["clustersweep", "launch", "/run/host/chaos.yaml"]
    done = host.run(launched, environment | {"RAY_AUTH_MODE": "disabled"})
    assert done.returncode == 3, done.stderr
    assert told in done.stderr
    done = host.run([sys.executable, "-c", CONNECT], environment | {"RAY_AUTH_TOKEN": "guess"})
    assert told in done.stderr


def test_a_sweep_across_hosts_gives_bit_for_bit_the_losses_of_one_machine(lab):
    process = launch(lab, PART)
    assert process.wait(250) == 0, said(lab)
    expected = [item for item in sorted(table(undisturbed()).items()) if ("kernel_size", 3) in item[0][0]]
    assert read(lab, "chaos", "table") == repr(expected)
    workers = {worker.split(":")[0] for worker in re.findall(r"worker-\d:\d+", read(lab, "chaos", "trained"))}
    assert workers == {"worker-1", "worker-2"}


OWN = """
study: own
task: nets:train
search_space: {width: [1, 2, 3]}
objective: {metric: error}
"""
NETS = """
import os
import time

def train(run):
    for epoch in range(int(run.saved or 0) + 1, 6):
        time.sleep(0.1)
        run.report(epoch, error=run.params["width"] + 1 / epoch + 0.01 * run.seed, file=os.path.exists(__file__))
        run.save(str(epoch).encode())
"""


def launch_own(lab, code):
    host = lab.network.hosts["launch"]
    (host.folder / "own.yaml").write_text(OWN)
    (host.folder / "nets.py").write_text(code)
    return host.run(["clustersweep", "launch", "/run/host/own.yaml"], lab.environment_of_launch())


def test_a_trainer_of_ones_own_travels_to_hosts_that_do_not_share_its_folder(lab):
    failed = launch_own(lab, "import not_installed_anywhere\n" + NETS)
    assert failed.returncode == 3, failed.stderr
    for host in ("worker-1", "worker-2"):
        assert f"on {host} the module nets (/run/host/nets.py) cannot be imported: ModuleNotFoundError" in failed.stderr
    done = launch_own(lab, NETS)
    assert done.returncode == 0, done.stderr
    host = lab.network.hosts["launch"]
    with (host.folder / "home" / "runs" / "own" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(int(row["width"]), int(row["seed"])): float(row["metric error"]) for row in rows}
    assert found == {(w, s): pytest.approx(w + 1 / 5 + 0.01 * s) for w in (1, 2, 3) for s in (0, 1, 2)}
    assert {row["worker"].split(":")[0] for row in rows} == {"worker-1", "worker-2"}
    assert {row["file"] for row in rows} == {"0.0"}  # it is on no worker's disk


def test_a_launch_that_is_killed_leaves_nothing_of_ray_on_its_host(lab):
    host = lab.network.hosts["launch"]
    process = launch(lab, LONG.replace("study: long", "study: killed"), ARITHMETIC)
    wait_for(lab, "replicates to train", process)
    assert host.run(["pgrep", "raylet"]).returncode == 0
    host.run(["pkill", "-KILL", "-f", "launch /run/host/chaos.yaml"])
    deadline = time.monotonic() + 20
    while (left := host.run(["pgrep", "-fa", "raylet|ray start|DashboardAgent|RuntimeEnvAgent"])).returncode == 0:
        assert time.monotonic() < deadline, left.stdout
        time.sleep(0.5)


def test_plugs_pulled_in_mid_sweep_cost_nothing_but_time(lab, tmp_path):
    hosts = lab.network.hosts
    process = launch(lab, LONG, ARITHMETIC)
    wait_for(lab, "10 of 10 replicates to train", process)
    time.sleep(10)  # all train, and four fifths are left for what follows

    # A worker's host: what it trained goes on elsewhere. Back again it is used, and what it trained meanwhile is not.
    hosts["worker-1"].unplug()
    wait_for(lab, r"worker-\d+ died \(.*\); seed \d of .* goes on elsewhere", process)
    hosts["worker-1"].plug_in()

    # The database's, for so long that both sides give their connections up.
    hosts["postgres"].unplug()
    wait_for(lab, "waiting for it, 10 min at most", process)
    hosts["postgres"].plug_in()
    wait_for(lab, "the database is back after", process)
    assert len(re.findall("worker-\\d+ died", said(lab))) == 1

    # The head's: there is no cluster any more. It is made anew, and the same command goes on.
    hosts["head"].power_off()
    assert process.wait(200) == 3, said(lab)
    before = read(lab, "long", "trained")
    assert re.search("the head of the Ray cluster at .* does not answer any more: .* launch again", said(lab))
    lab.network.hosts.pop("head")
    lab.up("head")
    process = launch(lab, LONG, ARITHMETIC)
    assert process.wait(400) == 0, said(lab)
    assert "Stack" not in said(lab)  # Ray's own words about what died

    after = read(lab, "long", "trained")
    assert set(ast.literal_eval(before)) <= set(ast.literal_eval(after))
    assert read(lab, "long", "table") == repr(sorted(table(on_one_machine(tmp_path)).items()))
