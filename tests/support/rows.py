"""The ledger's rows, as a test reads them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from support.canary import leaks


def database(folder: Path) -> str:
    """Return the URL of a new SQLite database."""
    return f"sqlite:///{folder / 'ledger.db'}"


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return all rows, in the order they were begun."""
    connection = sqlite3.connect(folder / "ledger.db")
    connection.row_factory = sqlite3.Row
    try:
        found = connection.execute("SELECT * FROM llmkit_usage ORDER BY id").fetchall()
    finally:
        connection.close()
    assert leaks([dict(row) for row in found]) == []
    return [dict(row) for row in found]
