"""The cache by itself."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from llmkit import Caller, ConfigError, Kit, ResponseCache
from llmkit.cache.base import CacheStore, CacheUnavailable
from llmkit.cache.key import Key
from llmkit.cache.memory import MemoryCache
from support.caches import STORES

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "CANARY"}], "temperature": 0}
ANSWERS = [
    "It is 42.",
    0,
    2.5,
    False,
    "",
    [],
    {"a": [1, None, {"b": "\N{SNOWMAN}"}]},
    "x" * 100_000,
]
# Who asks, and who may get the answer, by the scope.
CALLERS = [
    Caller(user="1", tenant="a"),
    Caller(user="2", tenant="a"),
    Caller(user="1", tenant="b"),
    Caller(user="1"),
    Caller(tenant="a"),
    Caller(),
]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> CacheStore:
    """Return a store of each kind."""
    return STORES[request.param](request)


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
def test_what_is_kept_is_given(answer: Any) -> None:
    """As it was, to the same question in any order."""
    cache = ResponseCache()
    assert cache.get(QUESTION, user=7) is None
    assert cache.set(QUESTION, answer, user=7)
    assert cache.get(dict(reversed(QUESTION.items())), user="7") == answer
    assert type(cache.get(QUESTION, user=7)) is type(answer)
    assert cache.get({**QUESTION, "temperature": 1}, user=7) is None
    assert cache.get(QUESTION, user=7, model="other") is None


@pytest.mark.anyio
async def test_in_an_event_loop(store: CacheStore) -> None:
    """The same, over each store."""
    cache = ResponseCache(store, scope="all")
    assert await cache.aget(QUESTION) is None
    assert await cache.aset(QUESTION, {"a": 1})
    assert await cache.aget(QUESTION) == cache.get(QUESTION) == {"a": 1}
    assert await cache.aclear() in (1, None)
    assert await cache.aget(QUESTION) is None


@pytest.mark.parametrize("scope", ["user", "tenant", "all"])
def test_nobody_gets_what_is_anothers(store: CacheStore, scope: Any) -> None:
    """On no store, and without an owner nothing is kept."""
    cache = ResponseCache(store, scope=scope)
    for at, caller in enumerate(CALLERS):
        owned = {"user": caller.user, "tenant": caller.tenant, "all": True}[scope]
        assert cache.set(QUESTION, at, user=caller) is bool(owned)
    got = [cache.get(QUESTION, user=caller) for caller in CALLERS]
    assert (
        got
        == {
            "user": [0, 1, 2, 3, None, None],
            "tenant": [4, 4, 2, None, 4, None],
            "all": [5] * 6,
        }[scope]
    )


def test_what_is_cleared() -> None:
    """Of a user, of a model, of both, or all."""
    cache = ResponseCache()

    def fill() -> None:
        for user in (1, 2):
            for model in ("a", "b"):
                cache.set(QUESTION, "x", user=user, model=model)

    def left() -> list[tuple[int, str]]:
        every = [(user, model) for user in (1, 2) for model in ("a", "b")]
        return [each for each in every if cache.get(QUESTION, user=each[0], model=each[1])]

    for options, gone, rest in (
        ({}, 4, []),
        ({"user": 1}, 2, [(2, "a"), (2, "b")]),
        ({"model": "a"}, 2, [(1, "b"), (2, "b")]),
        ({"user": Caller(user=1), "model": "a"}, 1, [(1, "b"), (2, "a"), (2, "b")]),
    ):
        fill()
        assert cache.clear(**options) == gone  # type: ignore[arg-type]
        assert left() == rest


def test_what_cannot_be_cleared() -> None:
    """It is said, and nothing is."""
    for scope, user in (("all", 1), ("tenant", 1), ("user", Caller(tenant="a"))):
        cache = ResponseCache(scope=scope)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="answers are kept for"):
            cache.clear(user=user)


def test_how_long() -> None:
    """As long as it is said, for all or for one."""
    now = 0.0
    cache = ResponseCache(ttl=10, scope="all", clock=lambda: now)
    cache.set("a", 1)
    cache.set("b", 2, ttl=100)
    now = 11.0
    assert (cache.get("a"), cache.get("b")) == (None, 2)


@pytest.mark.parametrize(
    ("work", "error", "said"),
    [
        (lambda: ResponseCache(ttl=0), ConfigError, "ttl"),
        (lambda: ResponseCache(scope="everybody"), ConfigError, "scope"),  # type: ignore[arg-type]
        (lambda: ResponseCache("redis://here"), TypeError, "store has to be a store of answers"),  # type: ignore[arg-type]
        (lambda: ResponseCache().get({"x": object()}, user=1), TypeError, "object"),
        (lambda: ResponseCache().get(float("nan"), user=1), TypeError, "question is no JSON"),
        (lambda: ResponseCache().get("x", user=object()), TypeError, "user or tenant"),  # type: ignore[arg-type]
        (lambda: ResponseCache().set("x", None, user=1), TypeError, "None cannot be kept"),
        (lambda: ResponseCache().set("x", object(), user=1), TypeError, "answer is no JSON"),
        (lambda: ResponseCache().set("x", {1, 2}, user=1), TypeError, "answer is no JSON"),
        (lambda: ResponseCache().set("x", b"y", user=1), TypeError, "answer is no JSON"),
        (lambda: ResponseCache().set("x", float("inf"), user=1), TypeError, "answer is no JSON"),
        (lambda: ResponseCache().get(b"x", user=1), TypeError, "bytes"),
        (lambda: ResponseCache().set("x", 1, ttl=-1), ValueError, "ttl has to be"),
        (lambda: ResponseCache().set("x", 1, ttl=True), ValueError, "ttl has to be"),
    ],
)
def test_what_is_wrong(work: Callable[[], object], error: type[Exception], said: str) -> None:
    """It is said."""
    with pytest.raises(error, match=said):
        work()


class Broken(MemoryCache):
    """Does not answer."""

    def get(self, key: Key) -> bytes | None:
        """Fail."""
        raise CacheUnavailable("it is away")

    def set(self, key: Key, value: bytes, ttl: float) -> None:
        """Fail."""
        raise CacheUnavailable("it is away")


def test_a_store_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is kept, and nobody fails."""
    cache = ResponseCache(Broken(1000), scope="all")
    assert cache.set("x", 1) is False
    assert cache.get("x") is None
    assert [record.message for record in caplog.records] == [
        "calls are made as if nothing were kept: it is away"
    ]


def test_a_poisoned_answer() -> None:
    """It is none."""
    store = MemoryCache(10_000)
    cache = ResponseCache(store, scope="all")
    cache.set("x", "y")
    (key,) = store._kept
    data = store.get(key)
    assert data is not None
    chance = random.Random(1)
    for _ in range(200):
        at = chance.randrange(len(data))
        store.set(
            key, data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :], 60
        )
        assert cache.get("x") is None
        store.set(key, data[:at], 60)
        assert cache.get("x") is None
    assert b"CANARY" not in str(key).encode()


def test_that_of_a_kit() -> None:
    """It has what the settings say, and there is none where they say nothing."""
    config = {
        "providers": {"openai": {"api_key": "test-key"}},
        "models": {"default": "openai:gpt-5-mini"},
    }
    kit = Kit({**config, "ledger": False, "cache": {"scope": "tenant", "ttl": 5}})
    assert kit.cache.set("x", 1, user=Caller(tenant="a"))
    assert kit.cache.get("x", user=Caller(user=3, tenant="a")) == 1
    assert kit.cache.clear() == 1
    kit.close()
    with pytest.raises(ConfigError, match="there is no cache"):
        Kit({**config, "ledger": False}).cache  # noqa: B018
