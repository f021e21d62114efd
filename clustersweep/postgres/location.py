"""Where the database is (the embedded server or a URL), whether we can use it, and who may launch on it.

Nothing here knows Optuna's tables. No message carries a password.
"""

import hashlib
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg2

from clustersweep.errors import NOT_STORED_REMEDY, StorageAwayError, StorageError, StudyLockedError
from clustersweep.home import Home
from clustersweep.postgres import embedded
from clustersweep.postgres.embedded import ensure_running, should_run
from clustersweep.postgres.embedded import stop_embedded as stop_embedded
from clustersweep.postgres.url import KEEPALIVES, PASSWORD_FILE, connect, explain, parse_url, write_url

# What the lock's session asks of the server, where its version knows it. To sit idle is what it is for, whatever the
# server does to others; and when our machine is gone or cut off, the server frees the lock within half a minute, where
# its own default would take two hours.
_SESSION = {
    "idle_session_timeout": "0",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
# PostgreSQL shows an advisory lock's 64 bits as two halves.
_OWNER = """
    SELECT coalesce(nullif(application_name, ''), 'process ' || pid || ' of the server'), backend_start
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND classid::bigint = %s AND objid::bigint = %s AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True)
class Database:
    """A database that was reached.

    Attributes:
        url: For SQLAlchemy, with the password: show `safe_url` instead.
        embedded: Whether it is the embedded server's.
    """

    url: str = field(repr=False)
    embedded: bool

    @property
    def safe_url(self) -> str:
        """The URL with *** for the password."""
        return write_url(parse_url("url", self.url), hidden=True)

    def name(self, home: Home) -> str:
        """Return what a person knows it by: the home of the embedded one, else `safe_url`."""
        return f"the home {home.path}" if self.embedded else self.safe_url


def open_database(storage_option: str | None, environ: Mapping[str, str], home: Home) -> Database:
    """Find the database (`--storage`, else `CLUSTERSWEEP_STORAGE`, else the embedded one) and connect once.

    Side effects: starts the embedded server where it is to be used; it outlives this process.

    A URL without a password has that of the file that `CLUSTERSWEEP_STORAGE_PASSWORD_FILE` names.

    Args:
        storage_option: The value of `--storage`.
        environ: The environment variables.
        home: Where the embedded server lives.

    Raises:
        StorageError: The URL is wrong, or there is no database behind it that we can use.
    """
    if storage_option is not None:
        where, given = "--storage", storage_option
    elif environ.get("CLUSTERSWEEP_STORAGE"):
        where, given = "CLUSTERSWEEP_STORAGE", environ["CLUSTERSWEEP_STORAGE"]
    else:
        return Database(write_url(ensure_running(home)), embedded=True)
    parameters = _password_of_file(environ) | parse_url(where, given)
    _check_rights(where, parameters)
    return Database(write_url(parameters), embedded=False)


def database_to_read(storage_option: str | None, environ: Mapping[str, str], home: Home) -> Database:
    """Do as `open_database` for whoever only reads: an embedded server that was never made is not made now.

    Raises:
        StorageError: As `open_database`; or nothing was ever stored in this home.
    """
    if storage_option is None and not environ.get("CLUSTERSWEEP_STORAGE") and not embedded.exists(home):
        raise StorageError(
            f"nothing was ever launched in the home {home.path}: there is no study in it. {NOT_STORED_REMEDY}"
        )
    return open_database(storage_option, environ, home)


def database_at_hand(storage_option: str | None, environ: Mapping[str, str], home: Home) -> Database | None:
    """Do as `open_database`, but start nothing: None where the embedded server does not run.

    Raises:
        StorageError: A URL is given, and there is no database behind it that we can use.
    """
    if storage_option is not None or environ.get("CLUSTERSWEEP_STORAGE"):
        return open_database(storage_option, environ, home)
    parameters = embedded.running(home)
    return None if parameters is None else Database(write_url(parameters), embedded=True)


def holds_studies(database: Database) -> bool:
    """Say whether Optuna's tables are in a database. Makes none, as connecting to it with Optuna would."""
    [row] = _ask(database, "SELECT to_regclass('studies') IS NOT NULL", [()])
    return row is not None and bool(row[0])


def living_launch(database: Database, study: str) -> str | None:
    """Name the launch of a study that lives, as the lock's owner names itself; None where none does."""
    return living_launches(database, [study]).get(study)


def living_launches(database: Database, studies: Sequence[str]) -> dict[str, str]:
    """Name the launches of some studies that live, by study, as `living_launch` does."""
    numbers = map(_key, studies)
    rows = _ask(database, _OWNER, [(number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF) for number in numbers])
    return {study: str(row[0]) for study, row in zip(studies, rows, strict=True) if row is not None}


def _ask(database: Database, query: str, values: Iterable[Sequence[object]]) -> list[tuple[Any, ...] | None]:
    """Ask for one row for each of some values, all on one connection of its own.

    Raises:
        StorageError: The database cannot be reached.
    """
    parameters = parse_url("storage", database.url)
    connection = connect("storage", parameters)
    try:
        with connection.cursor() as cursor:
            rows: list[tuple[Any, ...] | None] = []
            for one in values:
                cursor.execute(query, one)
                rows.append(cursor.fetchone())
            return rows
    except psycopg2.Error as error:
        said = str(error)
    finally:
        connection.close()
    raise explain("storage", parameters, said)


def start_again(database: Database, home: Home) -> None:
    """Start an embedded server that was killed; one that was stopped on purpose stays so.

    Raises:
        StorageError: It cannot be started.
    """
    if database.embedded and should_run(home):
        ensure_running(home)


def _password_of_file(environ: Mapping[str, str]) -> dict[str, str]:
    """Read the password from the file that `CLUSTERSWEEP_STORAGE_PASSWORD_FILE` names: a secret of a container's.

    Raises:
        StorageError: It cannot be read, or is empty.
    """
    path = environ.get(PASSWORD_FILE)
    if not path:
        return {}
    try:
        password = Path(path).read_text().strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StorageError(f"{PASSWORD_FILE}: {path} cannot be read: {why}. Name the file with the password") from None
    if not password:
        raise StorageError(f"{PASSWORD_FILE}: {path} is empty. Write the database's password there, or unset it")
    return {"password": password}


def _check_rights(where: str, parameters: Mapping[str, str]) -> None:
    """Refuse a database that could not hold our tables, with the usual reasons for that."""
    query = (
        "SELECT current_setting('transaction_read_only') = 'on', to_regclass('studies') IS NOT NULL"
        " OR coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
    )
    connection = connect(where, parameters)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            read_only, can_create = cursor.fetchone()
        said = ""
    except psycopg2.Error as error:
        said = str(error)
    finally:
        connection.close()
    database = parameters["dbname"]
    if said:
        raise explain(where, parameters, said)
    if read_only:
        remedy = "Name the primary server, or end the database's default_transaction_read_only"
        raise StorageError(f"{where}: database {database} is read-only. {remedy}")
    if not can_create:
        user = parameters.get("user", "this user")
        remedy = f"As its owner run: GRANT CREATE ON SCHEMA public TO {user}"
        raise StorageError(f"{where}: user {user} may not create tables in database {database}. {remedy}")


class StudyLock:
    """The right to launch one study: an advisory lock on a connection of its own.

    The server frees it when the connection ends, so a killed owner frees it at once. A connection pooler in
    transaction mode breaks that: connect to PostgreSQL itself.
    """

    def __init__(self, connection: Any, url: str, study: str) -> None:
        self._connection, self._url, self._study = connection, url, study

    @classmethod
    def acquire(cls, url: str, study: str) -> Self:
        """Take the lock, or say who has it.

        Args:
            url: The database's URL.
            study: The study's name.

        Raises:
            StudyLockedError: Another launch of the study is alive.
            StorageError: The database cannot be reached.
        """
        parameters = parse_url("storage", url)
        name = {"application_name": _application_name(study)}
        connection = connect("storage", parameters | KEEPALIVES | name)
        try:
            owner = _take(connection, study)
        except psycopg2.Error as error:
            said = str(error)
        else:
            if owner is None:
                return cls(connection, url, study)
            said = ""
        connection.close()
        if said:
            raise explain("storage", parameters, said)
        raise StudyLockedError(
            f"study {study} is being launched already, by {owner}. Wait until that ends, or interrupt it: "
            "a relaunch goes on where it stopped"
        )

    def check(self) -> None:
        """Make sure that we still have it; where the connection was lost, and the lock with it, take it again.

        Raises:
            StudyLockedError: Another launch of the study has begun meanwhile.
            StorageAwayError: The database does not answer; or it has not noticed yet that we had gone.
        """
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            return
        except psycopg2.Error:
            self._connection.close()
        try:
            self._connection = StudyLock.acquire(self._url, self._study)._connection
        except StudyLockedError as error:
            if _application_name(self._study) not in str(error):
                raise
            raise StorageAwayError("the server still holds the lock of our own connection that was lost") from None
        except StorageError as error:
            raise StorageAwayError(str(error)) from None

    def release(self) -> None:
        """Give the lock back; once is enough, twice does no harm."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_key(self._study)])
        except psycopg2.Error:
            pass  # the connection is lost or closed, and the lock went with it
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _key(study: str) -> int:
    """Return the lock's number: 64 bits that no other program and no other study would choose."""
    return int.from_bytes(hashlib.sha256(f"clustersweep launch {study}".encode()).digest()[:8], signed=True)


def _take(connection: Any, study: str) -> str | None:
    """Try to take the lock; give its owner where that fails."""
    connection.autocommit = True
    number = _key(study)
    with connection.cursor() as cursor:
        for name, value in _SESSION.items():
            cursor.execute("SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s", [value, name])
        for _ in range(20):
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
            if cursor.fetchone()[0]:
                return None
            cursor.execute(_OWNER, [number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF])
            if (row := cursor.fetchone()) is not None:
                owner, since = row
                # Only its own role and superusers may see since when.
                return f"{owner}, connected since {since.astimezone():%Y-%m-%d %H:%M:%S %Z}" if since else str(owner)
            time.sleep(0.05)  # it was given back in between
    return "launches that come and go"


def _application_name(study: str) -> str:
    """Name the owner within PostgreSQL's 63 bytes: of long names the study's and the host's ends are cut."""
    host = socket.gethostname().partition(".")[0]
    room = 63 - len(f"clustersweep launch  pid {os.getpid()} on ")
    host = host[: max(room - len(study), room // 2)]
    return f"clustersweep launch {study[: room - len(host)]} pid {os.getpid()} on {host}"
