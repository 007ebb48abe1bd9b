"""`manage.py llmkit_reprice`: rows are priced anew."""

from __future__ import annotations

from llmkit.commands.books import REPRICE
from llmkit_django.commands import LedgerCommand


class Command(LedgerCommand):
    """Does what `llmkit reprice` does, with the project's own ledger."""

    does = REPRICE
    help = REPRICE.help
