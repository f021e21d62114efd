import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import quote

import psycopg2
import pytest
import sqlalchemy
from children import Children
from refused_urls import NO_HOME, SECRET, refusal
from servers import TcpServer

from clustersweep.errors import StorageAwayError, StorageError, StudyLockedError
from clustersweep.home import Home
from clustersweep.postgres import location as postgres
from clustersweep.postgres.location import StudyLock, open_database


def test_the_variable_is_named_where_it_is_what_was_wrong() -> None:
    assert refusal("sqlite:///x.db", where="CLUSTERSWEEP_STORAGE").startswith("CLUSTERSWEEP_STORAGE: sqlite cannot")


# Real servers


@pytest.mark.integration
def test_a_server_is_reached_by_the_option_or_the_variable(postgres_tcp: TcpServer) -> None:
    database = open_database(postgres_tcp.url, {"CLUSTERSWEEP_STORAGE": "sqlite://"}, NO_HOME)
    assert database == open_database(None, {"CLUSTERSWEEP_STORAGE": postgres_tcp.url}, NO_HOME)
    assert not database.embedded
    engine = sqlalchemy.create_engine(database.url)
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT current_user")).scalar() == postgres_tcp.user
    engine.dispose()
    port = postgres_tcp.port
    assert database.safe_url == f"postgresql+psycopg2://astronomer:***@127.0.0.1:{port}/sweeps"
    assert postgres_tcp.password not in repr(database)
    assert quote(postgres_tcp.password, safe="") not in repr(database)


