"""Kept answers in the memory of the process: those that were asked for last."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from llmkit.cache.key import Key

# What an entry takes beside its own bytes, about.
_BESIDE = 400


class MemoryCache:
    """Keeps answers in this process. What was not asked for the longest goes first when there is no more room.

    Args:
        max_bytes: how much there is room for.
        clock: gives the time in seconds.
    """

    is_of_process = True

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, tuple[bytes, float]] = OrderedDict()
        self._size = 0
        _STORES.add(self)

    def forget(self) -> None:
        """Be empty and whole in the child of a fork, whatever another thread was doing."""
        self._lock = threading.Lock()
        self._kept, self._size = OrderedDict(), 0

    def get(self, key: Key) -> bytes | None:
        """Return what is kept; None if nothing is."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            value, until = found
            if until <= self._clock():
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return value

    async def aget(self, key: Key) -> bytes | None:
        """Do what `get` does, which takes no time."""
        return self.get(key)

    def set(self, key: Key, value: bytes, ttl: float) -> None:
        """Keep it for so many seconds, if there is room for it at all."""
        size = len(value) + _BESIDE
        with self._lock:
            self._drop(key)
            if size > self._max_bytes:
                return
            self._kept[key] = value, self._clock() + ttl
            self._size += size
            while self._size > self._max_bytes:
                self._drop(next(iter(self._kept)))

    async def aset(self, key: Key, value: bytes, ttl: float) -> None:
        """Do what `set` does, which takes no time."""
        self.set(key, value, ttl)

    def delete(self, key: Key) -> None:
        """Keep it no longer."""
        with self._lock:
            self._drop(key)

    async def adelete(self, key: Key) -> None:
        """Do what `delete` does, which takes no time."""
        self.delete(key)

    def clear(self, *, owner: str | None = None, model: str | None = None) -> int:
        """Keep nothing any longer, in this process alone; or nothing of an owner and of a model."""
        with self._lock:
            found = [
                key
                for key in self._kept
                if owner in (None, key.owner) and model in (None, key.model)
            ]
            for key in found:
                self._drop(key)
            return len(found)

    def _drop(self, key: Key) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._size -= len(found[0]) + _BESIDE


_STORES: WeakSet[MemoryCache] = WeakSet()


def _forget() -> None:
    for store in list(_STORES):
        store.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
