"""Flask-Caching, for kept answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from llmkit.cache.host import HostCache


class FlaskBackend:
    """A `flask_caching.Cache` of the app's: each entry is a key of its own, with bytes.

    Args:
        cache: the app's.
        app: the app, in whose context the cache is asked.
    """

    def __init__(self, cache: Any, app: Any) -> None:
        self._cache = cache
        self._app = app

    @property
    def is_of_process(self) -> bool:
        """Whether each process has its own."""
        with self._app.app_context():
            kinds = type(self._cache.cache).__mro__
        return any(kind.__name__ == "SimpleCache" for kind in kinds)

    def get_many(self, names: Sequence[str]) -> Mapping[str, object]:
        """Return what there is, by its name."""
        with self._app.app_context():
            found = self._cache.get_many(*names)
        return {name: value for name, value in zip(names, found, strict=True) if value is not None}

    async def aget_many(self, names: Sequence[str]) -> Mapping[str, object]:
        """Do what `get_many` does, without blocking the event loop."""
        return await asyncio.to_thread(self.get_many, names)

    def set(self, name: str, value: object, ttl: float | None) -> None:
        """Keep it for so many seconds; None for as long as it can."""
        with self._app.app_context():
            self._cache.set(name, value, timeout=0 if ttl is None else max(1, round(ttl)))

    async def aset(self, name: str, value: object, ttl: float | None) -> None:
        """Do what `set` does, without blocking the event loop."""
        await asyncio.to_thread(self.set, name, value, ttl)


def host_cache(app: Any, namespace: str) -> HostCache | None:
    """Return what keeps answers in the first Flask-Caching of an app; None if it has none."""
    caches = app.extensions.get("cache")
    if not caches:
        return None
    return HostCache(FlaskBackend(next(iter(caches)), app), namespace=namespace)