@pytest.mark.integration
def test_a_password_from_the_environment_works_and_is_not_told(
    postgres_tcp: TcpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://astronomer@127.0.0.1:{postgres_tcp.port}/sweeps"
    monkeypatch.setenv("PGPASSWORD", postgres_tcp.password)
    database = open_database(url, {}, NO_HOME)
    assert database.url == database.safe_url == url.replace("postgresql:", "postgresql+psycopg2:")
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert "refuses the password of user astronomer" in refusal(url)


@pytest.mark.integration
def test_a_user_who_may_not_create_tables_is_told_what_to_grant(postgres_tcp: TcpServer, database_name: str) -> None:
    postgres_tcp.execute("CREATE ROLE reader LOGIN PASSWORD 'hunter2/@'")
    try:
        url = postgres_tcp.url_with(user="reader", password=SECRET, database=database_name)
        assert refusal(url) == (
            f"--storage: user reader may not create tables in database {database_name}. "
            "As its owner run: GRANT CREATE ON SCHEMA public TO reader"
        )
    finally:
        postgres_tcp.execute("DROP ROLE reader")


@pytest.mark.integration
def test_a_read_only_database_is_refused(postgres_tcp: TcpServer, database_name: str) -> None:
    postgres_tcp.execute(f"ALTER DATABASE {database_name} SET default_transaction_read_only = on")
    text = refusal(postgres_tcp.url_with(database=database_name), secret=postgres_tcp.password)
    assert text.startswith(f"--storage: database {database_name} is read-only. Name the primary server, or end")


# The lock


def test_names_of_owners_fit_into_what_postgresql_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    pid = os.getpid()
    monkeypatch.setattr(socket, "gethostname", lambda: "node17.cluster.example.org")
    assert postgres._application_name("efeds") == f"clustersweep launch efeds pid {pid} on node17"
    for study, host in (("s" * 200, "node17"), ("efeds", "h" * 63), ("s" * 200, "h" * 63)):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        name = postgres._application_name(study)
        assert len(name) == 63
        assert f" pid {pid} on {host[:6]}" in name
        assert name.startswith(f"clustersweep launch {study[:5]}")


def test_locks_of_studies_differ_and_are_always_the_same() -> None:
    assert postgres._key("efeds") == -3323398789681282466
    assert postgres._key("efeds") != postgres._key("efeds2")
    assert all(-(2**63) <= postgres._key(str(n)) < 2**63 for n in range(100))


@pytest.mark.integration
def test_a_second_launch_is_refused_and_told_who_has_the_study(postgres_tcp: TcpServer) -> None:
    with StudyLock.acquire(postgres_tcp.url, "efeds") as lock:
        lock.check()
        with pytest.raises(StudyLockedError) as caught:
            StudyLock.acquire(postgres_tcp.url, "efeds")
        owner = rf"clustersweep launch efeds pid {os.getpid()} on \S+, connected since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
        caught.match(rf"^study efeds is being launched already, by {owner} \S+\. Wait until that ends, or interrupt")
        assert caught.value.exit_code == 3
        StudyLock.acquire(postgres_tcp.url, "efeds2").release()
        lock.check()
    StudyLock.acquire(postgres_tcp.url, "efeds").release()


@pytest.mark.integration
def test_a_lock_given_back_is_free_when_the_call_returns(postgres_tcp: TcpServer) -> None:
    for _ in range(50):
        StudyLock.acquire(postgres_tcp.url, "efeds").release()


@pytest.mark.integration
def test_another_users_lock_counts_too(postgres_tcp: TcpServer) -> None:
    admin = postgres_tcp.url_with(user=postgres_tcp.admin)
    # Only superusers see since when a superuser is connected.
    with (
        StudyLock.acquire(admin, "efeds"),
        pytest.raises(StudyLockedError, match=rf"by clustersweep launch efeds pid {os.getpid()} on \S+\. Wait"),
    ):
        StudyLock.acquire(postgres_tcp.url, "efeds")


@pytest.mark.integration
def test_each_database_has_locks_of_its_own(postgres_tcp: TcpServer, database_name: str) -> None:
    with StudyLock.acquire(postgres_tcp.url, "efeds"):
        StudyLock.acquire(postgres_tcp.url_with(database=database_name), "efeds").release()


@pytest.mark.integration
@pytest.mark.parametrize("server", ["embedded_home", "postgres_tcp"])
def test_the_lock_of_a_killed_launch_is_free_at_once(
    server: str, request: pytest.FixtureRequest, children: Children
) -> None:
    where = request.getfixturevalue(server)
    url = where.url if isinstance(where, TcpServer) else open_database(None, {}, where).url
    script = (
        "import sys, time; from clustersweep.postgres.location import StudyLock;"
        "lock = StudyLock.acquire(sys.argv[1], 'efeds'); print('locked', flush=True); time.sleep(600)"
    )
    launch = children([sys.executable, "-c", script, url], stdout=subprocess.PIPE, text=True)
    try:
        assert launch.stdout is not None
        assert launch.stdout.readline() == "locked\n"
        with pytest.raises(StudyLockedError, match=f"by clustersweep launch efeds pid {launch.pid} on"):
            StudyLock.acquire(url, "efeds")
    finally:
        launch.send_signal(signal.SIGKILL)
        launch.communicate()
    deadline = time.monotonic() + 30
    while True:
        try:
            StudyLock.acquire(url, "efeds").release()
            break
        except StudyLockedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.integration
def test_a_lock_whose_connection_was_lost_is_taken_again(postgres_tcp: TcpServer, database_name: str) -> None:
    url = postgres_tcp.url_with(database=database_name)
    lock = StudyLock.acquire(url, "efeds")
    postgres_tcp.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database_name}'")
    lock.check()
    with pytest.raises(StudyLockedError):
        StudyLock.acquire(url, "efeds")
    lock.release()
    lock.release()
    StudyLock.acquire(url, "efeds").release()


@pytest.mark.integration
def test_a_lock_is_not_taken_again_while_the_database_is_away(postgres_tcp: TcpServer, database_name: str) -> None:
    lock = StudyLock.acquire(postgres_tcp.url_with(database=database_name), "efeds")
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database_name}'"
    postgres_tcp.execute(f"ALTER DATABASE {database_name} ALLOW_CONNECTIONS false", end)
    for _ in range(2):
        with pytest.raises(StorageAwayError, match="not currently accepting connections"):
            lock.check()
    postgres_tcp.execute(f"ALTER DATABASE {database_name} ALLOW_CONNECTIONS true")
    lock.check()
    lock.release()


