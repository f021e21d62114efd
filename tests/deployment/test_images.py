"""The images of docker/ and the services of docker-compose.yml, built and run by a real engine.

`make images-test` runs these alone. Compose needs Docker's engine: root has one started where Debian's docker.io is
installed. Without one, buildah builds and runs the image, and what needs Compose is skipped; in CI that is a failure.
"""

import csv
import io
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from chaos import PART, undisturbed
from compose import document
from engine import OURS, ROOT, Buildah, Docker, compose_program, make_images, run
from long_study import LONG, on_one_machine
from places import SUPPORT

from clustersweep import __version__
from clustersweep.report.sweep.table import results_csv

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]

SERVICES = ("postgres", "head", "worker", "dashboard", "proxy")


def missing(what):
    pytest.fail(what) if os.environ.get("CI") == "true" else pytest.skip(what)


@pytest.fixture(scope="module")
def engine():
    """An engine with our image."""
    folder = Path(tempfile.mkdtemp(prefix="clustersweep-engine-", dir="/var/tmp"))
    answers = shutil.which("docker") and run(["docker", "info"], check=False).returncode == 0
    if answers or (os.geteuid() == 0 and shutil.which("dockerd") and shutil.which("apt-cache")):
        made = Docker(folder)
    elif os.geteuid() == 0 and shutil.which("buildah") and shutil.which("apt-cache"):
        made = Buildah()
    else:
        missing("no engine for images: start Docker, or as root install Debian's docker.io")
    try:
        make_images(made)
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


