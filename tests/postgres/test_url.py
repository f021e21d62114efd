"""A database's URL: what it may look like, what a program is given of it, and what is told of one that fails."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import sqlalchemy
from refused_urls import SECRET, refusal
from servers import TcpServer

from clustersweep.errors import StorageError
from clustersweep.postgres.location import Database
from clustersweep.postgres.url import explain, for_program, parse_url, write_url

# What a URL may look like


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "postgres", "PostgreSQL"])
def test_a_url_is_read_into_parameters(scheme: str) -> None:
    expected = {"user": "ann", "password": "pw", "host": "db.lab", "port": "5433", "dbname": "sweeps"}
    assert parse_url("x", f"{scheme}://ann:pw@db.lab:5433/sweeps") == expected


@pytest.mark.parametrize(
    "parameters",
    [
        {"dbname": "sweeps"},
        {"user": "a b", "password": SECRET + "%:?#&= +ü", "host": "db.lab", "port": "1", "dbname": "x y/z"},
        {"user": "ann", "host": "::1", "port": "5432", "dbname": "sweeps"},
        {"user": "ann", "password": "pw", "host": "/var/run/my sockets", "port": "5432", "dbname": "sweeps"},
        {"host": "db.lab", "dbname": "sweeps", "sslmode": "verify-full", "options": "-c search_path=a,b"},
    ],
)
def test_a_written_url_means_the_same_to_us_and_to_sqlalchemy(parameters: dict[str, str]) -> None:
    url = write_url(parameters)
    assert parse_url("x", url) == parameters
    dialect = sqlalchemy.create_engine(url).dialect
    _, arguments = dialect.create_connect_args(sqlalchemy.make_url(url))
    assert {key: str(value) for key, value in arguments.items()} == parameters


@pytest.mark.parametrize(
    "url", ["postgresql://ann@h/d?password=", "postgresql://ann:other@h/d?sslpassword=x&password="]
)
def test_a_password_in_the_query_counts_and_is_hidden(url: str) -> None:
    database = Database(write_url(parse_url("x", url + quote(SECRET, safe=""))), embedded=False)
    assert sqlalchemy.make_url(database.url).password == SECRET
    assert database.safe_url.startswith("postgresql+psycopg2://ann:***@h/d")
    assert "sslpassword=x" not in database.safe_url
    assert "hunter2" not in repr(database) + database.safe_url


@pytest.mark.parametrize("scheme", ["sqlite", "mysql+pymysql", "postgresql+asyncpg", "redis"])
def test_another_kind_of_database_is_refused(scheme: str) -> None:
    assert refusal(f"{scheme}://ann:{SECRET}@h/d") == (
        f"--storage: {scheme} cannot be used: results are kept in PostgreSQL. Write "
        "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or give no URL to use the embedded PostgreSQL"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sweeps",
        f"host=h user=ann password={SECRET}",
        f"ann:{SECRET}@h/d",
        f"postgresql://ann:{SECRET}@h/d",  # the password's own / ends the host
        "postgresql://ann:12/hunter2/@@h/d",
        "postgresql://ann:12?hunter2/@@h/d",
        "postgresql://ann:12#hunter2/@@h/d",
        f"postgresql://ann:{quote(SECRET)}@h:port/d",
        f"postgresql://ann:{quote(SECRET)}@h:0/d",
        f"postgresql://ann:{quote(SECRET)}@h:70000/d",
        f"postgresql://ann:{quote(SECRET)}@[::1/d",
        f"postgresql://ann:{quote(SECRET, safe='')}@h/d?sslmode",
        f"postgresql://ann:{quote(SECRET, safe='')}%00@h/d",
        f"postgresql://ann:{quote(SECRET, safe='')}@h\n/d",
    ],
)
def test_what_is_no_url_is_refused_without_showing_it(url: str) -> None:
    text = refusal(url, where="--storage")
    assert text.startswith("--storage: this is not a URL (it is not shown, since it may hold a password). Write ")
    assert "in the password write %25 for %, %40 for @, %3A for :, %2F for /" in text


def test_a_url_without_a_database_is_refused() -> None:
    text = refusal(f"postgresql://ann:{quote(SECRET, safe='')}@h")
    assert text == "--storage: the URL names no database. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


def test_an_option_that_postgresql_does_not_know_is_named() -> None:
    text = refusal(f"postgresql://ann:{quote(SECRET, safe='')}@h/d?pasword=x")
    assert '--storage: h:5432 cannot be used: invalid dsn: invalid connection option "pasword"' in text


# What a program is given


def test_a_program_is_given_what_libpq_reads_and_nothing_else():
    parameters = {"user": "ann", "password": "pw", "host": "h", "dbname": "it's", "sslmode": "require"}
    environ = {"PGSSLROOTCERT": "x", "HOME": "/home/ann", "KRB5CCNAME": "y", "SECRET": "z", "PGPASSWORD": "other"}
    word, variables = for_program("--storage", parameters, environ)
    assert "dbname=it\\'s" in word
    assert "sslmode=require" in word
    assert "pw" not in word
    kept = {"PGSSLROOTCERT": "x", "HOME": "/home/ann", "KRB5CCNAME": "y", "PGPASSWORD": "pw"}
    assert variables == kept


def test_a_secret_that_only_a_command_line_could_carry_is_refused():
    with pytest.raises(StorageError) as caught:
        for_program("storage", {"dbname": "d", "sslpassword": "hunter2"}, {})
    assert type(caught.value) is StorageError
    assert str(caught.value) == (
        "storage: sslpassword cannot be given to PostgreSQL's own programs without showing it to other users. "
        "Use a password, or a key file without one"
    )


# What is told


@pytest.mark.parametrize("said", [f"no {SECRET}", f"no {quote(SECRET)}", f"no {quote(SECRET, safe='')}", "no PGpw"])
def test_a_message_that_quotes_a_password_is_cleaned(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "PGpw")
    error = explain("--storage", {"host": "h", "dbname": "d", "password": SECRET}, said + "\n\tat  all\n")
    assert str(error) == "--storage: h:5432 cannot be used: no *** at all. Correct the URL or mend the server"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            'connection to server at "h" (::1), port 5432 failed: Connection refused\n\tIs the server running?\n'
            'connection to server at "h" (127.0.0.1), port 5432 failed: FATAL:  password authentication failed for',
            "h:5432 refuses the password of user ann. Check user and password",
        ),
        ('FATAL:  role "ann" does not exist', "h:5432 has no user ann. Create the user there, or correct the name"),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ann", database "d", no encryption',
            "h:5432 does not let user ann into database d from this machine. Allow it in the server's pg_hba.conf",
        ),
        (
            "FATAL:  sorry, too many clients already",
            "h:5432 has no connection to spare. Close some, or raise the server's max_connections",
        ),
        ("FATAL:  the database system is starting up", "h:5432 is starting or stopping. Try again in a moment"),
        ("failed: No route to host", "h:5432 cannot be reached from this machine. Check the network"),
        (
            "SSL error: certificate verify failed",
            "h:5432 cannot be used: SSL error: certificate verify failed. Correct the URL or mend the server",
        ),
    ],
)
def test_what_the_server_says_is_explained(said: str, message: str) -> None:
    error = explain("--storage", {"host": "h", "user": "ann", "dbname": "d", "password": SECRET}, said)
    assert str(error) == f"--storage: {message}"


@pytest.mark.integration
def test_a_wrong_password_is_refused(postgres_tcp: TcpServer) -> None:
    place = f"127.0.0.1:{postgres_tcp.port}"
    message = f"--storage: {place} refuses the password of user astronomer. Check user and password"
    assert refusal(postgres_tcp.url_with(password=SECRET)) == message
    assert refusal(f"postgresql://astronomer@{place}/sweeps?password={quote(SECRET, safe='')}") == message


@pytest.mark.integration
def test_a_forgotten_password_says_where_to_put_it(postgres_tcp: TcpServer) -> None:
    text = refusal(f"postgresql://astronomer@127.0.0.1:{postgres_tcp.port}/sweeps")
    assert "wants a password for user astronomer. Write postgresql://USER:PASSWORD@" in text
    assert text.endswith("or set PGPASSWORD")


@pytest.mark.integration
def test_a_missing_database_is_named(postgres_tcp: TcpServer) -> None:
    text = refusal(postgres_tcp.url_with(database="galaxies"), secret=postgres_tcp.password)
    assert text.endswith("has no database galaxies. Create it there, or correct its name")


@pytest.mark.integration
def test_a_port_where_nobody_listens_is_refused(postgres_tcp: TcpServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # taken, and not listening
        port = taken.getsockname()[1]
        text = refusal(postgres_tcp.url_with(port=port), secret=postgres_tcp.password)
    assert text == f"--storage: no server listens at 127.0.0.1:{port}. Start it, or correct host and port"


def test_a_socket_that_is_not_there_is_refused() -> None:
    text = refusal(f"postgresql://ann:{quote(SECRET, safe='')}@/d?host=/nonexistent")
    assert text == "--storage: no server listens at /nonexistent. Start it, or correct host and port"


@pytest.mark.integration
def test_an_unknown_host_is_named() -> None:
    text = refusal(f"postgresql://ann:{quote(SECRET, safe='')}@nowhere.invalid/d")
    assert text == "--storage: nowhere.invalid:5432 is an unknown host. Correct its name, or check the name service"


@contextlib.contextmanager
def something_else(answer: bytes | None, *, first: bool) -> Iterator[int]:
    """Serve something that is not PostgreSQL: say `answer` first or after a question; None says nothing at all."""
    done = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)

    def serve() -> None:
        clients = []
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                client = listener.accept()[0]
                clients.append(client)
                if answer is not None:
                    with contextlib.suppress(OSError):
                        if not first:
                            client.recv(100)
                        client.sendall(answer)
                        client.close()
        for client in clients:
            client.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        done.set()
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("answer", "first"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", True),
        (b"J\x00\x00\x00\x0a8.0.36\x00" + bytes(66), True),  # MySQL
        (b"-ERR unknown command\r\n", False),  # Redis
        (b"", False),  # hangs up
    ],
)
def test_what_is_not_postgresql_is_recognised(answer: bytes, first: bool) -> None:
    with something_else(answer, first=first) as port:
        text = refusal(f"postgresql://ann:{quote(SECRET, safe='')}@127.0.0.1:{port}/d")
    assert text == (
        f"--storage: what answers at 127.0.0.1:{port} is not PostgreSQL. "
        "Correct host and port (PostgreSQL's port is usually 5432)"
    )


@pytest.mark.integration
def test_a_server_that_says_nothing_does_not_hang_us() -> None:
    before = time.monotonic()
    with something_else(None, first=False) as port:
        text = refusal(f"postgresql://ann:{quote(SECRET, safe='')}@127.0.0.1:{port}/d?connect_timeout=2")
    assert time.monotonic() - before < 60  # libpq alone would wait for ever
    assert text.startswith(f"--storage: 127.0.0.1:{port} does not answer in time. Correct host and port, or see")
