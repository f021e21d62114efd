"""A dump of one schema: as it was at one moment, whole or refused, and loaded within a transaction."""

import contextlib

import psycopg2
import pytest

from clustersweep.errors import DataError
from clustersweep.postgres.dump import load_dump, read_dump, write_dump
from clustersweep.postgres.url import parse_url

pytestmark = pytest.mark.integration

ROWS = [("tab\t, \\. and \\N", 0.5), ("two\nlines", None), ("é", float("inf"))]


@pytest.fixture
def parameters(postgres_tcp, database_name):
    """A database with two tables in its schema, and one in another."""
    found = parse_url("test", postgres_tcp.url_with(database=database_name))
    with connected(found) as cursor:
        cursor.execute("CREATE TABLE clusters (name text, z float); CREATE TABLE fields AS SELECT 7 AS number")
        cursor.execute("CREATE SCHEMA other; CREATE TABLE other.stars ()")
        cursor.executemany("INSERT INTO clusters VALUES (%s, %s)", ROWS)
    return found


@contextlib.contextmanager
def connected(parameters, *, keep=True):
    """Give a cursor in a transaction, which is kept or taken back at the end."""
    connection = psycopg2.connect(**parameters)
    connection.set_session(isolation_level="REPEATABLE READ")
    try:
        yield connection.cursor()
        connection.commit() if keep else connection.rollback()
    finally:
        connection.close()


def dumped(to, parameters, meanwhile=""):
    """Dump the schema as it is now, also where something is done meanwhile."""
    with connected(parameters) as cursor:
        cursor.execute("SELECT pg_export_snapshot()")
        [snapshot] = cursor.fetchone()
        if meanwhile:
            with connected(parameters) as other:
                other.execute(meanwhile)
        write_dump(to, parameters, {}, schema="public", snapshot=snapshot)
    return to


def rows(cursor):
    cursor.execute("SELECT name, z FROM public.clusters")  # a dump clears the search path
    return cursor.fetchall()


def test_a_dump_is_of_its_schema_alone_at_the_moment_of_its_snapshot_and_its_owners_alone(parameters, tmp_path):
    path = dumped(
        tmp_path / "x.dump", parameters, meanwhile="DELETE FROM clusters; DELETE FROM fields; CREATE TABLE later ()"
    )
    dump = read_dump(path)
    assert dump.tables == {"public": frozenset({"clusters", "fields"})}
    assert path.stat().st_mode & 0o777 == 0o600
    with connected(parameters) as cursor:
        assert rows(cursor) == []
        load_dump(dump, "public", cursor)
        assert rows(cursor) == ROWS
        cursor.execute("SELECT number FROM public.fields")
        assert cursor.fetchall() == [(7,)]


def test_what_was_loaded_is_gone_with_the_transaction(parameters, tmp_path):
    dump = read_dump(dumped(tmp_path / "x.dump", parameters))
    with connected(parameters) as cursor:
        cursor.execute("UPDATE clusters SET name = 'mine'")
    with connected(parameters, keep=False) as cursor:
        load_dump(dump, "public", cursor)
        assert rows(cursor) == ROWS
    with connected(parameters) as cursor:
        assert {name for name, _ in rows(cursor)} == {"mine"}


def test_a_file_that_is_there_is_never_written_over(parameters, tmp_path):
    (tmp_path / "x.dump").write_text("precious")
    with pytest.raises(FileExistsError):
        dumped(tmp_path / "x.dump", parameters)
    assert (tmp_path / "x.dump").read_text() == "precious"


def test_a_dump_that_is_cut_short_or_not_there_is_refused(parameters, tmp_path):
    path = dumped(tmp_path / "x.dump", parameters)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"x\.dump: is no backup, or a damaged one \(pg_restore: error: "):
        read_dump(path)
    with pytest.raises(DataError, match=r"y\.dump: cannot be read: no such file or directory\. Give a file"):
        read_dump(tmp_path / "y.dump")
