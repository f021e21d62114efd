"""Storage in memory and on a real server, in each of the two ways to Optuna's trials."""

import dataclasses
import secrets

import optuna
import pytest
from stored_trials import url_of

from clustersweep.storage.store import Storage
from clustersweep.tasks import tasks

# Optuna's tables as they are known, and those of a version that is not known, where its interface is used.
WAYS = ["tables", "interface"]


def use(way, monkeypatch):
    """Have what connects to PostgreSQL from now on use this way."""
    if way == "interface":
        monkeypatch.setattr(optuna, "__version__", "5.99.0")


@pytest.fixture(params=WAYS)
def connect(request, monkeypatch, postgres_tcp, database_name):
    """Open an empty database on the real server, in each way."""
    use(request.param, monkeypatch)
    return lambda: Storage.connect(url_of(postgres_tcp, database_name), tasks)


@pytest.fixture(scope="session")
def shared_database(postgres_tcp):
    """A database for all of these tests, as Optuna takes longer to make its tables than any of them."""
    name = f"test_{secrets.token_hex(6)}"
    postgres_tcp.execute(f"CREATE DATABASE {name} OWNER {postgres_tcp.user}")
    yield dataclasses.replace(postgres_tcp, database=name)
    postgres_tcp.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["memory", *(pytest.param(way, marks=pytest.mark.integration) for way in WAYS)])
def storage(request, monkeypatch):
    if request.param == "memory":
        yield Storage.in_memory(tasks)
        return
    use(request.param, monkeypatch)
    server = request.getfixturevalue("shared_database")
    storage = Storage.connect(url_of(server, server.database), tasks)
    yield storage
    storage.close()
    server.execute("TRUNCATE studies RESTART IDENTITY CASCADE")
