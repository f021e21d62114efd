"""A PostgreSQL server of the tests' own, as one in the lab, and folders that servers can live in."""

import dataclasses
import os
import tempfile
from pathlib import Path
from urllib.parse import quote

import psycopg2

from clustersweep.postgres.programs import Owner, run_program, server_user


@dataclasses.dataclass(frozen=True)
class TcpServer:
    """A PostgreSQL server with passwords on 127.0.0.1; its user owns the database and is no superuser."""

    port: int
    host: str = "127.0.0.1"
    user: str = "astronomer"
    password: str = "s3cret/@:%#? +ü&="  # whatever a URL could trip over
    database: str = "sweeps"
    admin: str = "postgres"
    programs: Path = Path()
    folder: Path = Path()
    owner: Owner | None = None

    @property
    def url(self) -> str:
        return self.url_with()

    def url_with(self, **changes: object) -> str:
        """Return the URL with some of host, port, user, password and database changed."""
        new = dataclasses.replace(self, **changes)  # type: ignore[arg-type]
        login = f"{quote(new.user, safe='')}:{quote(new.password, safe='')}"
        return f"postgresql://{login}@{new.host}:{new.port}/{new.database}"

    def start(self) -> None:
        """Start the server; returns when it answers."""
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k '' -c fsync=off"
        self._control("start", "-w", "-l", "log", "-o", options)

    def stop(self) -> None:
        """Stop the server as a crash would: connections end, nothing is written any more."""
        self._control("stop", "-m", "immediate")

    def _control(self, verb: str, *words: str) -> None:
        control = self.programs / "pg_ctl"
        run_program(control, verb, "-D", "data", *words, folder=self.folder, owner=self.owner)

    def execute(self, *statements: str) -> None:
        """Run statements as the superuser, each by itself."""
        connection = psycopg2.connect(
            host=self.host, port=self.port, user=self.admin, password=self.password, dbname=self.database
        )
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()


def short_folder(owner: Owner | None) -> Path:
    """Return a folder that a server can live in: pytest's are private to root, and too deep for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="clustersweep-", dir="/tmp"))
    if owner is not None:
        folder.chmod(0o711)
    return folder


def owner() -> Owner | None:
    """Return whom a test's server runs as, where we are root."""
    return server_user() if os.geteuid() == 0 else None
