"""`manage.py llmkit_cache clear`: the answers that are kept."""

from __future__ import annotations

from argparse import ArgumentParser

from llmkit.cache.response_cache import ResponseCache
from llmkit.commands.answers import CLEAR
from llmkit_django.commands import AppCommand
from llmkit_django.conf import current


class Command(AppCommand):
    """Does what `llmkit cache clear` does, with the project's own cache."""

    does = CLEAR
    help = CLEAR.help

    def has(self) -> ResponseCache:
        """Return the project's cache."""
        return current().kit.cache

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what is to be done, and the options."""
        parser.add_argument("action", choices=[CLEAR.name])
        super().add_arguments(parser)
