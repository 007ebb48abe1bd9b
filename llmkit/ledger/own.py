"""The ledger that the settings name by the URL of its database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmkit.errors import ConfigError

if TYPE_CHECKING:
    from llmkit.config import Config
    from llmkit.ledger.writer import LedgerWriter


def open_own(config: Config, *, worker: str | Callable[[], str]) -> LedgerWriter | None:
    """Make the ledger; None if the settings name no database. Nothing is opened before the first row.

    Raises:
        ConfigError: the URL cannot be used, or its driver is not installed.
    """
    settings = config.ledger
    if settings is False or settings.database is None:
        return None
    if settings.connection == "host":
        raise ConfigError(
            'ledger.connection is "host", but there is no app to take the connection from',
            hint='Leave ledger.connection at "own"; or, in Django and Flask, leave ledger.database out.',
        )
    from llmkit.ledger import open_ledger  # noqa: PLC0415  # needs SQLAlchemy

    return open_ledger(settings.database, worker=worker)
