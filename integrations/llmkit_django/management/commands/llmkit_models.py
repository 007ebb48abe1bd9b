"""`manage.py llmkit_models`: what the project's providers offer."""

from __future__ import annotations

from llmkit.commands.models import MODELS, Catalogue
from llmkit_django.commands import AppCommand
from llmkit_django.conf import current


class Command(AppCommand):
    """Does what `llmkit models` does, with the project's own settings."""

    does = MODELS
    help = MODELS.help

    def has(self) -> Catalogue:
        """Return what the project's providers offer."""
        return current().kit.catalogue
