"""`manage.py llmkit_usage`: the latest rows of the ledger, or what calls cost in groups."""

from __future__ import annotations

from llmkit.commands.books import USAGE
from llmkit_django.commands import LedgerCommand


class Command(LedgerCommand):
    """Does what `llmkit usage` does, with the project's own ledger."""

    does = USAGE
    help = USAGE.help
