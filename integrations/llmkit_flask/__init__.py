"""llmkit for Flask apps."""

from __future__ import annotations

from llmkit.errors import MissingExtra

try:
    import flask  # noqa: F401
except ImportError:
    raise MissingExtra("Flask", "flask") from None

from llmkit_flask.blueprint import llmkit_blueprint
from llmkit_flask.extension import LLMKit
from llmkit_flask.responses import get_client, get_kit, stream_response
from llmkit_flask.signals import budget_warning

__all__ = [
    "LLMKit",
    "budget_warning",
    "get_client",
    "get_kit",
    "llmkit_blueprint",
    "stream_response",
]
