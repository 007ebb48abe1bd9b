"""The cache that the settings name."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llmkit.errors import ConfigError

if TYPE_CHECKING:
    from llmkit.cache.answers import Answers
    from llmkit.cache.base import CacheStore
    from llmkit.config import Config
    from llmkit.config.cache import CacheConfig
    from llmkit.policy.plan import Route
    from llmkit.redis.room import RedisRoom


def cache_of(
    config: Config,
    room: RedisRoom | None,
    of_host: CacheStore | None,
    *,
    routes: Callable[[str], Sequence[Route]],
    now: Callable[[], float],
    clock: Callable[[], float],
    new_id: Callable[[], str],
) -> Answers | None:
    """Make the cache; None if there is none.

    Args:
        config: the settings.
        room: what this process has of Redis.
        of_host: the cache of the app's framework.
        routes: returns the routes of a model.
        now: gives the time in seconds since 1970.
        clock: gives the time in seconds since any moment.
        new_id: makes tokens.

    Raises:
        ConfigError: it is to be the framework's, and there is none.
    """
    if config.cache is None:
        return None
    from llmkit.cache.answers import Answers  # noqa: PLC0415  # for those who have one

    store = store_of(config.cache, config.namespace, room, of_host, clock=clock)
    exchange = None
    if room is not None and config.cache.store in (None, "redis"):
        from llmkit.cache.exchange import Exchange  # noqa: PLC0415  # redis-py
        from llmkit.cache.shared import SharedCalls  # noqa: PLC0415

        exchange = Exchange(SharedCalls(room, namespace=config.namespace), new_id=new_id)
    return Answers(store, config.cache, routes=routes, now=now, exchange=exchange)


def store_of(
    config: CacheConfig,
    namespace: str,
    room: RedisRoom | None,
    of_host: CacheStore | None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> CacheStore:
    """Make what keeps answers; see `cache_of`."""
    if config.store == "host":
        if of_host is None:
            raise ConfigError(
                'cache.store is "host", and there is no cache of a framework\'s here',
                hint='It is Django\'s CACHES, or Flask-Caching: make its Cache(app) before the first call. Or set cache.store to "redis" or "memory".',
            )
        return of_host
    if room is None or config.store == "memory":
        from llmkit.cache.memory import MemoryCache  # noqa: PLC0415

        return MemoryCache(config.max_bytes, clock=clock)
    from llmkit.cache.redis import RedisCache  # noqa: PLC0415  # optional

    return RedisCache(room, namespace=namespace)
