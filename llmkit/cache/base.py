"""What a store of kept answers has to do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from llmkit.errors import LLMKitError

if TYPE_CHECKING:
    from llmkit.cache.key import Key

log = logging.getLogger("llmkit.cache")


def key_prefix(namespace: str) -> str:
    """Return what stands before the keys of answers."""
    return f"{namespace}:cache:"


class CacheUnavailable(LLMKitError):
    """The store of kept answers does not answer. The call goes on as if nothing were kept."""

    type = "cache_unavailable"


class Standing:
    """Whether a store serves. The log says it once when it fails, and when it serves again."""

    def __init__(self) -> None:
        self._is_away = False

    def failed(self, error: CacheUnavailable) -> None:
        """Take note of a failure."""
        if not self._is_away:
            log.warning("calls are made as if nothing were kept: %s", error)
        self._is_away = True

    def serves(self) -> None:
        """Take note that it has served."""
        if self._is_away:
            self._is_away = False
            log.warning("the cache serves again")


class CacheStore(Protocol):
    """Keeps bytes under keys. Threads and event loops may share one; what it loses is a miss."""

    @property
    def is_of_process(self) -> bool:
        """Whether each process has its own."""

    def get(self, key: Key) -> bytes | None:
        """Return what is kept; None if nothing is.

        Raises:
            CacheUnavailable: the store does not answer.
        """

    async def aget(self, key: Key) -> bytes | None:
        """Do what `get` does, without blocking the event loop."""

    def set(self, key: Key, value: bytes, ttl: float) -> None:
        """Keep it for so many seconds.

        Raises:
            CacheUnavailable: the store does not answer.
        """

    async def aset(self, key: Key, value: bytes, ttl: float) -> None:
        """Do what `set` does, without blocking the event loop."""

    def delete(self, key: Key) -> None:
        """Keep it no longer.

        Raises:
            CacheUnavailable: the store does not answer.
        """

    async def adelete(self, key: Key) -> None:
        """Do what `delete` does, without blocking the event loop."""

    def clear(self, *, owner: str | None = None, model: str | None = None) -> int | None:
        """Keep nothing, or nothing of an owner and of a model any longer; both are hashes, as keys have them.

        Returns:
            How many there were; None if nobody has counted them.

        Raises:
            CacheUnavailable: the store does not answer.
        """
