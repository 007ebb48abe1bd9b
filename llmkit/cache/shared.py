"""Calls that processes share, in Redis: who makes one, what it has said so far, and who listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from llmkit.cache.base import CacheUnavailable
from llmkit.cache.redis import key_prefix, milliseconds
from llmkit.redis.asking import Patience, RedisUnavailable, Script, ScriptFailed, in_bytes

if TYPE_CHECKING:
    from llmkit.cache.key import Key
    from llmkit.redis.room import RedisRoom

# For how long what was said is kept for those who still read, in seconds. Longer than a process may stand still.
_KEPT = 60.0
_AT_ONCE = 1000

_NOW = """
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = tonumber(ARGV[1])
local function lead(key, token)
  redis.call("DEL", key)
  redis.call("HSET", key, "token", token, "until", now + lease)
  redis.call("PEXPIRE", key, KEPT)
end
""".replace("KEPT", str(milliseconds(_KEPT)))

# The answer that is kept; or who makes the call; or it is whoever asks.
_LOOK = Script(
    _NOW
    + """
local kept = redis.call("GET", KEYS[1])
if kept then return {"kept", kept} end
local call = redis.call("HMGET", KEYS[2], "token", "until")
if call[1] and tonumber(call[2]) > now then return {"follow", call[1]} end
lead(KEYS[2], ARGV[2])
return {"lead", ARGV[2]}
"""
)
# All that was said from an event on, once; what is there already is not said again. Nothing, if another one makes the call meanwhile.
_TELLING = """
local function tell(key, from, first)
  local there = redis.call("LLEN", key)
  if there < from then return false end
  for i = first + there - from, #ARGV do redis.call("RPUSH", key, ARGV[i]) end
  redis.call("PEXPIRE", key, KEPT)
  return true
end
""".replace("KEPT", str(milliseconds(_KEPT)))
_TELL = Script(
    _NOW
    + _TELLING
    + """
if redis.call("HGET", KEYS[1], "token") ~= ARGV[2] then return {0, 0} end
if not tell(KEYS[2], tonumber(ARGV[3]), 4) then return {0, 0} end
redis.call("HSET", KEYS[1], "until", now + lease)
redis.call("PEXPIRE", KEYS[1], KEPT)
local heard = redis.call("HGET", KEYS[1], "heard")
return {1, (heard and now - heard < lease) and 1 or 0}
""".replace("KEPT", str(milliseconds(_KEPT)))
)
_END = Script(
    _TELLING
    + """
if redis.call("HGET", KEYS[2], "token") ~= ARGV[1] then return 0 end
if #ARGV > 4 and not tell(KEYS[3], tonumber(ARGV[2]), 5) then return 0 end
if ARGV[3] ~= "" then redis.call("SET", KEYS[1], ARGV[3], "PX", ARGV[4]) end
redis.call("DEL", KEYS[2])
return 1
"""
)
# What was said from an event on, and who makes the call; whoever asks, if nobody does any more.
_HEAR = Script(
    _NOW
    + """
local told = redis.call("LRANGE", KEYS[2], ARGV[3], ARGV[3] + AT_ONCE - 1)
local call = redis.call("HMGET", KEYS[1], "token", "until")
if call[1] == ARGV[2] then redis.call("HSET", KEYS[1], "heard", now) end
if #told == 0 and not (call[1] and tonumber(call[2]) > now) then
  lead(KEYS[1], ARGV[4])
  return {ARGV[4], 1, told}
