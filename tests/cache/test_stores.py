"""What every store of kept answers does."""

from __future__ import annotations

import gc
import os
import weakref
from dataclasses import replace

import pytest

from llmkit.cache.base import CacheStore
from llmkit.cache.key import Key
from llmkit.cache.memory import MemoryCache
from support.caches import STORES

KEY = Key("a" * 16, "b" * 16, "c" * 64)
OTHERS = [
    replace(KEY, owner="d" * 16),
    replace(KEY, model="d" * 16),
    replace(KEY, question="d" * 64),
]
# All that a store must not take for a text.
BYTES = bytes(range(256)) * 40


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> CacheStore:
    """Return a store of each kind."""
    return STORES[request.param](request)


def test_what_is_kept_is_there(store: CacheStore) -> None:
    """As it was, under its own key alone, until it is kept no longer."""
    assert store.get(KEY) is None
    store.set(KEY, BYTES, 60)
    assert store.get(KEY) == BYTES
    assert [store.get(key) for key in OTHERS] == [None] * 3
    store.set(KEY, b"other", 60)
    assert store.get(KEY) == b"other"
    store.delete(KEY)
    store.delete(KEY)
    assert not store.get(KEY)


@pytest.mark.anyio
async def test_in_an_event_loop(store: CacheStore) -> None:
    """The same; threads see it too."""
    assert await store.aget(KEY) is None
    await store.aset(KEY, BYTES, 60)
    assert await store.aget(KEY) == store.get(KEY) == BYTES
    await store.adelete(KEY)
    assert not await store.aget(KEY)


def test_what_is_cleared(store: CacheStore) -> None:
    """All, or what is of an owner, of a model, or of both; what is kept afterwards stays."""
    keys = [KEY, *OTHERS]
    for owner, model, left in (
        (None, None, []),
        (KEY.owner, None, [OTHERS[0]]),
        (None, KEY.model, [OTHERS[1]]),
        (KEY.owner, KEY.model, OTHERS[:2]),
    ):
        for key in keys:
            store.set(key, b"x", 60)
        found = store.clear(owner=owner, model=model)
        assert found in (None, len(keys) - len(left))
        assert [key for key in keys if store.get(key)] == left
        store.set(KEY, b"y", 60)
        assert store.get(KEY) == b"y"


class Clock:
    """A time that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def keys(count: int) -> list[Key]:
    """Make some keys."""
    return [replace(KEY, question=f"{at:064}") for at in range(count)]


def test_memory_is_bounded_and_forgets() -> None:
    """What was not asked for the longest goes first; what is old is not there, and what is too long never is."""
    clock = Clock()
    store = MemoryCache(10_000, clock=clock)
    one, two, three, four, five = keys(5)
    for key in (one, two, three):
        store.set(key, b"x" * 2500, 60)
    assert store.get(one) is not None
    store.set(four, b"x" * 2500, 60)
    assert [key for key in (one, two, three, four) if store.get(key)] == [one, three, four]
    store.set(five, b"x" * 10_000, 60)
    assert store.get(five) is None
    store.set(one, b"y", 0.5)
    clock.now = 0.5
    assert store.get(one) is None
    assert store.get(three) is not None
    # What was dropped takes no room.
    for key in keys(1000):
        store.set(key, b"x", 60)
    assert sum(store.get(key) is not None for key in keys(1000)) == 10_000 // 401


def test_memory_of_a_fork_is_its_own() -> None:
    """And not locked, whatever another thread of the parent's was doing."""
    store = MemoryCache(10_000)
    store.set(KEY, b"x", 60)
    with store._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if store.get(KEY) is None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.get(KEY) == b"x"


def test_a_store_in_memory_goes_with_whoever_has_it() -> None:
    """Nothing else keeps it, and all that is in it."""
    store = MemoryCache(1000)
    store.set(KEY, b"x", 60)
    known = weakref.ref(store)
    del store
    gc.collect()
    assert known() is None
