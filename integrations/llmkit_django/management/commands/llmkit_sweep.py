"""`manage.py llmkit_sweep`: the rows of processes that have died."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from llmkit.errors import LLMKitError
from llmkit.ledger.own import open_own
from llmkit.ledger.text import swept
from llmkit.ledger.worker import WorkerName
from llmkit_django.conf import current
from llmkit_django.ledger import make_ledger


class Command(BaseCommand):
    """Sweeps up."""

    help = (
        "Mark the open rows of processes that have died as lost, and write what they left in the outbox. "
        "The project does so by itself every ten minutes, while it is used."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the option of `llmkit sweep`."""
        parser.add_argument(
            "--silent",
            type=float,
            default=180.0,
            help="Seconds after which a process that says nothing counts as dead (default: 180).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Sweep, and say what was found."""
        if not options["silent"] >= 60:
            raise CommandError("--silent has to be 60 or more.")
        config = current().config
        if config.ledger is False:
            raise CommandError('This project does not record its calls: LLMKIT["ledger"] is False.')
        try:
            ledger = make_ledger(config) or open_own(config, worker=WorkerName())
            assert ledger is not None  # noqa: S101  # it is one of the two
            self.stdout.write(swept(ledger.sweep(options["silent"])))
        except LLMKitError as error:
            raise CommandError(str(error)) from error
