"""The ledger with an outbox, as the settings have it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.errors import ConfigError
from llmkit.ledger.outbox.folder import default_folder, fleeting, is_writable
from llmkit.ledger.outbox.ledger import OutboxLedger
from llmkit.ledger.outbox.store import Outbox

if TYPE_CHECKING:
    from llmkit.budget.base import KeptBudgets
    from llmkit.config import LedgerConfig
    from llmkit.ledger.base import Store

logger = logging.getLogger("llmkit.ledger")

_ELSEWHERE = "Set ledger.outbox to a folder that this app can write to and that is kept, such as one on a volume."


def with_outbox(
    store: Store,
    spare: Store,
    budgets: KeptBudgets | None,
    settings: LedgerConfig,
    *,
    database: str,
    file: Path | None,
    worker: Callable[[], str],
) -> OutboxLedger:
    """Make the ledger, and say in the log where its outbox is.

    Args:
        store: where the rows go.
        spare: the same, over a connection of its own.
        budgets: where budgets are kept, if here.
        settings: those of the ledger.
        database: what tells its database from others, without a password.
        file: the database, if it is a file.
        worker: gives the name of this process.
    """
    folder = outbox_folder(settings, file)
    logger.info("if the ledger's database is away, rows will wait in %s", folder)
    for doubt in doubts(folder, file):
        logger.warning("%s", doubt)
    outbox = Outbox(folder, database=database, worker=worker)
    refuses = settings.on_store_error == "refuse"
    return OutboxLedger(store, spare, outbox, budgets=budgets, refuses=refuses)


def outbox_folder(settings: LedgerConfig, file: Path | None) -> Path:
    """Return where the outbox is: where the settings say, or where it is by default."""
    return default_folder(file) if settings.outbox is None else Path(settings.outbox).absolute()


def doubts(folder: Path, file: Path | None) -> Iterator[ConfigError]:
    """Find why rows would not be safe in a folder. What is beside the database is as safe as that."""
    if not is_writable(folder):
        yield ConfigError(
            f"the ledger's outbox {folder} cannot be written, so calls are refused while its database is away",
            hint=_ELSEWHERE,
        )
    elif (file is None or file.parent != folder) and (kind := fleeting(folder)) is not None:
        yield ConfigError(
            f"the ledger's outbox {folder} is on {kind}, which goes with this machine or container, and its rows with it",
            hint=_ELSEWHERE,
        )
