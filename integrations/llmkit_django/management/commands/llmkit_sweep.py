"""`manage.py llmkit_sweep`: the rows of processes that have died."""

from __future__ import annotations

from llmkit.commands.books import SWEEP
from llmkit_django.commands import LedgerCommand


class Command(LedgerCommand):
    """Does what `llmkit sweep` does, with the project's own ledger."""

    does = SWEEP
    help = SWEEP.help
