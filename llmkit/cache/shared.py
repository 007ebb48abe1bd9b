"""Calls that processes share, in Redis: who makes one, what it has said so far, and who listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from llmkit.cache.found import Found, Last
from llmkit.cache.redis import InRedis, milliseconds
from llmkit.redis.asking import Patience, Script, in_bytes

if TYPE_CHECKING:
    from llmkit.cache.key import Key
    from llmkit.redis.room import RedisRoom

# For how long what was said is there for those who still read, in seconds: while more may come, and after the end.
_KEPT = 60.0
_ENDED = 10.0
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
if call[1] and tonumber(call[2]) > now then
  redis.call("HSET", KEYS[2], "heard", now)
  return {"follow", call[1]}
end
lead(KEYS[2], ARGV[2])
return {"lead", ARGV[2]}
"""
)
# All that was said from an event on, once; what is there already is not said again. Nothing, if another one makes the call meanwhile.
_TELLING = """
local function tell(key, from, first, keep)
  local there = redis.call("LLEN", key)
  if there < from then return false end
  for i = first + there - from, #ARGV do redis.call("RPUSH", key, ARGV[i]) end
  redis.call("PEXPIRE", key, keep)
  return true
end
"""
_TELL = Script(
    _NOW
    + _TELLING
    + """
if redis.call("HGET", KEYS[1], "token") ~= ARGV[2] then return {0, 0} end
if not tell(KEYS[2], tonumber(ARGV[3]), 4, KEPT) then return {0, 0} end
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
if ARGV[5] == "1" and redis.call("LLEN", KEYS[3]) > 0 then return -1 end
if #ARGV > 5 and not tell(KEYS[3], tonumber(ARGV[2]), 6, ENDED) then return 0 end
if ARGV[3] ~= "" then redis.call("SET", KEYS[1], ARGV[3], "PX", ARGV[4]) end
redis.call("DEL", KEYS[2])
return 1
""".replace("ENDED", str(milliseconds(_ENDED)))
)
# What was said from an event on, and who makes the call. If nobody does any more: the answer that is kept, or the call is whoever asks'.
_HEAR = Script(
    _NOW
    + """
local told = redis.call("LRANGE", KEYS[3], ARGV[3], ARGV[3] + AT_ONCE - 1)
local call = redis.call("HMGET", KEYS[2], "token", "until")
if call[1] == ARGV[2] then redis.call("HSET", KEYS[2], "heard", now) end
if #told == 0 and not (call[1] and tonumber(call[2]) > now) then
  local kept = redis.call("GET", KEYS[1])
  if kept then return {"", 0, told, kept} end
  lead(KEYS[2], ARGV[4])
  return {ARGV[4], 1, told}
end
return {call[1] or "", 0, told}
""".replace("AT_ONCE", str(_AT_ONCE))
)


class News(NamedTuple):
    """What is new of a call.

    Attributes:
        token: of the one that is made now; empty if none is.
        leads: whether it is the asker's to make.
        told: what was said.
        kept: the whole answer, where nothing more is said of it.
    """

    token: str
    leads: bool
    told: list[bytes]
    kept: bytes | None = None


# What the script says where it has to be said again.
_TOLD = -1


class SharedCalls(InRedis):
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
        super().__init__(room, namespace=namespace, patience=patience)
        self.lease = lease

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
        asked = [self._lease, token, at, mine]
        current, leads, told, *kept = self._run(_HEAR, list(self._keys(key, token)), asked)
        data = [in_bytes(each) for each in told]
        return News(current, bool(leads), data, in_bytes(kept[0]) if kept else None)

    def end(self, key: Key, token: str, last: Last) -> bool:
        """Say the last of the call, and keep its answer; or, where nothing is left to be said, leave it to others.

        Returns:
            Whether that is done; False if something was told meanwhile of what is said here in one.

        Raises:
            CacheUnavailable: Redis does not answer.
        """
        return bool(self._run(_END, list(self._keys(key, token)), _args(token, last)) != _TOLD)

    async def aend(self, key: Key, token: str, last: Last) -> bool:
        """Do what `end` does, without blocking the event loop."""
        return bool(
            await self._arun(_END, list(self._keys(key, token)), _args(token, last)) != _TOLD
        )

    @property
    def _lease(self) -> int:
        return milliseconds(self.lease)

    def _keys(self, key: Key, token: str) -> tuple[str, str, str]:
        """Return the keys of the kept answer, of the call and of what it says; they are in one slot of a cluster."""
        entry = f"{self._prefix}{key}"
        return entry, f"{{{entry}}}:call", f"{{{entry}}}:said:{token}"


def _found(said: list[str]) -> Found:
    what, value = said
    return Found(in_bytes(value)) if what == "kept" else Found(None, value, what == "lead")


def _args(token: str, last: Last) -> list[Any]:
    in_one = "1" if last.in_one else "0"
    return [token, last.at, last.kept or b"", milliseconds(last.ttl), in_one, *last.told]