class Stack:
    """The services, started from a copy of what the repository holds, with secrets of their own."""

    def __init__(self, engine, folder):
        self.engine, self.folder = engine, folder
        for name in ("docker-compose.yml", "docker"):
            source = ROOT / name
            ignored = shutil.ignore_patterns("secrets")
            shutil.copytree(source, folder / name, ignore=ignored) if source.is_dir() else shutil.copy(source, folder)
        self.said = run(["sh", folder / "docker" / "make-secrets"]).stdout
        self.secrets = {path.name: path.read_text() for path in (folder / "docker" / "secrets").iterdir()}
        (folder / "studies").mkdir()
        (folder / "studies" / "chaos.yaml").write_text(PART)
        (folder / "studies" / "long.yaml").write_text(LONG)
        shutil.copy(SUPPORT / "arithmetic_task.py", folder / "studies")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.published = f"127.0.0.1:{free.getsockname()[1]}"
        self.environment = {
            **engine.environment, "PUBLISH": self.published, "STUDIES": str(folder / "studies"),
            "COMPOSE_PROJECT_NAME": "clustersweep-test",
        }  # fmt: skip
        self.program = compose_program(self.environment)

    def compose(self, *words, timeout_s=300.0, check=True):
        done = run([*self.program, *words], timeout_s, check, cwd=self.folder, env=self.environment)
        self.said += done.stdout + done.stderr
        return done

    def start(self, *words):
        """Start one of Compose's commands, and go on."""
        with (self.folder / "started.log").open("a") as log:
            return subprocess.Popen(
                [*self.program, *words], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log,
            )  # fmt: skip

    def container(self, service, number=1):
        return self.compose("ps", "-q", service).stdout.split()[number - 1]

    def inside(self, service, *command, check=True):
        return self.compose("exec", "-T", service, *command, check=check)

    def wait_healthy(self, *services, patience_s=120.0):
        deadline = time.monotonic() + patience_s
        for service in services:
            for container in self.compose("ps", "-q", service).stdout.split():
                state = ["inspect", "--format", "{{.State.Health.Status}}", container]
                while (health := self.engine.docker(*state).stdout.strip()) != "healthy":
                    if time.monotonic() > deadline:
                        raise RuntimeError(f"{service} is {health}: {self.compose('logs', service).stdout[-3000:]}")
                    time.sleep(0.5)

    def get(self, path, login="", method="GET"):
        """Ask the published address; gives the status and the text."""
        words = ["--silent", "--request", method, "--write-out", "\n%{http_code}"]
        credentials = ["--config", "-"] if login else []
        done = subprocess.run(
            ["curl", *words, *credentials, f"http://{self.published}{path}"], input=f'user = "{login}"\n',
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        text, _, status = done.stdout.rpartition("\n")
        return int(status), text

    @property
    def login(self):
        return f"astronomer:{self.secrets['dashboard_password']}"


@pytest.fixture(scope="module")
def stack(engine, tmp_path_factory):
    """All services, healthy, and a small study that was launched on two workers."""
    if not isinstance(engine, Docker):
        missing("Compose needs Docker's engine, and none runs")
    stack = Stack(engine, tmp_path_factory.mktemp("stack"))
    try:
        stack.compose("up", "-d", "--no-build", "--scale", "worker=2")
        stack.wait_healthy(*SERVICES)
        stack.compose("run", "--rm", "launch", "sweeps/chaos.yaml")
        yield stack
    finally:
        stack.compose("--profile", "run", "down", "--volumes", "--timeout", "5", check=False)


def losses(text):
    """Give what no machine may change of a results.csv."""
    kept = ("kernel_size", "conv_blocks", "seed", "state", "val_loss_dex2", "best_epoch", "epochs_trained")
    return sorted(tuple(row[name] for name in kept) for row in csv.DictReader(io.StringIO(text)))


def test_an_image_runs_as_an_ordinary_user_and_has_all_that_a_sweep_needs(engine):
    script = "import json, os, ray, tensorflow, clustersweep; print(os.getuid(), clustersweep.__version__)"
    done = engine.in_image(OURS, ["python3", "-c", script])
    assert done.stdout.split()[-2:] == ["1000", __version__], done.stderr
    done = engine.in_image(OURS, ["clustersweep", "schema"])
    assert json.loads(done.stdout)["title"]
    mine = engine.in_image(OURS, ["find", "/opt/clustersweep", "/usr", "-user", "clustersweep"])
    assert (mine.returncode, mine.stdout) == (0, "")  # it cannot change its own programs


def test_a_sweep_in_containers_gives_bit_for_bit_the_losses_of_this_machine(stack):
    status, text = stack.get("/runs/chaos/results.csv", stack.login)
    assert status == 200
    found = losses(text)
    assert len(found) == 4
    assert set(found) <= set(losses(results_csv(undisturbed()).decode()))  # without containers
    hosts = {row["worker"].split(":")[0] for row in csv.DictReader(io.StringIO(text)) if row["worker"]}
    assert hosts == {stack.container("worker", number)[:12] for number in (1, 2)}


@pytest.mark.parametrize("login", ["", "astronomer:guess", "clustersweep:"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/api/studies"), ("DELETE", "/api/studies/1"), ("POST", "/api/studies"), ("GET", "/runs/")],
)
def test_nothing_is_seen_or_deleted_without_the_login(stack, method, path, login):
    assert stack.get(path, login, method)[0] == 401
    assert "chaos" in stack.get("/api/studies", stack.login)[1]


def test_a_person_who_logs_in_sees_the_study_and_its_report(stack, browser, tmp_path):
    credentials = {"username": "astronomer", "password": stack.secrets["dashboard_password"]}
    page = browser.new_page(http_credentials=credentials)
    page.goto(f"http://{stack.published}/dashboard")
    page.get_by_text("chaos").first.wait_for()
    page.goto(f"http://{stack.published}/runs/chaos/report.html")
    page.get_by_role("heading", name="chaos").first.wait_for()
    page.close()


def test_the_databases_user_owns_its_database_and_enters_no_other(stack):
    script = """
import os
import psycopg2
password = open("/run/secrets/postgres_password").read()
def ask(database, user="clustersweep", password=password):
    connection = psycopg2.connect(host="postgres", user=user, dbname=database, password=password)
    cursor = connection.cursor()
    cursor.execute("SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    return cursor.fetchone()[0]
print(ask("clustersweep"))
for where in ({"database": "postgres"}, {"database": "template1"}, {"database": "clustersweep", "password": "guess"},
              {"database": "postgres", "user": "postgres", "password": ""}):
    try:
        ask(**where)
    except psycopg2.OperationalError:
        print("refused")
"""
    done = stack.compose("run", "--rm", "--entrypoint", "python3", "clustersweep", "-c", script)
    assert done.stdout.split() == ["False", *["refused"] * 4]


def test_ray_lets_nobody_in_without_the_token_and_workers_do_not_reach_the_database(stack):
    knock = ["ray", "health-check", "--address", "head:6379"]
    for variable, opens in (("A=b", True), ("RAY_AUTH_MODE=disabled", False), ("RAY_AUTH_TOKEN=guess", False)):
        done = stack.inside("worker", "env", variable, *knock, check=False)
        assert (done.returncode == 0) == opens
        assert opens or "Authentication token is missing or incorrect" in done.stderr
    assert stack.inside("worker", "timeout", "3", "getent", "hosts", "head").stdout
    for service, host in (("worker", "postgres"), ("head", "postgres"), ("worker", "dashboard"), ("proxy", "head")):
        done = stack.inside(service, "timeout", "3", "getent", "hosts", host, check=False)
        assert done.stdout == "", f"{service} reaches {host}"
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    [address] = stack.engine.docker("inspect", "--format", template, stack.container("postgres")).stdout.split()
    reach = f"import socket; socket.create_connection(('{address}', 5432), 3)"
    assert stack.inside("dashboard", "python3", "-c", reach).returncode == 0
    assert stack.inside("worker", "python3", "-c", reach, check=False).returncode != 0
    assert not [
        name for name in ("worker", "head") if "postgres_password" in stack.inside(name, "ls", "/run/secrets").stdout
    ]


def test_what_listens_is_what_the_page_on_clusters_says(stack):
    page = (ROOT / "docs" / "cluster.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| ([\d, to]+) \|", page, re.MULTILINE)
    known = {(service, int(port)) for service, ports in table for port in re.findall(r"\d+", ports)}
    spans = [(service, *map(int, re.findall(r"\d+", ports))) for service, ports in table if " to " in ports]
    found = set()
    for service in SERVICES:
        pid = stack.engine.docker("inspect", "--format", "{{.State.Pid}}", stack.container(service)).stdout.strip()
        if not pid.isdigit():
            continue
        for line in run(["nsenter", "--target", pid, "--net", "ss", "-Hltn"]).stdout.splitlines():
            address, _, port = line.split()[3].rpartition(":")
            if not address.startswith("127.0.0.11"):  # Docker's own name service
                found.add((service, int(port)))
    unknown = {one for one in found - known if not any(s == one[0] and a <= one[1] <= b for s, a, b in spans)}
    assert unknown == set()
    assert {("postgres", 5432), ("head", 6379), ("worker", 6380), ("proxy", 8080), ("dashboard", 8080)} <= found


def test_no_secret_is_in_what_is_shown_said_or_stored(stack):
    def told(done):
        return done.stdout + done.stderr

    docker, said = stack.engine.docker, [stack.said]
    for container in stack.compose("ps", "-q").stdout.split():
        said += [told(docker(*words, container)) for words in (("inspect",), ("logs",), ("top",))]
    said.append(told(docker("history", "--no-trunc", OURS)))
    said.append(stack.get("/runs/chaos/report.html", stack.login)[1])
    said.append(told(stack.inside("postgres", "sh", "-c", "setpriv --reuid=postgres pg_dump clustersweep")))
    said.append(told(stack.inside("worker", "sh", "-c", "cat /tmp/ray/session_latest/logs/*", check=False)))
    text = "\n".join(said)
    for known in ("--node-manager-port=6380", "COPY public.trials", "POSTGRES_PASSWORD_FILE", "Plotly"):
        assert known in text, known
    for name, secret in stack.secrets.items():
        assert secret not in text, name
    assert len(stack.secrets) == len(document()["secrets"]) + 1


def test_containers_that_are_killed_and_a_launch_that_is_stopped_cost_nothing_but_time(stack, tmp_path):
    # What trains is arithmetic that travels to the workers; that a network goes on to the same bits is chaos's to show.
    launch = ["--entrypoint", "python3", "launch", "sweeps/arithmetic_task.py", "launch", "sweeps/long.yaml"]
    docker = stack.engine.docker
    # Slow, as Ray may take half a minute to notice that a container is gone.
    process = stack.start("run", "--name", "launching", "-e", "ARITHMETIC_EPOCH_S=0.3", *launch)

    def wait_for(text):
        deadline = time.monotonic() + 200
        while text not in (said := docker("logs", "launching", check=False).stderr):
            assert time.monotonic() < deadline, said
            assert process.poll() is None, said
            time.sleep(0.2)

    wait_for("(1 of")
    database = stack.container("postgres")
    docker("kill", database)
    docker("start", database)  # `docker kill` counts as stopped by hand
    docker("kill", stack.container("worker", 2))
    wait_for("goes on elsewhere")
    deadline = time.monotonic() + 60
    while docker("inspect", "--format={{.State.Health.Status}}", database).stdout.strip() != "healthy":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    docker("stop", "launching")  # a launch that is stopped while the database is away ends with 3
    assert process.wait(60) == 130
    docker("start", stack.container("worker", 2))
    stack.compose("run", "--rm", "-e", "ARITHMETIC_EPOCH_S=0.01", *launch)
    log = docker("logs", "launching").stderr
    docker("rm", "launching")
    assert "interrupted: what ran is checkpointed" in log
    found = losses(stack.get("/runs/long/results.csv", stack.login)[1])
    assert found == losses(results_csv(on_one_machine(tmp_path)).decode())
