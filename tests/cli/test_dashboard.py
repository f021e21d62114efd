"""The Optuna dashboard of a finished sweep, looked at in Chromium."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import forking
import pytest
from arithmetic_workers import ArithmeticWorkers
from children import Children
from small_study import write_study

from clustersweep.postgres.location import open_database
from clustersweep.storage.store import Storage
from clustersweep.study.plan import make_plan
from clustersweep.survey.dataset import Header
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.tasks import load_study, tasks

pytestmark = pytest.mark.integration
GRID = {"filters": [10, 30], "kernel_size": [3, 7], "conv_blocks": [1, 3], "dense_layers": [1, 3]}


@pytest.fixture(scope="module")
def dashboard(embedded_home, tmp_path_factory):
    """Serve the dashboard for 16 combinations at 25 x 25 pixels, finished through the real loop and storage."""
    folder = tmp_path_factory.mktemp("dashboard")
    path = write_study(folder, study="grid", search_space=GRID, network={"filters_step": 10}, seeds=[0])
    text = (
        path.read_text()
        .replace("  filters: 4\n", "")
        .replace("  dense_layers: 1\n", "")
        .replace("  - 8\n", "  - 8\n  - 6\n  - 4\n")
    )
    path.write_text(text)
    plan = make_plan(load_study(path), Header(60, (25, 25, 10), "digest", "a test"))
    storage = Storage.connect(open_database(None, {}, embedded_home).url, tasks)
    outcome = Sweep(plan, storage.begin(plan), storage, ArithmeticWorkers(), RunFolder(folder)).run()
    assert (outcome.finished, outcome.failed) == (12, 0)
    storage.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "clustersweep",
        "dashboard",
        "--port",
        str(port),
        "--home",
        str(embedded_home.path),
    ]
    url = f"http://127.0.0.1:{port}"
    with Children() as children:
        server = children(command, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 100
        while True:
            try:
                urllib.request.urlopen(f"{url}/dashboard", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, server.stderr.read()
                assert time.monotonic() < until, "the dashboard does not answer"
                time.sleep(0.1)
        yield url
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=60)
    assert f"dashboard on {url}/" in said
    assert "Traceback" not in said


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    yield page
    page.close()


def study_url(page, dashboard):
    """Find the study as a person does, in the list of studies."""
    page.goto(f"{dashboard}/dashboard")
    page.get_by_text(re.compile(r"^\d+\. grid$")).click()
    page.wait_for_url(re.compile(r"/studies/\d+"))
    return re.search(r".*/studies/\d+", page.url).group(0)


def test_the_dashboard_lists_the_study_its_16_trials_and_a_pruned_trials_reason(dashboard, page):
    page.goto(f"{study_url(page, dashboard)}/trials?numbers=0")
    page.get_by_text("16 Trials").wait_for()
    page.get_by_role("heading", name="Trial 0").wait_for()
    page.get_by_text(re.compile("Impossible: a . x . kernel does not fit the . x . pixels at block3_conv1")).wait_for()


def test_the_dashboard_draws_the_history_and_the_learning_curves(dashboard, page):
    page.goto(study_url(page, dashboard))
    # One curve of intermediate values for each of the 12 trials, beside the history's points.
    traces = "document.querySelectorAll('.js-plotly-plot .scatterlayer .trace').length"
    page.wait_for_function(f"{traces} > 12")


def test_the_dashboard_listens_on_loopback_only(dashboard):
    port = int(dashboard.rpartition(":")[2])
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = [
        words[1].split(":")[0] for words in listening if int(words[1].split(":")[1], 16) == port and words[3] == "0A"
    ]
    assert addresses == ["0100007F"]


def test_a_port_that_is_taken_is_an_error_that_says_so(dashboard, embedded_home):
    port = dashboard.rpartition(":")[2]
    done = forking.run(["dashboard", "--port", port, "--home", embedded_home.path], os.environ, 60.0)
    assert done.returncode == 3
    assert (
        f"the dashboard cannot listen on 127.0.0.1:{port}: Address already in use. Choose another --port" in done.stderr
    )
