"""A database URL becomes an engine, or a clear error."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import NullPool

from llmkit.errors import ConfigError, LedgerUnavailable, MissingExtra
from llmkit.ledger.base import NoLedgerYet

_HINT = (
    "Set ledger.database (or --database) to a URL such as sqlite:///path/to/file.db"
    " or postgresql://user:password@host/name."
)
_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}

# A killed worker loses nothing with NORMAL: what is committed is with the operating system. Only a
# power cut can take the last rows, and leaves the file sound. FULL would put a disk flush before
# the first byte of each call.
_WAL = "PRAGMA journal_mode = WAL"
_SQLITE_SETUP = (
    "PRAGMA busy_timeout = 1000",
    _WAL,
    "PRAGMA synchronous = NORMAL",
)
_WAL_WAITS = (0.01, 0.03, 0.1, 0.3, 0.5)  # s; others hold the file for microseconds
_LONG = 8  # letters of a password that no word of a message has by chance
_POSTGRES_SETUP = ("SET lock_timeout = '1s'", "SET statement_timeout = '4s'")
_POSTGRES_CONNECT = {
    "connect_timeout": 5,
    "tcp_user_timeout": 5000,
}  # s; ms, for a host that vanishes


def database_url(text: str) -> URL:
    """Read the URL of a SQLite or PostgreSQL database; the driver is always the one llmkit uses.

    Raises:
        ConfigError: it is no URL, or is of another database, or of a folder that does not exist.
    """
    url = _supported(text)
    return _absolute(url) if url.drivername == "sqlite" else url


def check(text: str) -> Path | None:
    """See that a database can be the ledger's own, as far as that is known before anything connects.

    Returns:
        The file that it is, if it is one.

    Raises:
        ConfigError: it is no URL, or is of another kind.
        MissingExtra: the driver is not installed.
    """
    url = database_url(text)
    new_engine(url)
    return file_of(url)


def check_kind(text: str, *, own: bool) -> None:
    """See that a host's database is of a kind that the ledger can use, wherever it is.

    Args:
        text: its URL.
        own: whether the ledger has a connection of its own to it, and so needs its own driver.

    Raises:
        ConfigError: it is no URL, or is of another kind.
        MissingExtra: the driver is not installed.
    """
    url = _supported(text)
    if own:
        new_engine(url)


def _supported(text: str) -> URL:
    try:
        url = sa.make_url(text)
    except (exc.ArgumentError, ValueError):
        raise ConfigError("the ledger's database is not a URL", hint=_HINT) from None
    backend = url.drivername.partition("+")[0]
    if backend not in _DRIVERS:
        raise not_supported(backend)
    return url.set(drivername=_DRIVERS[backend])


def is_in_memory(url: URL) -> bool:
    """Whether a database is in this process alone."""
    if url.get_backend_name() != "sqlite":
        return False
    name = url.database or ":memory:"
    return ":memory:" in name or url.query.get("mode") == "memory" or "mode=memory" in name


def file_of(url: URL) -> Path | None:
    """Return the file that a database is; None if it is none, or is named in a way of SQLite's own."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name.startswith("file:"):
        return None
    return Path(name)


def not_supported(backend: str) -> ConfigError:
    """Make the error for a kind of database that the ledger cannot use."""
    return ConfigError(f"the ledger does not support {backend!r} databases", hint=_HINT)


def _absolute(url: URL) -> URL:
    """Fix the file's place, since a process may change its folder later."""
    if not url.database or is_in_memory(url):
        raise ConfigError(
            "the ledger's database is in memory, where no other process can read it", hint=_HINT
        )
    if url.database.startswith("file:"):
        return url
    path = Path(url.database).absolute()
    if not path.parent.is_dir():
        raise ConfigError(
            f"the folder of the ledger's database, {path.parent}, does not exist",
            hint="Create it, or choose another file (ledger.database, or --database).",
        )
    return url.set(database=str(path))


def new_engine(url: URL) -> Engine:
    """Make an engine that keeps no connections.

    Raises:
        MissingExtra: the driver is not installed.
        ConfigError: the URL has options that the driver does not know.
    """
    options: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        # Positional parameters, as SQLite has them, so that a row is one tuple.
        options = {"connect_args": _POSTGRES_CONNECT, "paramstyle": "format"}
    try:
        return sa.create_engine(url, poolclass=NullPool, hide_parameters=True, **options)
    except ImportError as error:
        raise MissingExtra(error.name or url.get_driver_name(), "sql") from error
    except (exc.SQLAlchemyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"the ledger's database cannot be used ({type(error).__name__})", hint=_HINT
        ) from None


def connect_to_read(url: URL) -> Connection:
    """Open a connection that only reads, and creates no file.

    Raises:
        NoLedgerYet: the file is not there.
        SQLAlchemyError: the database does not serve.
    """
    return new_engine(_read_only(url)).connect()


def _read_only(url: URL) -> URL:
    """Open a SQLite file so that reading does not create it."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith("file:"):
        return url
    path = Path(url.database)
    if not path.is_file():
        raise no_file(path)
    return URL.create("sqlite", database=path.as_uri(), query={"mode": "ro", "uri": "true"})


def no_file(path: Path) -> NoLedgerYet:
    """Make the error for a file that is not there."""
    return NoLedgerYet(
        f"there is no database {path}", hint="The first call creates it. Or choose another file."
    )


def set_up(connection: Connection) -> None:
    """Bound how long this connection waits for others."""
    is_sqlite = connection.dialect.name == "sqlite"
    for statement in _SQLITE_SETUP if is_sqlite else _POSTGRES_SETUP:
        if statement is _WAL:
            _switch_to_wal(connection)
        else:
            connection.exec_driver_sql(statement)
    connection.commit()


def lock(connection: Connection) -> None:
    """Lock a SQLite database for the transaction that has just begun: one that has read before it writes would fail if another has written."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _switch_to_wal(connection: Connection) -> None:
    # Of two that switch a new file at once, SQLite tells one that it is busy without waiting.
    for wait in (*_WAL_WAITS, None):
        try:
            connection.exec_driver_sql(_WAL)
        except exc.OperationalError:
            if wait is None:
                raise
            connection.rollback()
            time.sleep(wait)
        else:
            return


def unavailable(error: BaseException, url: URL) -> LedgerUnavailable:
    """Say why a database does not serve, without its password and without the values of a row."""
    cause: BaseException = getattr(error, "orig", None) or error
    said = (str(cause).strip().splitlines() or [""])[0][:200]
    for secret in _secrets(url):
        said = re.sub(_pattern(secret), "***", said)
    return LedgerUnavailable(
        f"the ledger's database {shown(url)} is unavailable ({type(cause).__name__}: {said})",
        hint="Check that it is running, and that its URL (ledger.database, or --database) is right.",
    )


def _secrets(url: URL) -> list[str]:
    """Return the passwords in a URL; its options may hold some, too."""
    words = [url.password, *(url.query.get(name) for name in ("password", "sslpassword"))]
    return [str(word) for word in words if word]


def _pattern(secret: str) -> str:
    """Say where a password is masked: everywhere, but a short one not inside of a word, which would be hard to read and tell it."""
    found = re.escape(secret)
    return found if len(secret) >= _LONG else rf"(?<![^\W_]){found}(?![^\W_])"


def shown(url: URL) -> str:
    """Write a URL for people, without its password and its options, which may hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)
