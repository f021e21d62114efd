"""A PostgreSQL URL: read, written, connected to, and every failure of that explained.

Nothing here knows what the database is for. No message carries a password.
"""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import psycopg2
from psycopg2.extensions import make_dsn

from clustersweep.errors import StorageError

_FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_WRITE = f"Write {_FORM}, or give no URL to use the embedded PostgreSQL"
_SCHEMES = {"postgresql", "postgres", "postgresql+psycopg2"}
_SECRETS = {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
_TIMEOUT_S = "5"
# Names a file that holds the password: containers are given their secrets so.
PASSWORD_FILE = "CLUSTERSWEEP_STORAGE_PASSWORD_FILE"
# Variables that tell libpq and us of a database, secrets among them: no business of any process that we start.
VARIABLES = ("CLUSTERSWEEP_STORAGE", PASSWORD_FILE, "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE")

# What libpq or the server says, what that means, and what to do. That somebody answers comes before that
# nobody does: for a name with two addresses libpq reports on both.
_FAILURES = (
    (
        "password authentication failed",
        "{place} refuses the password of user {user}",
        "Check user and password",
    ),
    ("no password supplied", "{place} wants a password for user {user}", f"Write {_FORM}, or set PGPASSWORD"),
    (
        'database ".*" does not exist',
        "{place} has no database {dbname}",
        "Create it there, or correct its name",
    ),
    ('role ".*" does not exist', "{place} has no user {user}", "Create the user there, or correct the name"),
    (
        r"pg_hba\.conf",
        "{place} does not let user {user} into database {dbname} from this machine",
        "Allow it in the server's pg_hba.conf",
    ),
    (
        "too many (clients|connections)|remaining connection slots",
        "{place} has no connection to spare",
        "Close some, or raise the server's max_connections",
    ),
    ("the database system is", "{place} is starting or stopping", "Try again in a moment"),
    (
        "invalid response|expected authentication request|closed the connection|wrong version number",
        "what answers at {place} is not PostgreSQL",
        "Correct host and port (PostgreSQL's port is usually 5432)",
    ),
    (
        "timeout expired|timed out",
        "{place} does not answer in time",
        "Correct host and port, or see whether a firewall is in between",
    ),
    (
        "could not translate host name",
        "{place} is an unknown host",
        "Correct its name, or check the name service",
    ),
    ("Connection refused|No such file", "no server listens at {place}", "Start it, or correct host and port"),
    ("No route to host|is unreachable", "{place} cannot be reached from this machine", "Check the network"),
)

# A host that vanished is noticed, on either side, within half a minute.
KEEPALIVES = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}


def parse_url(where: str, url: str) -> dict[str, str]:
    """Read a URL into libpq's parameters.

    Args:
        where: Who gave it, for the messages (`--storage`).
        url: The URL.

    Raises:
        StorageError: It is none, not PostgreSQL's, or names no database.
    """
    url = url.strip()
    scheme = url.partition("://")[0].lower()
    if re.fullmatch(r"[a-z][a-z0-9+.-]{0,30}", scheme) and "://" in url and scheme not in _SCHEMES:
        raise StorageError(f"{where}: {scheme} cannot be used: results are kept in PostgreSQL. {_WRITE}")
    try:
        parameters = _split(url)
    except ValueError:  # its text, and so its traceback, may quote the password
        parameters = {}
    if not parameters:
        raise StorageError(
            f"{where}: this is not a URL (it is not shown, since it may hold a password). {_WRITE}; "
            "in the password write %25 for %, %40 for @, %3A for :, %2F for /, %3F for ?, %23 for #"
        )
    if not parameters.get("dbname"):
        raise StorageError(f"{where}: the URL names no database. Write {_FORM}")
    return parameters


