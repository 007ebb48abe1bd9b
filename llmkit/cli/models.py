"""`llmkit models`: what the providers of an app offer."""

from __future__ import annotations

import os
from dataclasses import replace

from llmkit.cli.settings import SETTINGS, settings_at
from llmkit.commands.clicked import click_command
from llmkit.commands.models import MODELS, Catalogue
from llmkit.config import Config
from llmkit.kit import Kit
from llmkit.providers.vendors import VENDORS


def _catalogue(settings: str | None) -> Catalogue:
    """Return what the settings' providers offer, or the vendors of whom the environment has a key; it asks nothing of the app's databases."""
    if settings is None:
        keyed = [
            name
            for name, vendor in VENDORS.items()
            if vendor.key_variable and os.environ.get(vendor.key_variable)
        ]
        kit = Kit({"providers": {name: {} for name in keyed}, "ledger": False})
        return replace(kit.catalogue, has_settings=False)
    config = Config.of(settings_at(settings))
    bare = {"ledger": False, "budgets": (), "cache": None, "redis": None}
    return Kit(config.model_copy(update=bare)).catalogue


models = click_command(MODELS, _catalogue, [SETTINGS])
