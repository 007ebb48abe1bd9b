"""`manage.py llmkit_budgets`: what budgets have left."""

from __future__ import annotations

from llmkit.commands.books import BUDGETS
from llmkit_django.commands import LedgerCommand


class Command(LedgerCommand):
    """Does what `llmkit budgets` does, with the project's own ledger and settings."""

    does = BUDGETS
    help = BUDGETS.help
