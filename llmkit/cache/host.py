"""Kept answers in the cache of the app's framework, which knows no way to find some of its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, TypeVar

from llmkit.cache.base import CacheUnavailable, key_prefix
from llmkit.ids import new_id
from llmkit.tracebacks import place_of

if TYPE_CHECKING:
    from llmkit.cache.key import Key


T = TypeVar("T")
_MARK = 8


class HostBackend(Protocol):
    """What a framework's cache can do. It may raise anything."""

    @property
    def is_of_process(self) -> bool:
        """Whether each process has its own."""

    def get_many(self, names: Sequence[str]) -> Mapping[str, object]:
        """Return what there is, by its name."""

    async def aget_many(self, names: Sequence[str]) -> Mapping[str, object]:
        """Do what `get_many` does, without blocking the event loop."""

    def set(self, name: str, value: object, ttl: float | None) -> None:
        """Keep it for so many seconds; None for as long as it can."""

    async def aset(self, name: str, value: object, ttl: float | None) -> None:
        """Do what `set` does, without blocking the event loop."""


class HostCache:
    """Keeps answers in the cache of the app's framework.

    What is to be kept no longer is not looked for: each entry says in which eras it was written, that of everything, of its owner and of its
    model, and `clear` begins a new one.

    Args:
        backend: the framework's cache.
        namespace: what stands before all keys.
        new_id: makes the name of an era.
    """

    def __init__(
        self, backend: HostBackend, *, namespace: str, new_id: Callable[[], str] = new_id
    ) -> None:
        self._backend = backend
        self._prefix = key_prefix(namespace)
        self._new_id = new_id

    @property
    def is_of_process(self) -> bool:
        """Whether each process has its own."""
        return self._tried(lambda: self._backend.is_of_process)

    def get(self, key: Key) -> bytes | None:
        """Return what is kept; None if nothing is, or only of an era that is over."""
        names = self._names(key)
        return _value(names, self._tried(lambda: self._backend.get_many(names)))

    async def aget(self, key: Key) -> bytes | None:
        """Do what `get` does, without blocking the event loop."""
        names = self._names(key)
        try:
            return _value(names, await self._backend.aget_many(names))
        except Exception as error:  # of any kind
            raise _failed(error) from error

    def set(self, key: Key, value: bytes, ttl: float) -> None:
        """Keep it for so many seconds."""
        name, *eras = self._names(key)
        found = self._tried(lambda: self._backend.get_many(eras))
        self._tried(lambda: self._backend.set(name, _marked(eras, found, value), ttl))

    async def aset(self, key: Key, value: bytes, ttl: float) -> None:
        """Do what `set` does, without blocking the event loop."""
        name, *eras = self._names(key)
        try:
            found = await self._backend.aget_many(eras)
            await self._backend.aset(name, _marked(eras, found, value), ttl)
        except Exception as error:  # of any kind
            raise _failed(error) from error

    def delete(self, key: Key) -> None:
        """Keep it no longer: nothing in its place is nothing."""
        name, *_ = self._names(key)
        self._tried(lambda: self._backend.set(name, b"", 1))

    async def adelete(self, key: Key) -> None:
        """Do what `delete` does, without blocking the event loop."""
        name, *_ = self._names(key)
        try:
            await self._backend.aset(name, b"", 1)
        except Exception as error:  # of any kind
            raise _failed(error) from error

    def clear(self, *, owner: str | None = None, model: str | None = None) -> None:
        """Begin a new era, of everything, or of an owner and of a model. It lasts as long as the framework's cache keeps its name."""
        self._tried(lambda: self._backend.set(self._era(owner, model), self._new_id(), None))

    def _names(self, key: Key) -> list[str]:
        """Return the name of an entry, and those of its eras."""
        eras = (None, None), (key.owner, None), (None, key.model), (key.owner, key.model)
        return [f"{self._prefix}{key}", *(self._era(*each) for each in eras)]

    def _era(self, owner: str | None, model: str | None) -> str:
        return f"{self._prefix}era.{owner or ''}.{model or ''}"

    def _tried(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except Exception as error:  # of any kind
            raise _failed(error) from error


def _failed(error: Exception) -> CacheUnavailable:
    return CacheUnavailable(
        f"the cache of the framework failed: {place_of(error)}",
        hint="See Django's CACHES, or the settings of Flask-Caching.",
    )


def _marked(eras: Sequence[str], found: Mapping[str, object], value: bytes) -> bytes:
    return _mark(eras, found) + value


def _mark(eras: Sequence[str], found: Mapping[str, object]) -> bytes:
    said = "\0".join(str(found.get(name) or "") for name in eras)
    return sha256(said.encode()).digest()[:_MARK]


def _value(names: Sequence[str], found: Mapping[str, object]) -> bytes | None:
    name, *eras = names
    entry = found.get(name)
    if not isinstance(entry, bytes) or entry[:_MARK] != _mark(eras, found):
        return None
    return entry[_MARK:]
