"""Backups: every study of a database in one file, and back into an empty database. Run folders are not in them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from psycopg2.sql import SQL, Identifier

from clustersweep.errors import DataError, Problem, StorageError
from clustersweep.files import beside
from clustersweep.postgres.dump import Dump, load_dump, read_dump, write_dump
from clustersweep.postgres.location import Database
from clustersweep.postgres.url import KEEPALIVES, connect, parse_url
from clustersweep.storage.store import LOCK_TABLES

# Optuna's tables that have rows although nothing is stored.
_VERSIONS = {"version_info", "alembic_version"}
_STUDIES = """
    SELECT study_name, count(trial_id) FROM studies LEFT JOIN trials USING (study_id) GROUP BY 1 ORDER BY 1
"""
_WHERE = "SELECT nspname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE pg_class.oid = to_regclass(%s)"
_THERE = """
    SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE nspname = current_schema() AND relkind IN ('r', 'p', 'f')
"""


@dataclass(frozen=True)
class Backup:
    """What a backup holds.

    Attributes:
        studies: The number of trials by the name of the study.
        size_bytes: How large the file is.
    """

    studies: Mapping[str, int]
    size_bytes: int


def back_up(database: Database, to: Path, environ: Mapping[str, str], *, force: bool = False) -> Backup:
    """Write every study of a database into a file of mode 0600; launches go on meanwhile.

    All of it is as it was at one moment. The file is read back before it gets its name.

    Args:
        database: Which.
        to: The file.
        environ: The environment variables, which may tell libpq more about a server of the user's own.
        force: Whether to replace a file that is there already.

    Raises:
        DataError: There is a file of that name.
        StorageError: There is no study, the server is too new or does not answer, or the disk is full.
    """
    if to.is_dir() or (to.exists() and not force):
        rule, remedy = "is there already", "Write to another file, or replace it with --force."
        if to.is_dir():
            rule, remedy = "is a folder", f"Give a file, e.g. {to / 'clustersweep.dump'}."
        raise DataError([Problem(str(to), "", "", rule, remedy)])
    parameters = parse_url("storage", database.url)
    # The embedded server's parameters are complete.
    outside = {} if database.embedded else environ
    with beside(to, "the backup") as part:
        with _transaction(parameters, "storage: nothing was backed up") as cursor:
            cursor.connection.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
            cursor.execute("SET idle_in_transaction_session_timeout = 0")  # it waits for the dump
            cursor.execute(_WHERE, ["studies"])
            schema = cursor.fetchone()
            studies = _studies(cursor) if schema is not None else {}
            if schema is None or not studies:
                raise StorageError(f"there is no study in {database.safe_url}, so there is nothing to back up")
            cursor.execute("SELECT pg_export_snapshot()")
            snapshot = cursor.fetchone()[0]
            write_dump(part, parameters, outside, schema=schema[0], snapshot=snapshot)
        read_dump(part)
        size = part.stat().st_size
    return Backup(studies, size)


def restore(database: Database, path: Path, *, lock_timeout_s: float = 10.0) -> Mapping[str, int]:
    """Bring every study of a backup into a database without any: all or nothing. Gives their trials by name.

    Only a backup of one's own should be restored: it may hold any SQL, which runs as the database's user.

    Args:
        database: Where to.
        path: The backup.
        lock_timeout_s: How long whoever is about to write to the database is waited for.

    Raises:
        DataError: The file is no backup, or is damaged, cut short or of a newer PostgreSQL.
        StorageError: The database holds something already, refuses what is in the file, or does not answer.
    """
    dump = read_dump(path)
    parameters = parse_url("storage", database.url)
    with _transaction(parameters, f"{path}: nothing was restored") as cursor:
        cursor.execute("SELECT current_schema()")
        schema = cursor.fetchone()[0]
        _require_ours(dump, schema, parameters)
        cursor.execute("SET LOCAL lock_timeout = %s", [f"{1000 * lock_timeout_s:.0f}ms"])
        _require_empty(cursor, dump.tables[schema], database)
        load_dump(dump, schema, cursor)
        cursor.execute("RESET search_path")
        return _studies(cursor)


@contextmanager
def _transaction(parameters: Mapping[str, str], failed: str) -> Iterator[Any]:
    """Return a cursor in a transaction, which ends with the block; what the server refuses is told after `failed`."""
    name = {"application_name": f"clustersweep pid {os.getpid()}"}
    connection = connect("storage", {**parameters, **KEEPALIVES, **name})
    said = ""
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    except psycopg2.Error as error:
        said = str(error)
    finally:
        connection.close()
    if said:
        raise StorageError(f"{failed}: {' '.join(said.split())}. Mend that and type the same again")


def _studies(cursor: Any) -> Mapping[str, int]:
    cursor.execute(_STUDIES)
    return dict(cursor.fetchall())


def _require_ours(dump: Dump, schema: str, parameters: Mapping[str, str]) -> None:
    """Refuse a dump of something else, and one whose tables would lie where nobody looks for them.

    Raises:
        DataError: It holds no studies.
        StorageError: It is of another schema than the database's.
    """
    ours = sorted(name for name, tables in dump.tables.items() if {"studies", "trials", *_VERSIONS} <= tables)
    if not ours:
        remedy = "Give a file that `clustersweep backup` wrote."
        raise DataError([Problem(str(dump.path), "", "", "is a dump of something else than studies", remedy)])
    if schema not in ours:
        user, database = parameters.get("user", "this user"), parameters["dbname"]
        raise StorageError(
            f"the backup's tables are in schema {ours[0]}, and user {user} of database {database} works in schema "
            f"{schema}. As the database's owner run: CREATE SCHEMA IF NOT EXISTS {ours[0]}; "
            f"ALTER DATABASE {database} SET search_path = {ours[0]}"
        )


def _require_empty(cursor: Any, names: frozenset[str], database: Database) -> None:
    """Refuse a database with anything that would be lost or mixed up, and keep it as it is until the transaction ends.

    Optuna's tables without a study are nothing: any verb that looks into an empty database makes them.

    Raises:
        StorageError: There are studies, or tables of others.
    """
    cursor.execute(LOCK_TABLES)
    cursor.execute(_THERE)
    there = {name for (name,) in cursor.fetchall()}
    if foreign := sorted(there - names):
        rule = f"holds tables of something else: {', '.join(foreign)}"
        raise StorageError(f"{database.safe_url} {rule}. Restore into a database of its own")
    for name in sorted(there):
        cursor.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(Identifier(name)))
    if "studies" in there and "trials" in there and (studies := _studies(cursor)):
        raise StorageError(
            f"{database.safe_url} holds studies already: {', '.join(studies)}. Restore into another database, or "
            "remove them first with `clustersweep remove`"
        )
    for name in sorted(there - _VERSIONS):
        cursor.execute(SQL("SELECT EXISTS (SELECT FROM {})").format(Identifier(name)))
        if cursor.fetchone()[0]:
            raise StorageError(f"{database.safe_url} holds a table {name} with rows. Restore into another database")
