"""llmkit for Django projects: add "llmkit_django" to INSTALLED_APPS."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmkit_django.responses import (
        aget_client,
        astream_response,
        get_client,
        get_kit,
        stream_response,
    )

__all__ = ["aget_client", "astream_response", "get_client", "get_kit", "stream_response"]


def __getattr__(name: str) -> object:
    """Load a public name on first use: Django imports this package before its settings are read."""
    if name not in __all__:
        raise AttributeError(f"module 'llmkit_django' has no attribute {name!r}")
    value: object = getattr(import_module("llmkit_django.responses"), name)
    globals()[name] = value
    return value
