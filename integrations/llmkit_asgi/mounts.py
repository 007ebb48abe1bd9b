"""The kit of a view: the middleware's, in its scope; or that of an `llmkit_app` that is mounted somewhere in its app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmkit.errors import ConfigError
from llmkit.kit import Kit
from llmkit_asgi.exchange import Scope
from llmkit_asgi.middleware import LLMKitMiddleware


def kit_of(scope: Scope) -> Kit:
    """Return the kit that serves a request, and keep it in its scope.

    The middleware around a view has put it there. A mounted app stands beside the views: it is looked for in the view's own app,
    then in all that this is mounted in.

    Raises:
        ConfigError: there is none, or more than one.
    """
    kit = scope.get("llmkit")
    if isinstance(kit, Kit):
        return kit
    kit = _mounted(scope.get("app")) or _mounted(scope.get("router"))
    if kit is None:
        raise ConfigError(
            "llmkit is not installed in this app",
            hint="Add it: app.add_middleware(LLMKitMiddleware, config=...), "
            'or app.mount("/llm", llmkit_app(config=...)).',
        )
    scope["llmkit"] = kit
    return kit


def _mounted(app: object) -> Kit | None:
    kits = {id(kit): kit for kit in _kits(app, set())}
    if len(kits) > 1:
        raise ConfigError(
            f"llmkit is mounted {len(kits)} times in this app, with different kits",
            hint="Use the same kit for all of them: kit = Kit(config), then llmkit_app(kit=kit) for each.",
        )
    return next(iter(kits.values()), None)


def _kits(app: Any, seen: set[int]) -> Iterator[Kit]:  # an app of any kind, or a route to one
    """Find the kits of what is mounted in an app, however deep, and behind whatever middleware."""
    while app is not None and id(app) not in seen:
        seen.add(id(app))
        if isinstance(app, LLMKitMiddleware):
            yield app.kit
        routes = getattr(app, "routes", None)
        for route in routes if isinstance(routes, list | tuple) else ():
            yield from _kits(route, seen)
        # What a mount or a middleware has behind it, or FastAPI for a router that is included.
        app = getattr(app, "original_router", None) or getattr(app, "app", None)
