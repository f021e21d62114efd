"""Fixtures for every test: a clean environment, and two real PostgreSQL servers."""

import dataclasses
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import Children, give_children_default_signals
from places import TESTS
from playwright.sync_api import Browser, sync_playwright
from servers import TcpServer, short_folder
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from clustersweep.home import Home, find_home
from clustersweep.postgres.location import stop_embedded
from clustersweep.postgres.programs import find_programs, reachable_programs, run_program, server_user
from clustersweep.sweep.turns import FOLDER as TURNS

# Each of these has several processes of its own most of the time: they are the first where tests are shared among
# processes. One process takes all of the deployments, which may not run side by side.
LONG = ["deployment/test_images.py", "workers/test_ray_pool.py", "sweep/test_launch.py", "test_quickstart.py"]
_NOBODY = 65534
DEPLOYMENT = "deployment/"
REAL_TIMEOUT_S = 600  # also beside other work: on an idle machine none takes a quarter of it


def pytest_configure() -> None:
    give_children_default_signals()
    # Launches of these tests wait for none of somebody else's on this machine, nor of tests in another process.
    os.environ[TURNS] = tempfile.mkdtemp(prefix="clustersweep-turns-")


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ[TURNS], ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of GPUs where there is none, and give real components more time than the rest.

    The first test to use a server waits for it to be made.
    """
    if not Path("/dev/nvidia0").exists():
        needs_gpu = [item for item in items if item.get_closest_marker("gpu")]
        config.hook.pytest_deselected(items=needs_gpu)
        items[:] = [item for item in items if item not in needs_gpu]
    items.sort(key=_rank)
    for item in items:
        real = item.get_closest_marker("integration") or item.get_closest_marker("deployment")
        if real and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(REAL_TIMEOUT_S))


def _rank(item: pytest.Item) -> int:
    """Return where a test comes: deployments and other long ones first."""
    file = str(item.path.relative_to(TESTS))
    return LONG.index(file) if file in LONG else 1 if file.startswith(DEPLOYMENT) else len(LONG)


class ByFile(LoadFileScheduling):
    """Shares the files of tests among processes, those of deployments as if they were one."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return DEPLOYMENT if file.startswith(f"tests/{DEPLOYMENT}") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Share the tests among processes in the order above."""
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the person who runs the tests has set may reach them."""
    for name in set(os.environ) - {TURNS}:
        if name == "RAY_ADDRESS" or name.startswith(("CLUSTERSWEEP_", "PG")):
            monkeypatch.delenv(name)


@pytest.fixture
def children() -> Iterator[Children]:
    """Starts processes that end with the test."""
    with Children() as started:
        yield started


@pytest.fixture(scope="session")
def embedded_home() -> Iterator[Home]:
    """A home whose embedded server is stopped at the end; whoever opens it first starts it."""
    folder = short_folder(server_user() if os.geteuid() == 0 else None)
    home = find_home(folder / "home", {}, os.geteuid())
    yield home
    stop_embedded(home, force=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_tcp() -> Iterator[TcpServer]:
    """A second real server, reached as one in the lab would be: over TCP with a password."""
    owner = server_user() if os.geteuid() == 0 else None
    folder = short_folder(owner)
    inside = folder / "server"
    inside.mkdir(mode=0o700)
    programs = find_programs(inside)
    if owner is not None:
        os.chown(inside, owner.uid, owner.gid)
        programs = reachable_programs(programs, inside, owner)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = TcpServer(port=probe.getsockname()[1], programs=programs, folder=inside, owner=owner)
    password_file = inside / "password"
    password_file.write_text(server.password)
    password_file.chmod(0o644)
    access = ["--auth=scram-sha-256", f"--username={server.admin}", f"--pwfile={password_file}"]
    locale = ["--encoding=UTF8", "--locale=C"]
    run_program(programs / "initdb", "-D", "data", "--no-sync", *access, *locale, folder=inside, owner=owner)
    server.start()
    try:
        setup = dataclasses.replace(server, database="postgres")
        literal = server.password.replace("'", "''")
        setup.execute(
            f"CREATE ROLE {server.user} LOGIN PASSWORD '{literal}'",
            f"CREATE DATABASE {server.database} OWNER {server.user}",
        )
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


CHROMIUM = "/usr/bin/chromium"
CHROMIUM_OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless. Where it is missing: in CI a failure, elsewhere a skip that says so."""
    if shutil.which(CHROMIUM) is None:
        message = f"{CHROMIUM} is missing: install Debian's package chromium"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def database_name(postgres_tcp: TcpServer) -> Iterator[str]:
    """An empty database of the TCP server's user, dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    postgres_tcp.execute(f"CREATE DATABASE {name} OWNER {postgres_tcp.user}")
    yield name
    postgres_tcp.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that may not be written to; root, who may do anything, becomes somebody else meanwhile."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, _NOBODY, _NOBODY)
        os.seteuid(_NOBODY)
    (folder / "closed").mkdir(mode=0o500)
    yield folder / "closed"
    if root:
        os.seteuid(0)
    shutil.rmtree(folder)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode != 0:
        pytest.skip(f"cannot mount a tiny disk here: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)
