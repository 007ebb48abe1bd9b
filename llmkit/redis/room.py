"""Scripts run in Redis, for threads and for event loops, and nobody waits long for it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmkit.errors import ConfigError, LLMKitError, MissingExtra
from llmkit.redis.address import Address
from llmkit.redis.asking import (
    ANSWER,
    PIECE,
    Patience,
    RedisUnavailable,
    Script,
    ScriptFailed,
)

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from llmkit.concurrency.loops import PerLoop

    _Client = redis.Redis | redis.RedisCluster
    _AsyncClient = redis.asyncio.Redis | redis.asyncio.RedisCluster

log = logging.getLogger("llmkit.redis")

# How long nobody asks a Redis that has failed, in seconds.
_REST = 1.0
# What Redis, and Lua within it, says of a script that fails by its keys or numbers.
_OF_THE_ASK = (
    "WRONGTYPE",
    "not an integer",
    "would overflow",
    "out of range",
    "attempt to ",
    "bad argument",
)
_NO_LIMITS = {"socket_connect_timeout": None, "socket_timeout": None}


class RedisRoom:
    """What a process has of one Redis: clients for its threads and for each of its event loops, and the memory of a failure.

    Args:
        url: `redis://`, `rediss://` or `unix://`, as redis-py takes them; `redis+cluster://` or `rediss+cluster://` for a cluster.
        clock: gives the time in seconds.

    Raises:
        MissingExtra: redis-py is not installed.
        ConfigError: the URL cannot be used.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        try:
            import redis  # noqa: PLC0415  # optional
        except ImportError as error:
            raise MissingExtra("redis", "redis") from error
        self._address = Address(url)
        self._clock = clock
        self._here: dict[int, _Here] = {}  # a fork has its own
        try:
            redis.Redis.from_url(self._address.url).connection_pool.make_connection()
        except Exception as error:  # noqa: BLE001  # of many kinds, in redis-py's versions
            raise ConfigError(
                f"the URL of Redis cannot be used ({type(error).__name__})",
                hint='It has to be of the form "redis://localhost:6379/0"; what may follow "?" are options of redis-py.',
            ) from None

    def run(
        self, script: Script, keys: Sequence[str], args: Sequence[Any], patience: Patience
    ) -> Any:
        """Run a script. Of many threads a few ask at a time; what the others wait for these is not counted.

        Raises:
            RedisUnavailable: Redis does not answer in time, or refuses.
            ScriptFailed: the script fails, by a key of another type or a number that is too large.
        """
        here = self._open()
        here.check(self._clock(), patience)
        from redis.exceptions import (  # noqa: PLC0415  # optional
            NoScriptError,
            RedisClusterException,
            RedisError,
        )

        with here.gate:
            here.check(self._clock(), patience)
            try:
                try:
                    with patience.spent():
                        client = here.threads(self._address, self._clock, patience)
                        answer = client.evalsha(script.sha, len(keys), *keys, *args)
                except NoScriptError:
                    here.check(self._clock(), patience)
                    with patience.spent():
                        answer = client.eval(script.text, len(keys), *keys, *args)
            except (RedisError, RedisClusterException, OSError) as error:
                raise here.failure(error, self._clock()) from error
        here.served()
        return answer

    async def arun(
        self, script: Script, keys: Sequence[str], args: Sequence[Any], patience: Patience
    ) -> Any:
        """Do what `run` does, without blocking the event loop."""
        here = self._open()
        here.check(self._clock(), patience, PIECE)
        from redis.exceptions import RedisClusterException, RedisError  # noqa: PLC0415  # optional

        of_loop = here.loops(self._address).get()
        async with of_loop.gate:
            here.check(self._clock(), patience, PIECE)
            try:
                answer = await patience.awaited(_asked(of_loop.client, script, keys, args))
            except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
                raise here.failure(error, self._clock()) from error
        here.served()
        return answer

    def delete_matching(self, pattern: str) -> int:
        """Delete all keys that match, one after the other, over a connection of its own; for a command, for it takes as long as it takes.

        Returns:
            How many there were.

        Raises:
            RedisUnavailable: Redis does not answer, or refuses.
        """
        import redis  # noqa: PLC0415  # optional
        from redis.exceptions import RedisClusterException, RedisError  # noqa: PLC0415

        new = redis.RedisCluster if self._address.is_cluster else redis.Redis
        try:
            with new.from_url(self._address.url) as client:
                return sum(
                    client.unlink(key) for key in client.scan_iter(match=pattern, count=1000)
                )
        except (RedisError, RedisClusterException, OSError) as error:
            raise RedisUnavailable(f"Redis does not serve ({type(error).__name__})") from error

    def close(self) -> None:
        """Close the connections of the threads."""
        here = self._here.pop(os.getpid(), None)
        if here is not None and here.client is not None:
            here.client.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        here = self._here.get(os.getpid())
        if here is not None and here.of_loops is not None:
            await here.of_loops.aclose()

    def _open(self) -> _Here:
        pid = os.getpid()
        return self._here.get(pid) or self._here.setdefault(pid, _Here(self._address.at_once))


