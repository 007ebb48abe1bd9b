"""The ledger that the settings name by the URL of its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from llmkit.errors import ConfigError

if TYPE_CHECKING:
    from llmkit.config import Config, LedgerConfig
    from llmkit.ledger.outbox.ledger import OutboxLedger


def open_own(config: Config, *, worker: Callable[[], str]) -> OutboxLedger | None:
    """Make the ledger; None if the settings name no database. Nothing is opened before the first row.

    Raises:
        ConfigError: the URL cannot be used, or its driver is not installed.
    """
    settings = _own(config)
    if settings is None:
        return None
    from llmkit import ledger  # noqa: PLC0415  # needs SQLAlchemy

    return ledger.open_with_outbox(settings, worker=worker)


def check_own(config: Config) -> Iterator[ConfigError]:
    """See that this ledger can be made, and find why its outbox may lose rows.

    Raises:
        ConfigError: the URL cannot be used, or its driver is not installed.
    """
    settings = _own(config)
    if settings is None or settings.database is None:
        return
    from llmkit import ledger  # noqa: PLC0415  # needs SQLAlchemy
    from llmkit.ledger.outbox.open import doubts, outbox_folder  # noqa: PLC0415

    file = ledger.check(settings.database)
    yield from doubts(outbox_folder(settings, file), file)


def _own(config: Config) -> LedgerConfig | None:
    settings = config.ledger
    if settings is False or settings.database is None:
        return None
    if settings.connection == "host":
        raise ConfigError(
            'ledger.connection is "host", but there is no app to take the connection from',
            hint='Leave ledger.connection at "own"; or, in Django and Flask, leave ledger.database out.',
        )
    return settings
