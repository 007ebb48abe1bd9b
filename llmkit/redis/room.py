"""Scripts run in Redis, for threads and for event loops, and nobody waits long for it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from llmkit.errors import ConfigError, LLMKitError, MissingExtra

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from llmkit.concurrency.loops import PerLoop

log = logging.getLogger("llmkit.redis")

# How long one call may wait for Redis in all, in seconds; and for a connection, and for one answer over it.
PATIENCE = 0.25
_CONNECT = 0.1
_ANSWER = 0.12
# How long nobody asks a Redis that has failed, in seconds.
_REST = 1.0


class RedisUnavailable(LLMKitError):
    """Redis does not answer, or refuses."""

    type = "redis_unavailable"


class Script:
    """A script of Redis'."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()  # by which Redis knows it


class Patience:
    """How long one call may still wait for Redis, over all that it asks.

    Args:
        clock: gives the time in seconds.

    Attributes:
        left: how many seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.left = PATIENCE

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Count what goes by within."""
        began = self._clock()
        try:
            yield
        finally:
            self.left -= self._clock() - began


class RedisRoom:
    """What a process has of one Redis: clients for its threads and for each of its event loops, and the memory of a failure.

    Args:
        url: `redis://`, `rediss://` or `unix://`, as redis-py takes them.
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
        self._url = url
        self._clock = clock
        self._here: dict[int, _Here] = {}  # a fork has its own
        try:
            redis.Redis.from_url(url).close()
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"the URL of Redis cannot be used ({type(error).__name__})",
                hint='It has to be of the form "redis://localhost:6379/0".',
            ) from None

    def run(
        self, script: Script, keys: Sequence[str], args: Sequence[Any], patience: Patience
    ) -> Any:
        """Run a script.

        Raises:
            RedisUnavailable: Redis does not answer in time, or refuses.
        """
        here = self._open()
        here.check(self._clock(), patience)
        from redis.exceptions import NoScriptError, RedisError  # noqa: PLC0415  # optional

        client = here.threads(self._url)
        try:
            try:
                with patience.spent():
                    return client.evalsha(script.sha, len(keys), *keys, *args)
            except NoScriptError:
                here.check(self._clock(), patience)
                with patience.spent():
                    return client.eval(script.text, len(keys), *keys, *args)
        except (RedisError, OSError) as error:
            raise here.failed(error, self._clock()) from error

    async def arun(
        self, script: Script, keys: Sequence[str], args: Sequence[Any], patience: Patience
    ) -> Any:
        """Do what `run` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        here = self._open()
        here.check(self._clock(), patience)
        from redis.exceptions import NoScriptError, RedisError  # noqa: PLC0415  # optional

        client = here.loops(self._url).get()
        try:
            with patience.spent():
                async with asyncio.timeout(patience.left):
                    try:
                        return await client.evalsha(script.sha, len(keys), *keys, *args)
                    except NoScriptError:
                        return await client.eval(script.text, len(keys), *keys, *args)
        except (RedisError, OSError, TimeoutError) as error:
            raise here.failed(error, self._clock()) from error

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
        return self._here.get(pid) or self._here.setdefault(pid, _Here())


class _Here:
    """What one process has."""

    def __init__(self) -> None:
        self.client: redis.Redis | None = None
        self.of_loops: PerLoop[redis.asyncio.Redis] | None = None
        self._lock = threading.Lock()
        self._rests_until = 0.0
        self._error: str = ""

    def threads(self, url: str) -> redis.Redis:
        """Return the client of the threads."""
        with self._lock:
            if self.client is None:
                import redis  # noqa: PLC0415  # optional
                from redis.backoff import NoBackoff  # noqa: PLC0415
                from redis.retry import Retry  # noqa: PLC0415

                self.client = redis.Redis.from_url(url, **_options(Retry(NoBackoff(), 0)))
            return self.client

    def loops(self, url: str) -> PerLoop[redis.asyncio.Redis]:
        """Return the clients of the event loops."""
        with self._lock:
            if self.of_loops is None:
                import redis.asyncio  # noqa: PLC0415  # optional
                from redis.asyncio.retry import Retry  # noqa: PLC0415
                from redis.backoff import NoBackoff  # noqa: PLC0415

                from llmkit.concurrency.loops import PerLoop  # noqa: PLC0415  # asyncio

                options = _options(Retry(NoBackoff(), 0))
                self.of_loops = PerLoop(lambda: redis.asyncio.Redis.from_url(url, **options))
            return self.of_loops

    def check(self, now: float, patience: Patience) -> None:
        """See that Redis may be asked.

        Raises:
            RedisUnavailable: it has failed a moment ago, or all time is spent.
        """
        if now < self._rests_until:
            raise RedisUnavailable(f"Redis failed a moment ago ({self._error})")
        if patience.left < _ANSWER:
            raise RedisUnavailable("Redis is too slow")

    def failed(self, error: BaseException, now: float) -> RedisUnavailable:
        """Take note of a failure."""
        said = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'no answer'}"
        if now >= self._rests_until:
            log.warning("Redis does not serve: %s", said)
        self._rests_until = now + _REST
        self._error = said
        return RedisUnavailable(f"Redis does not serve ({said})")


def _options(retry: Any) -> dict[str, Any]:
    return {
        "decode_responses": True,
        "socket_connect_timeout": _CONNECT,
        "socket_timeout": _ANSWER,
        # A second try would wait as long again; a connection that has died is told from one that serves before it is used.
        "retry": retry,
    }
