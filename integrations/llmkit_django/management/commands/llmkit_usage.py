"""`manage.py llmkit_usage`: the latest rows of the ledger, and the money."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from llmkit.errors import LLMKitError
from llmkit.ledger.text import as_json, as_table
from llmkit.ledger.worker import WorkerName
from llmkit_django.conf import current
from llmkit_django.store import DjangoStore


class Command(BaseCommand):
    """Shows the ledger."""

    help = "Show the latest calls to language models, and the total cost of all calls."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the options of `llmkit usage`."""
        parser.add_argument(
            "--limit", type=int, default=20, help="Number of rows to show (default: 20)."
        )
        parser.add_argument(
            "--json", action="store_true", help="Print a JSON list of objects, with all columns."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the rows."""
        if options["limit"] < 0:
            raise CommandError("--limit has to be 0 or more.")
        try:
            self.stdout.write(self._text(**options))
        except LLMKitError as error:
            raise CommandError(str(error)) from error

    def _text(self, *, limit: int, json: bool, **_: Any) -> str:
        ledger = current().config.ledger
        if ledger is False:
            raise CommandError('This project does not record its calls: LLMKIT["ledger"] is False.')
        if ledger.database is not None:
            from llmkit.ledger import usage_text  # noqa: PLC0415  # needs SQLAlchemy

            return usage_text(ledger.database, limit, as_json=json)
        store = DjangoStore(WorkerName(), own=False)
        rows = store.recent(limit)
        return as_json(rows) if json else as_table(rows, store.totals())
