"""Kept answers in Redis, for all processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmkit.cache.base import CacheUnavailable, key_prefix
from llmkit.redis.asking import Patience, RedisUnavailable, Script, ScriptFailed, in_bytes

if TYPE_CHECKING:
    from llmkit.cache.key import Key
    from llmkit.redis.room import RedisRoom

_GET = Script('return redis.call("GET", KEYS[1])')
_SET = Script('return redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])')
_DELETE = Script('return redis.call("DEL", KEYS[1])')


class InRedis:
    """What asks Redis about answers. What goes wrong there is the cache's, and costs nobody an answer.

    Args:
        room: what this process has of Redis.
        namespace: what stands before all keys.
        patience: makes how long one question may take.
    """

    def __init__(
        self, room: RedisRoom, *, namespace: str, patience: Callable[[], Patience] = Patience
    ) -> None:
        self._room = room
        self._prefix = key_prefix(namespace)
        self._patience = patience

    def _run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            return self._room.run(script, keys, args, self._patience())
        except (RedisUnavailable, ScriptFailed) as error:
            raise CacheUnavailable(error.message) from error

    async def _arun(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            return await self._room.arun(script, keys, args, self._patience())
        except (RedisUnavailable, ScriptFailed) as error:
            raise CacheUnavailable(error.message) from error


class RedisCache(InRedis):
    """Keeps answers in Redis. One question is one round trip; Redis drops what is old by itself."""

    is_of_process = False

    def get(self, key: Key) -> bytes | None:
        """Return what is kept; None if nothing is."""
        return _kept(self._run(_GET, self._keys(key), []))

    async def aget(self, key: Key) -> bytes | None:
        """Do what `get` does, without blocking the event loop."""
        return _kept(await self._arun(_GET, self._keys(key), []))

    def set(self, key: Key, value: bytes, ttl: float) -> None:
        """Keep it for so many seconds."""
        self._run(_SET, self._keys(key), [value, milliseconds(ttl)])

    async def aset(self, key: Key, value: bytes, ttl: float) -> None:
        """Do what `set` does, without blocking the event loop."""
        await self._arun(_SET, self._keys(key), [value, milliseconds(ttl)])

    def delete(self, key: Key) -> None:
        """Keep it no longer."""
        self._run(_DELETE, self._keys(key), [])

    async def adelete(self, key: Key) -> None:
        """Do what `delete` does, without blocking the event loop."""
        await self._arun(_DELETE, self._keys(key), [])

    def clear(self, *, owner: str | None = None, model: str | None = None) -> int:
        """Look through all of Redis for what is kept, of any version, and keep it no longer. For a command: it takes as long as it takes."""
        entries = f"{self._prefix}*.{owner or '*'}.{model or '*'}.*"
        try:
            # What is said right now, too: who listens asks anew, and nothing of it is kept.
            self._room.delete_matching(f"{{{entries}}}:*")
            return self._room.delete_matching(entries)
        except RedisUnavailable as error:
            raise CacheUnavailable(error.message) from error

    def _keys(self, key: Key) -> list[str]:
        return [f"{self._prefix}{key}"]


def _kept(value: object) -> bytes | None:
    return in_bytes(value) if isinstance(value, str) else None


def milliseconds(ttl: float) -> int:
    """Return seconds in milliseconds, at least one."""
    return max(1, round(ttl * 1000))
