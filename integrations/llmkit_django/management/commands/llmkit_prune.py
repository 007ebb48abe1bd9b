"""`manage.py llmkit_prune`: old rows go, or only what was asked and answered in them."""

from __future__ import annotations

from llmkit.commands.books import PRUNE
from llmkit_django.commands import LedgerCommand


class Command(LedgerCommand):
    """Does what `llmkit prune` does, with the project's own ledger."""

    does = PRUNE
    help = PRUNE.help
