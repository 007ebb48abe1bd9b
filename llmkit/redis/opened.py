"""The Redis that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmkit.config import Config
    from llmkit.redis.room import RedisRoom


def room_of(config: Config) -> RedisRoom | None:
    """Make what this process has of Redis; None if nothing is kept there.

    Raises:
        ConfigError: its URL cannot be used.
        MissingExtra: redis-py is not installed.
    """
    caches = config.cache is not None and config.cache.store in (None, "redis")
    if config.redis is None or not (config.budgets or caches):
        return None
    from llmkit.redis.room import RedisRoom  # noqa: PLC0415  # optional

    return RedisRoom(config.redis)
