"""The ledger (the usage table): one row for each attempt, in the app's own database.

`open_ledger` makes the writer, `open_store` reads, `usage` is the SQLAlchemy table. They are loaded on first use, and raise MissingExtra if
SQLAlchemy, which is optional, is not installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from llmkit.errors import MissingExtra

if TYPE_CHECKING:
    from llmkit.ledger.database import check as check  # for the adapters
    from llmkit.ledger.database import check_kind as check_kind
    from llmkit.ledger.database import no_file as no_file
    from llmkit.ledger.schema import metadata, usage
    from llmkit.ledger.sql import open_ledger, open_store
    from llmkit.ledger.sql import open_with_outbox as open_with_outbox

_HOMES = {
    "check": "llmkit.ledger.database",
    "check_kind": "llmkit.ledger.database",
    "metadata": "llmkit.ledger.schema",
    "no_file": "llmkit.ledger.database",
    "open_ledger": "llmkit.ledger.sql",
    "open_store": "llmkit.ledger.sql",
    "open_with_outbox": "llmkit.ledger.sql",
    "usage": "llmkit.ledger.schema",
}

__all__ = ["metadata", "open_ledger", "open_store", "usage"]


def __getattr__(name: str) -> object:
    """Load a public name from its home, once.

    Raises:
        MissingExtra: SQLAlchemy is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = import_module(_HOMES[name])
    except ModuleNotFoundError as error:
        if error.name != "sqlalchemy":
            raise
        raise MissingExtra("SQLAlchemy", "sql") from error
    value: object = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