@pytest.mark.integration
def test_a_lock_that_another_launch_has_taken_meanwhile_is_lost(postgres_tcp: TcpServer, database_name: str) -> None:
    url = postgres_tcp.url_with(database=database_name)
    lock = StudyLock.acquire(url, "efeds")
    lock._connection.close()
    script = (
        "import sys; from clustersweep.postgres.location import StudyLock;"
        "lock = StudyLock.acquire(sys.argv[1], 'efeds'); print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StudyLockedError, match=f"by clustersweep launch efeds pid {other.pid} on"):
            lock.check()
        other.kill()


@pytest.mark.integration
def test_a_lock_that_the_server_still_keeps_for_our_own_lost_connection_is_waited_for(
    postgres_tcp: TcpServer, database_name: str
) -> None:
    url = postgres_tcp.url_with(database=database_name)
    lock = StudyLock.acquire(url, "efeds")
    unnoticed, lock._connection = lock._connection, psycopg2.connect(url)
    lock._connection.close()
    with pytest.raises(StorageAwayError, match="still holds the lock of our own connection"):
        lock.check()
    unnoticed.close()
    for _ in range(100):
        try:
            lock.check()
            break
        except StorageAwayError:
            time.sleep(0.05)
    lock.release()


@pytest.mark.integration
def test_a_server_that_drops_idle_connections_does_not_drop_this_one(
    postgres_tcp: TcpServer, database_name: str
) -> None:
    postgres_tcp.execute(f"ALTER DATABASE {database_name} SET idle_session_timeout = '100ms'")
    with StudyLock.acquire(postgres_tcp.url_with(database=database_name), "efeds") as lock:
        time.sleep(0.3)
        lock.check()


@pytest.mark.integration
def test_a_lock_on_a_lost_database_tells_no_password(postgres_tcp: TcpServer) -> None:
    with pytest.raises(StorageError, match=r"storage: .* refuses the password of user astronomer") as caught:
        StudyLock.acquire(postgres_tcp.url_with(password=SECRET), "efeds")
    assert caught.value.__context__ is None
    assert "hunter2" not in str(caught.value)


# A password in a file


@pytest.mark.integration
def test_a_password_in_a_file_is_that_of_a_url_without_one(postgres_tcp, tmp_path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{postgres_tcp.password}\n")
    url = postgres_tcp.url_with(password="").replace(":@", "@")
    environ = {"CLUSTERSWEEP_STORAGE": url, "CLUSTERSWEEP_STORAGE_PASSWORD_FILE": str(path)}
    database = open_database(None, environ, Home(tmp_path))
    assert postgres_tcp.password not in repr(database)
    with pytest.raises(StorageError, match="refuses the password"):  # another server's is not tried with this one
        open_database(postgres_tcp.url_with(password="guess"), environ, Home(tmp_path))
    psycopg2.connect(database.url.replace("+psycopg2", "")).close()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"cannot be read: No such file or directory\. Name the file with the password"),
        (b"\xff", r"cannot be read: it is no text\. Name the file with the password"),
        (b"\n", r"is empty\. Write the database's password there, or unset it"),
    ],
)
def test_a_password_file_that_holds_none_is_an_error_that_says_so(content, says, tmp_path) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    environ = {"CLUSTERSWEEP_STORAGE": "postgresql://me@host/db", "CLUSTERSWEEP_STORAGE_PASSWORD_FILE": str(path)}
    with pytest.raises(StorageError, match=f"CLUSTERSWEEP_STORAGE_PASSWORD_FILE: {path} {says}"):
        open_database(None, environ, Home(tmp_path))


@pytest.mark.integration
def test_the_server_notices_within_half_a_minute_that_the_locks_owner_is_cut_off(postgres_tcp, database_name) -> None:
    with StudyLock.acquire(postgres_tcp.url_with(database=database_name), "efeds") as lock:
        cursor = lock._connection.cursor()
        cursor.execute("SELECT name, setting::int FROM pg_settings WHERE name LIKE 'tcp_keepalives%'")
        found = dict(cursor.fetchall())
        assert found["tcp_keepalives_idle"] + found["tcp_keepalives_count"] * found["tcp_keepalives_interval"] <= 30


# The fixtures that other tests rely on


@pytest.mark.integration
def test_the_second_server_checks_passwords_and_its_user_is_no_superuser(postgres_tcp: TcpServer) -> None:
    connection = psycopg2.connect(postgres_tcp.url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('is_superuser'), inet_server_port()")
        assert cursor.fetchone() == ("off", postgres_tcp.port)
    connection.close()


def test_nothing_set_outside_reaches_a_test() -> None:
    set_here = {"CLUSTERSWEEP_LAUNCHES"}  # by conftest, for every process of tests
    assert {name for name in os.environ if name.startswith(("CLUSTERSWEEP_", "PG"))} <= set_here
    assert "RAY_ADDRESS" not in os.environ
