"""Django's cache framework, for kept answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.cache.backends.locmem import LocMemCache


class DjangoBackend:
    """One of the project's `CACHES`. It may be any: each entry is a key of its own, with bytes."""

    def __init__(self, alias: str = DEFAULT_CACHE_ALIAS) -> None:
        self._alias = alias

    @property
    def _cache(self) -> Any:
        return caches[self._alias]  # of this thread, or of what runs in an event loop

    @property
    def is_of_process(self) -> bool:
        """Whether each process has its own, as Django's default."""
        return isinstance(self._cache, LocMemCache)

    def get_many(self, names: Sequence[str]) -> Mapping[str, object]:
        """Return what there is, by its name."""
        return cast("Mapping[str, object]", self._cache.get_many(names))

    async def aget_many(self, names: Sequence[str]) -> Mapping[str, object]:
        """Do what `get_many` does, without blocking the event loop."""
        return cast("Mapping[str, object]", await self._cache.aget_many(names))

    def set(self, name: str, value: object, ttl: float | None) -> None:
        """Keep it for so many seconds; None for as long as it can."""
        self._cache.set(name, value, _whole(ttl))

    async def aset(self, name: str, value: object, ttl: float | None) -> None:
        """Do what `set` does, without blocking the event loop."""
        await self._cache.aset(name, value, _whole(ttl))


def _whole(ttl: float | None) -> int | None:
    """Return whole seconds: memcached takes no others, and 0 would be none."""
    return None if ttl is None else max(1, round(ttl))
