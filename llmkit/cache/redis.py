"""Kept answers in Redis, for all processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmkit.cache.base import CacheUnavailable, key_prefix
from llmkit.redis.asking import Patience, RedisUnavailable, Script, ScriptFailed, in_bytes

if TYPE_CHECKING:
    from llmkit.cache.key import Key
    from llmkit.redis.room import RedisRoom

_GET = Script('return redis.call("GET", KEYS[1])')
_SET = Script('return redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])')
_DELETE = Script('return redis.call("DEL", KEYS[1])')


class RedisCache:
    """Keeps answers in Redis. One question is one round trip; Redis drops what is old by itself.

    Args:
        room: what this process has of Redis.
        namespace: what stands before all keys.
        patience: makes how long one question may take.
    """

    is_of_process = False

    def __init__(
        self, room: RedisRoom, *, namespace: str, patience: Callable[[], Patience] = Patience
    ) -> None:
        self._room = room
        self._prefix = key_prefix(namespace)
        self._patience = patience

    def get(self, key: Key) -> bytes | None:
        """Return what is kept; None if nothing is."""
        return _kept(self._run(_GET, key))

    async def aget(self, key: Key) -> bytes | None:
        """Do what `get` does, without blocking the event loop."""
        return _kept(await self._arun(_GET, key))

    def set(self, key: Key, value: bytes, ttl: float) -> None:
        """Keep it for so many seconds."""
        self._run(_SET, key, value, milliseconds(ttl))

    async def aset(self, key: Key, value: bytes, ttl: float) -> None:
        """Do what `set` does, without blocking the event loop."""
        await self._arun(_SET, key, value, milliseconds(ttl))

    def delete(self, key: Key) -> None:
        """Keep it no longer."""
        self._run(_DELETE, key)

    async def adelete(self, key: Key) -> None:
        """Do what `delete` does, without blocking the event loop."""
        await self._arun(_DELETE, key)

    def clear(self, *, owner: str | None = None, model: str | None = None) -> int:
        """Look through all of Redis for what is kept, of any version, and keep it no longer. For a command: it takes as long as it takes."""
        entries = f"{self._prefix}*.{owner or '*'}.{model or '*'}.*"
        try:
            # What is said right now, too: who listens asks anew, and nothing of it is kept.
            self._room.delete_matching(f"{{{entries}}}:*")
            return self._room.delete_matching(entries)
        except RedisUnavailable as error:
            raise CacheUnavailable(error.message) from error

    def _run(self, script: Script, key: Key, *args: Any) -> Any:
        try:
            return self._room.run(script, [f"{self._prefix}{key}"], args, self._patience())
        except (RedisUnavailable, ScriptFailed) as error:
            raise CacheUnavailable(error.message) from error

    async def _arun(self, script: Script, key: Key, *args: Any) -> Any:
        try:
            return await self._room.arun(script, [f"{self._prefix}{key}"], args, self._patience())
        except (RedisUnavailable, ScriptFailed) as error:
            raise CacheUnavailable(error.message) from error


def _kept(value: object) -> bytes | None:
    return in_bytes(value) if isinstance(value, str) else None


def milliseconds(ttl: float) -> int:
    """Return seconds in milliseconds, at least one."""
    return max(1, round(ttl * 1000))
