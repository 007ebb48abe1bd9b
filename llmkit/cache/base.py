"""What a store of kept answers has to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from llmkit.errors import LLMKitError

if TYPE_CHECKING:
    from llmkit.cache.key import Key


class CacheUnavailable(LLMKitError):
    """The store of kept answers does not answer. The call goes on as if nothing were kept."""

    type = "cache_unavailable"


class CacheStore(Protocol):
    """Keeps bytes under keys. Threads and event loops may share one; what it loses is a miss."""

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
