"""Whose answers are: nobody gets another's, on any store, whether it is kept or on its way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llmkit import Caller, Kit
from llmkit.cache.base import CacheStore
from llmkit.testing import Behaviour, Emulator
from support.caches import STORES
from support.kits import settings

CALLERS = {
    "one": Caller(user="1", tenant="a"),
    "two": Caller(user="2", tenant="a"),
    "elsewhere": Caller(user="1", tenant="b"),
    "alone": Caller(user="1"),
    "a tenant": Caller(tenant="a"),
    "nobody": Caller(),
}
# Who may have an answer that was given to whom, beside their own.
SHARED = {
    "user": {(name, name) for name in ("one", "two", "elsewhere", "alone")},
    "tenant": {
        (one, other) for one in ("one", "two", "a tenant") for other in ("one", "two", "a tenant")
    }
    | {("elsewhere", "elsewhere")},
    "all": {(one, other) for one in CALLERS for other in CALLERS},
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> CacheStore:
    """Return a store of each kind."""
    return STORES[request.param](request)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Start a provider."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        yield emulator


@pytest.mark.parametrize("scope", ["user", "tenant", "all"])
def test_a_kept_answer(store: CacheStore, emulator: Emulator, scope: str) -> None:
    """Is given to those of its scope alone."""
    kit = kit_of(emulator, store, scope)
    found = set()
    for one, given in CALLERS.items():
        store.clear()
        kit.client.complete("Whose?", temperature=0, user=given)
        for other, asks in CALLERS.items():
            if other != one and kit.client.complete("Whose?", temperature=0, user=asks).cached:
                found.add((one, other))
            if scope != "all":  # what this one has asked is its own
                store.clear()
                kit.client.complete("Whose?", temperature=0, user=given)
    kit.close()
    assert found == {each for each in SHARED[scope] if each[0] != each[1]}


@pytest.mark.parametrize("scope", ["user", "tenant", "all"])
def test_an_answer_on_its_way(emulator: Emulator, scope: str) -> None:
    """Is shared by those of its scope alone."""
    emulator.behaviour = Behaviour(tokens=9, delay=0, hold_at=3)
    kit = kit_of(emulator, None, scope)
    begun = threading.Barrier(2 * len(CALLERS) + 1)

    def ask(name: str) -> tuple[str, str]:
        with kit.client.stream("Whose?", temperature=0, user=CALLERS[name]) as stream:
            assert stream.read()
            begun.wait(60)
            while stream.read() is not None:
                pass
        return name, stream.response.call_id if not stream.response.shared else ""

    with ThreadPoolExecutor(2 * len(CALLERS)) as threads:
        asked = threads.map(ask, [*CALLERS, *CALLERS])
        begun.wait(60)
        emulator.release(None)
        paid = [name for name, call_id in asked if call_id]
    kit.close()
    owners = {"user": 4 + 2 * 2, "tenant": 2 + 2 * 2, "all": 1}[scope]
    assert len(paid) == len(emulator.requests) == owners


def kit_of(emulator: Emulator, store: CacheStore | None, scope: str) -> Kit:
    """Make a kit whose answers are kept in a store."""
    cache: dict[str, Any] = {"scope": scope, "store": "memory" if store is None else "host"}
    return Kit(settings(emulator, cache=cache), host_cache=store)