end
return {call[1] or "", 0, told}
""".replace("AT_ONCE", str(_AT_ONCE))
)


class Found(NamedTuple):
    """What there is for a question.

    Attributes:
        kept: the answer.
        token: of the call that is made.
        leads: whether it is the asker's to make.
    """

    kept: bytes | None = None
    token: str = ""
    leads: bool = False


class News(NamedTuple):
    """What is new of a call.

    Attributes:
        token: of the one that is made now; empty if none is.
        leads: whether it is the asker's to make.
        told: what was said.
    """

    token: str
    leads: bool
    told: list[bytes]


class SharedCalls:
    """Asks Redis about calls that processes share. Each call has a token, of whoever makes it; one that has lost it writes nothing any more.

    Args:
        room: what this process has of Redis.
        namespace: what stands before all keys.
        patience: makes how long one question may take.
        lease: for how long who makes the call may be silent before another one makes it, in seconds.
    """

    def __init__(
        self,
        room: RedisRoom,
        *,
        namespace: str,
        patience: Callable[[], Patience] = Patience,
        lease: float = 1.0,
    ) -> None:
        self.lease = lease
        self._room = room
        self._prefix = key_prefix(namespace)
        self._patience = patience

    def look(self, key: Key, token: str) -> Found:
        """Look for an answer that is kept, or a call that is made; where neither is, the call is the asker's.

        Raises:
            CacheUnavailable: Redis does not answer.
        """
        entry, call, _ = self._keys(key, token)
        return _found(self._run(_LOOK, [entry, call], [self._lease, token]))

    async def alook(self, key: Key, token: str) -> Found:
        """Do what `look` does, without blocking the event loop."""
        entry, call, _ = self._keys(key, token)
        return _found(await self._arun(_LOOK, [entry, call], [self._lease, token]))

    def tell(self, key: Key, token: str, at: int, told: Sequence[bytes]) -> tuple[bool, bool]:
        """Say what the call has said from its event number `at` on, and that it is still made.

        Returns:
            Whether it is still the asker's to make, and whether others listen.

        Raises:
            CacheUnavailable: Redis does not answer. The same may be said again.
        """
        _, call, said = self._keys(key, token)
        is_mine, is_heard = self._run(_TELL, [call, said], [self._lease, token, at, *told])
        return bool(is_mine), bool(is_heard)

    def hear(self, key: Key, token: str, at: int, mine: str) -> News:
        """Ask what the call has said from its event number `at` on. Where nobody makes it any more it is the asker's, with the token `mine`.

        Raises:
            CacheUnavailable: Redis does not answer.
        """
        _, call, said = self._keys(key, token)
        current, leads, told = self._run(_HEAR, [call, said], [self._lease, token, at, mine])
        return News(current, bool(leads), [in_bytes(each) for each in told])

    def end(
        self, key: Key, token: str, at: int, told: Sequence[bytes], kept: bytes | None, ttl: float
    ) -> None:
        """Say the last of the call, and keep its answer; or, where nothing is left to be said, leave it to others.

        Raises:
            CacheUnavailable: Redis does not answer.
        """
        self._run(_END, list(self._keys(key, token)), _last(token, at, told, kept, ttl))

    async def aend(
        self, key: Key, token: str, at: int, told: Sequence[bytes], kept: bytes | None, ttl: float
    ) -> None:
        """Do what `end` does, without blocking the event loop."""
        await self._arun(_END, list(self._keys(key, token)), _last(token, at, told, kept, ttl))

    @property
    def _lease(self) -> int:
        return milliseconds(self.lease)

    def _keys(self, key: Key, token: str) -> tuple[str, str, str]:
        """Return the keys of the kept answer, of the call and of what it says; they are in one slot of a cluster."""
        entry = f"{self._prefix}{key}"
        return entry, f"{{{entry}}}:call", f"{{{entry}}}:said:{token}"

    def _run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        try:
            return self._room.run(script, keys, args, self._patience())
        except (RedisUnavailable, ScriptFailed) as error:
            raise CacheUnavailable(error.message) from error

    async def _arun(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        try:
            return await self._room.arun(script, keys, args, self._patience())
        except (RedisUnavailable, ScriptFailed) as error:
            raise CacheUnavailable(error.message) from error


def _found(said: list[str]) -> Found:
    what, value = said
    return Found(in_bytes(value)) if what == "kept" else Found(None, value, what == "lead")


def _last(token: str, at: int, told: Sequence[bytes], kept: bytes | None, ttl: float) -> list[Any]:
    return [token, at, kept or b"", milliseconds(ttl), *told]
