"""Database URLs and unreachable databases: clear messages, and never a password."""

from __future__ import annotations

import socket
import traceback
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from llmkit.errors import ConfigError, LedgerUnavailable
from llmkit.ledger import open_ledger
from llmkit.ledger.columns import COLUMNS
from llmkit.ledger.database import database_url, unavailable
from llmkit.ledger.schema import usage as table
from support.ledger import opening

PASSWORD = "hunter2-geheim"  # to look for


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql+psycopg"),
        ("sqlite+aiosqlite:///x.db", "sqlite"),
    ],
)
def test_the_driver_is_ours(given: str, driver: str) -> None:
    """A host's URL serves whatever driver it names, since the ledger has its own connection."""
    url = database_url(given)
    assert url.drivername == driver
    assert (url.username, url.host) == (("u", "h") if "@" in given else (None, None))


def test_a_relative_file_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative SQLite path is of the folder in which the ledger was opened."""
    monkeypatch.chdir(tmp_path)
    assert database_url("sqlite:///x.db").database == str(tmp_path / "x.db")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (f"not a url {PASSWORD}", "is not a URL"),
        (f"postgresql://u:{PASSWORD}@h:port/d", "is not a URL"),
        ("", "is not a URL"),
        (f"mysql://u:{PASSWORD}@h/d", "does not support 'mysql' databases"),
        ("sqlite://", "is in memory"),
        ("sqlite:///:memory:", "is in memory"),
        ("sqlite:////no/such/folder/x.db", "/no/such/folder, does not exist"),
    ],
)
def test_a_wrong_url_is_refused_at_once(given: str, says: str) -> None:
    """A URL that cannot serve is a ConfigError that names the setting and shows no password."""
    with pytest.raises(ConfigError) as caught:
        open_ledger(given, worker="test")
    assert says in str(caught.value)
    assert "ledger.database" in str(caught.value)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@pytest.mark.parametrize("query", ["", f"?password={PASSWORD}"])
def test_a_server_that_is_not_there(query: str) -> None:
    """An unreachable server is LedgerUnavailable, with the cause and without the password."""
    pytest.importorskip("psycopg")
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:{free_port()}/app{query}"
    writer = open_ledger(url, worker="test")
    with pytest.raises(LedgerUnavailable) as caught:
        writer.begin(opening())
    writer.close()
    said = str(caught.value)
    assert "OperationalError" in said
    assert "refused" in said
    assert "postgresql+psycopg://me:***@127.0.0.1" in said
    assert "Check that it is running" in said
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("password", ["p", "or", "port"])
def test_a_short_password_masks_no_part_of_a_word(password: str) -> None:
    """The reason stays readable, and the password is not given away by the gaps."""
    pytest.importorskip("psycopg")
    url = make_url(f"postgresql+psycopg://me:{password}@127.0.0.1:1/app?password={password}")
    said = str(unavailable(OSError(f"supported export failed: {password}, {password}_"), url))
    assert "supported export failed: ***, ***_" in said


@pytest.mark.parametrize("url", ["postgresql://u:{}@h/d", "postgresql://h/d?password={}"])
def test_a_long_password_is_masked_wherever_it_stands(url: str) -> None:
    """Inside of a word, too, and also where it is one of the URL's options."""
    said = str(unavailable(OSError(f"no host x{PASSWORD}y"), make_url(url.format(PASSWORD))))
    assert "no host x***y" in said
    assert PASSWORD not in said


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A SQLite path to something else is LedgerUnavailable with SQLite's own words."""
    (tmp_path / "x.db").write_text(
        "this is a text, and not a short one, so that SQLite sees it" * 9
    )
    writer = open_ledger(f"sqlite:///{tmp_path / 'x.db'}", worker="test")
    with pytest.raises(LedgerUnavailable, match="file is not a database"):
        writer.begin(opening())
    writer.close()


def test_wrong_options_are_refused_at_once(tmp_path: Path) -> None:
    """An option in the URL that the driver cannot read is a ConfigError."""
    with pytest.raises(ConfigError, match=r"cannot be used \(ValueError\)"):
        open_ledger(f"sqlite:///{tmp_path / 'x.db'}?timeout=soon", worker="test")


def test_the_table_has_the_columns_of_the_list() -> None:
    """The SQLAlchemy table is what the plain list of columns says."""
    assert [(column.name, column.nullable) for column in table.columns] == [
        (column.name, column.null) for column in COLUMNS
    ]
    assert {
        column.name: column.type.length
        for column in table.columns
        if hasattr(column.type, "length")
    } == {column.name: column.size for column in COLUMNS if column.kind == "string"}
