"""`llmkit usage`, `budgets`, `sweep`, `prune` and `reprice`: the ledger in a database."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import click

from llmkit import ledger
from llmkit.budget.budgets import correct_after_sweeps
from llmkit.cli.settings import SETTINGS, settings_at
from llmkit.commands.books import BUDGETS, COMMANDS, REPRICE, SWEEP, Books
from llmkit.commands.clicked import click_command, is_terminal
from llmkit.config import Config, LedgerConfig
from llmkit.errors import ConfigError
from llmkit.ledger.budgets import TableBudgets
from llmkit.ledger.outbox.folder import has_files
from llmkit.ledger.outbox.open import outbox_folder
from llmkit.ledger.worker import WorkerName
from llmkit.policy.pricing import Prices
from llmkit.policy.routes import Routes
from llmkit.zones import zone_of

_DEMO_FILE = Path("llmkit-demo.db")
DEMO_DATABASE = f"sqlite:///{_DEMO_FILE}"

_DATABASE = click.Option(
    ["--database"],
    metavar="URL",
    help=f"URL of the ledger's database. By default that of the app's settings, if they are named, else LLMKIT_DATABASE, else {DEMO_DATABASE}.",
)
_OUTBOX = click.Option(
    ["--outbox"], metavar="FOLDER", help="Folder of the outbox, if the app's settings name one."
)
_EXTRA = {SWEEP.name: [_OUTBOX, SETTINGS], REPRICE.name: [SETTINGS], BUDGETS.name: [SETTINGS]}


def _books(database: str | None, outbox: str | None = None, settings: str | None = None) -> Books:
    config = Config.of({} if settings is None else settings_at(settings))
    url = database or _database(config, settings)
    if outbox is None and config.ledger is not False:
        outbox = config.ledger.outbox
    own = LedgerConfig(database=url, outbox=outbox)
    return Books(
        store=ledger.open_store(url),
        budgets=TableBudgets(ledger.open_store(url)),
        config=config,
        sweep=partial(_sweep, config, own),
        prices=Prices(Routes(config).prices()),
        zone=zone_of(config.time_zone),
        has_settings=settings is not None,
        is_terminal=is_terminal(),
    )


def _database(config: Config, settings: str | None) -> str:
    """Find the ledger where nobody names it.

    Raises:
        ConfigError: the settings leave it to their framework. Another database than the app's would be looked into, or compared with Redis.
    """
    if config.ledger is not False and config.ledger.database is not None:
        return config.ledger.database
    named = os.environ.get("LLMKIT_DATABASE")
    if named:
        return named
    if settings is not None:
        raise ConfigError(
            f"{settings} does not say where the ledger's database is",
            hint="Name it with --database or LLMKIT_DATABASE; or use manage.py or flask, which know.",
        )
    if not _DEMO_FILE.is_file():
        raise ConfigError(
            f"there is no database {_DEMO_FILE.absolute()}, where the demo records its calls, and no other is named",
            hint="Name it with --database or LLMKIT_DATABASE; or, for budgets, sweep and reprice, your app's settings with --settings.",
        )
    return DEMO_DATABASE


def _sweep(config: Config, own: LedgerConfig, silent: float) -> int:
    """Sweep; a database that is not there is made only for rows that wait for it.

    Raises:
        NoLedgerYet: none do.
    """
    file = ledger.check(str(own.database))
    if file is not None and not file.is_file() and not has_files(outbox_folder(own, file)):
        raise ledger.no_file(file)
    books = ledger.open_with_outbox(own, worker=WorkerName())
    correct_after_sweeps(config, books)
    return books.sweep(silent)


commands = [
    click_command(command, _books, [_DATABASE, *_EXTRA.get(command.name, [])])
    for command in COMMANDS
]