async def _asked(
    client: _AsyncClient, script: Script, keys: Sequence[str], args: Sequence[Any]
) -> Any:
    from redis.exceptions import NoScriptError  # noqa: PLC0415  # optional

    try:
        return await client.evalsha(script.sha, len(keys), *keys, *args)
    except NoScriptError:
        return await client.eval(script.text, len(keys), *keys, *args)


class _OfLoop:
    """What an event loop has: its client, and who may ask."""

    def __init__(self, client: _AsyncClient, at_once: int) -> None:
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        self.client = client
        self.gate = asyncio.Semaphore(at_once)

    async def aclose(self) -> None:
        await self.client.aclose()


class _Here:
    """What one process has."""

    def __init__(self, at_once: int) -> None:
        self.client: _Client | None = None
        self.of_loops: PerLoop[_OfLoop] | None = None
        self.gate = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._lock_of_loops = threading.Lock()  # no event loop waits for a thread that connects
        self._rests_until = 0.0
        self._is_away = False
        self._error: str = ""

    def threads(self, address: Address, clock: Callable[[], float], patience: Patience) -> _Client:
        """Return the client of the threads. That of a cluster asks for its nodes when it is made: one thread does, the others wait.

        Raises:
            RedisUnavailable: none of them answers.
        """
        with self._lock:
            if self.client is None:
                self.check(clock(), patience)
                import redis  # noqa: PLC0415  # optional
                from redis.backoff import NoBackoff  # noqa: PLC0415
                from redis.exceptions import RedisClusterException, RedisError  # noqa: PLC0415
                from redis.retry import Retry  # noqa: PLC0415

                new = redis.RedisCluster if address.is_cluster else redis.Redis
                from llmkit.redis.connections import connection_class  # noqa: PLC0415  # redis-py

                options = address.options(Retry(NoBackoff(), 0))
                options["connection_class"] = connection_class(address.url)
                try:
                    self.client = new.from_url(address.url, **options)
                except (RedisError, RedisClusterException, OSError) as error:
                    raise self.failed(error, clock()) from error
            return self.client

    def loops(self, address: Address) -> PerLoop[_OfLoop]:
        """Return the clients of the event loops."""
        with self._lock_of_loops:
            if self.of_loops is None:
                import redis.asyncio  # noqa: PLC0415  # optional
                from redis.asyncio.retry import Retry  # noqa: PLC0415
                from redis.backoff import NoBackoff  # noqa: PLC0415

                from llmkit.concurrency.loops import PerLoop  # noqa: PLC0415  # asyncio

                new = redis.asyncio.RedisCluster if address.is_cluster else redis.asyncio.Redis
                # Whoever asks waits no longer than their patience.
                options = address.options(Retry(NoBackoff(), 0)) | _NO_LIMITS
                self.of_loops = PerLoop(
                    lambda: _OfLoop(new.from_url(address.url, **options), address.at_once)
                )
            return self.of_loops

    def check(self, now: float, patience: Patience, least: float = ANSWER) -> None:
        """See that Redis may be asked, if that takes no longer than the least that has to be left, in seconds.

        Raises:
            RedisUnavailable: it has failed a moment ago, or all time is spent.
        """
        if now < self._rests_until:
            raise RedisUnavailable(f"Redis failed a moment ago ({self._error})", was_asked=False)
        if patience.left < least:
            raise RedisUnavailable("Redis is too slow", was_asked=False)

    def served(self) -> None:
        """Take note that Redis has answered."""
        if self._is_away:
            self._is_away = False
            log.warning("Redis serves again")

    def failure(self, error: BaseException, now: float) -> LLMKitError:
        """Tell a Redis that does not serve from something that cannot be done."""
        from redis.exceptions import (  # noqa: PLC0415  # optional
            DataError,
            NoPermissionError,
            ResponseError,
        )

        said = str(error)
        if isinstance(error, NoPermissionError):  # for these keys: it serves others
            return RedisUnavailable(f"Redis does not let this user do it ({said[:200]})")
        if isinstance(error, DataError):  # redis-py has not even asked
            return ScriptFailed(f"Redis cannot be asked this ({said[:200]})")
        # Redis' own code stands first where the whole server has a reason, such as MISCONF; of these redis-py has classes, but for some.
        if type(error) is ResponseError and any(word in said for word in _OF_THE_ASK):
            return ScriptFailed(f"Redis cannot do what it is asked ({said.splitlines()[0][:200]})")
        return self.failed(error, now)

    def failed(self, error: BaseException, now: float) -> RedisUnavailable:
        """Take note of a failure."""
        said = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'no answer'}"
        if not self._is_away:
            log.warning("Redis does not serve: %s", said)
        self._is_away = True
        self._rests_until = now + _REST
        self._error = said
        return RedisUnavailable(f"Redis does not serve ({said})")
