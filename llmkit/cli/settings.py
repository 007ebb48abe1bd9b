"""The settings of the app that a command is told of."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from llmkit.config.functions import value_at

SETTINGS = click.Option(
    ["--settings"],
    metavar="PATH",
    help="Dotted path of the app's settings, such as shop.main.LLMKIT, for their prices, budgets, cache, providers or Redis.",
)


def settings_at(path: str) -> Any:
    """Import settings, as `python -m` would find them.

    Raises:
        ConfigError: they cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return value_at(path, "--settings")
