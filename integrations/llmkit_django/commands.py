"""The commands for `manage.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.management.base import BaseCommand, CommandError

from llmkit.budget.budgets import correct_after_sweeps
from llmkit.commands.base import Command, Option
from llmkit.commands.books import Books
from llmkit.config import Config
from llmkit.errors import LLMKitError
from llmkit.ledger.budgets import TableBudgets
from llmkit.ledger.own import open_own
from llmkit.ledger.worker import WorkerName
from llmkit.policy.pricing import Prices
from llmkit.policy.routes import Routes
from llmkit.zones import zone_of
from llmkit_django.conf import current
from llmkit_django.ledger import make_ledger
from llmkit_django.store import DjangoStore

if TYPE_CHECKING:
    from llmkit.ledger.sql import SQLStore


class AppCommand(ABC, BaseCommand):
    """A command that does something with what the project has."""

    does: ClassVar[Command[Any]]

    @abstractmethod
    def has(self) -> Any:
        """Return what the command is done with."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the command's options."""
        for option in self.does.options:
            _add(parser, option)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and print what comes."""
        given = {option.key: options[option.key] for option in self.does.options}
        try:
            self.stdout.write(self.does.run(self.has(), given))
        except (LLMKitError, ValueError) as error:
            raise CommandError(str(error)) from error


class LedgerCommand(AppCommand):
    """A command of the ledger's."""

    does: ClassVar[Command[Books]]

    def has(self) -> Books:
        """Return the project's ledger."""
        return _books(is_terminal=self.stdout.isatty())


def _books(*, is_terminal: bool) -> Books:
    config = current().config
    if config.ledger is False:
        raise CommandError('This project does not record its calls: LLMKIT["ledger"] is False.')
    store = _store(config.ledger.database)
    return Books(
        store=store,
        budgets=TableBudgets(store),
        config=config,
        sweep=lambda silent: _sweep(config, silent),
        prices=Prices(Routes(config).prices()),
        zone=zone_of(config.time_zone),
        is_terminal=is_terminal,
    )


def _store(database: str | None) -> DjangoStore | SQLStore:
    if database is None:
        return DjangoStore(WorkerName(), own=False)
    from llmkit.ledger import open_store  # noqa: PLC0415  # needs SQLAlchemy

    return open_store(database)


def _sweep(config: Config, silent: float) -> int:
    ledger = make_ledger(config) or open_own(config, worker=WorkerName())
    assert ledger is not None  # noqa: S101  # it is one of the two
    correct_after_sweeps(config, ledger)
    return ledger.sweep(silent)


def _add(parser: ArgumentParser, option: Option) -> None:
    if option.metavar is None:
        parser.add_argument(option.name, action="store_true", help=option.help)
        return
    shown = option.help if option.default is None else f"{option.help} (default: {option.default})"
    parser.add_argument(
        option.name,
        metavar=option.metavar,
        help=shown,
        required=option.required,
        action="append" if option.repeated else "store",
        default=[] if option.repeated else option.default,
    )