def write_url(parameters: Mapping[str, str], *, hidden: bool = False) -> str:
    """Write libpq's parameters as a URL for SQLAlchemy; with *** for every secret where `hidden`."""
    rest = {key: "***" if hidden and key in _SECRETS else value for key, value in parameters.items()}
    user, password, port = rest.pop("user", ""), rest.pop("password", ""), rest.pop("port", "")
    database = quote(rest.pop("dbname"), safe="")
    host = "" if rest.get("host", "/").startswith("/") else rest.pop("host")
    login = quote(user, safe="") + (f":{quote(password, safe='*')}" if password else "")
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    query = f"?{urlencode(rest, safe='*/')}" if rest else ""
    return f"postgresql+psycopg2://{login}{'@' if login else ''}{place}/{database}{query}"


def connect(where: str, parameters: Mapping[str, str]) -> Any:
    """Open a psycopg2 connection, in seconds or not at all.

    Raises:
        StorageError: It cannot be opened; the message says why and what to do.
    """
    try:
        return psycopg2.connect(**{"connect_timeout": _TIMEOUT_S, **parameters})
    except psycopg2.Error as error:
        said = str(error)
    raise explain(where, parameters, said)  # out here the original is no part of it


def for_program(where: str, parameters: Mapping[str, str], environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return what one of PostgreSQL's programs connects with: a word for its command line, and its environment.

    Everybody can read command lines, so the password is in the environment, which only the same user and root can.

    Args:
        where: Who gave the parameters, for the message.
        parameters: libpq's.
        environ: The environment variables, of which libpq's are passed on; empty for the embedded server.

    Raises:
        StorageError: There is a secret which libpq reads from no variable.
    """
    shown = {key: value for key, value in parameters.items() if key not in _SECRETS}
    if others := sorted(_SECRETS.intersection(parameters) - {"password"}):
        rule = f"{', '.join(others)} cannot be given to PostgreSQL's own programs without showing it to other users"
        raise StorageError(f"{where}: {rule}. Use a password, or a key file without one")
    # HOME: libpq looks there for passwords and certificates.
    names = [name for name in environ if name == "HOME" or name.startswith(("PG", "KRB5"))]
    variables = {name: environ[name] for name in names}
    if "password" in parameters:
        variables["PGPASSWORD"] = parameters["password"]
    return make_dsn(**{"connect_timeout": _TIMEOUT_S, **KEEPALIVES, **shown}), variables


def explain(where: str, parameters: Mapping[str, str], said: str) -> StorageError:
    """Turn what libpq or the server said into an error that says what to do, without any password."""
    host, port = parameters.get("host", "the default socket"), parameters.get("port", "5432")
    names = {
        "place": host if host.startswith("/") else f"{host}:{port}",
        "user": parameters.get("user", "(none given)"),
        "dbname": parameters["dbname"],
    }
    for pattern, rule, remedy in _FAILURES:
        if re.search(pattern, said):
            return StorageError(f"{where}: {rule.format_map(names)}. {remedy}")
    secrets = [value for key, value in parameters.items() if key in _SECRETS]
    for secret in (*secrets, os.environ.get("PGPASSWORD", "")):
        for form in {secret, quote(secret), quote(secret, safe="")} - {""}:
            said = said.replace(form, "***")
    said = " ".join(said.split())
    return StorageError(f"{where}: {names['place']} cannot be used: {said}. Correct the URL or mend the server")


def _split(url: str) -> dict[str, str]:
    """Take a URL apart.

    Raises:
        ValueError: It is none.
    """
    parts = urlsplit(url)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    fields = {
        "user": unquote(user),
        "password": unquote(password),
        "host": parts.hostname or "",
        "port": str(parts.port or ""),
        "dbname": unquote(parts.path.removeprefix("/")),
        **dict(parse_qsl(parts.query, strict_parsing=bool(parts.query))),
    }
    # A raw #, / or ? in a password moves the rest of it into the path or the query.
    misplaced = "#" in url or "@" in parts.path or parts.port == 0
    unprintable = any(not character.isprintable() for character in url + "".join(fields.values()))
    if parts.scheme not in _SCHEMES or misplaced or unprintable:
        raise ValueError
    return {key: value for key, value in fields.items() if value}
