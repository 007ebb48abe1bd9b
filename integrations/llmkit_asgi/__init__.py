"""llmkit for ASGI apps: Starlette, FastAPI, and any other."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmkit_asgi.middleware import LLMKitMiddleware, llmkit_app
    from llmkit_asgi.openapi import openapi_paths
    from llmkit_asgi.views import get_client, get_kit, stream_response

_HOMES = {
    "LLMKitMiddleware": "llmkit_asgi.middleware",
    "get_client": "llmkit_asgi.views",
    "get_kit": "llmkit_asgi.views",
    "llmkit_app": "llmkit_asgi.middleware",
    "openapi_paths": "llmkit_asgi.openapi",
    "stream_response": "llmkit_asgi.views",
}

__all__ = [
    "LLMKitMiddleware",
    "get_client",
    "get_kit",
    "llmkit_app",
    "openapi_paths",
    "stream_response",
]


def __getattr__(name: str) -> object:
    """Load a public name from its home, once: the middleware needs no Starlette."""
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'llmkit_asgi' has no attribute {name!r}") from None
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value
