"""The cache by itself: for answers that an app has of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from llmkit.cache.base import CacheUnavailable, Standing
from llmkit.cache.entry import opened, sealed
from llmkit.cache.key import Key, model_hash, own_key, owner_hash
from llmkit.cache.memory import MemoryCache
from llmkit.caller import UserId, caller_of
from llmkit.config.cache import CacheConfig, CacheScope
from llmkit.config.errors import explain
from llmkit.errors import ConfigError
from llmkit.kinds import is_number, kind_of

if TYPE_CHECKING:
    from llmkit.cache.base import CacheStore
    from llmkit.caller import Caller


class ResponseCache:
    """Keeps answers, and gives them again to whoever may have them. It works by itself, for what an app asks without llmkit; `kit.cache` is that of a kit.

    A question and its answer are any JSON: texts, numbers, lists, dicts with texts as keys. `user` is an id or a `Caller`, as in calls. A store that does not
    answer keeps nothing, and costs nobody an answer.

    Args:
        store: where they are kept; by default in the memory of this process.
        ttl: for how many seconds.
        scope: who gets an answer: the "user" who has asked, all of their "tenant", or "all". Without a user, or a tenant, nothing is kept.
        max_bytes: how much of its memory this process uses for it.
        clock: gives the time in seconds.

    Raises:
        ConfigError: a value is wrong.
        TypeError: `store` is none.
    """

    def __init__(
        self,
        store: CacheStore | None = None,
        *,
        ttl: float = 3600,
        scope: CacheScope = "user",
        max_bytes: int = 64_000_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        given = {"ttl": ttl, "scope": scope, "max_bytes": max_bytes}
        try:
            config = CacheConfig.model_validate(given)
        except ValidationError as error:
            raise ConfigError(explain(error, CacheConfig, given)) from None
        if store is not None and not hasattr(store, "aget"):
            raise TypeError(
                f"store has to be a store of answers, not {kind_of(store)}. For answers in Redis set redis in the settings of a Kit, and use kit.cache"
            )
        self.store = MemoryCache(config.max_bytes, clock=clock) if store is None else store
        self._ttl = config.ttl
        self._scope = config.scope
        self._standing = Standing()

    def get(self, question: Any, *, user: UserId | Caller = None, model: str = "") -> Any:
        """Return the answer that is kept; None if there is none.

        Raises:
            TypeError: the question is no JSON.
        """
        key = self._key(question, user, model)
        if key is None:
            return None
        try:
            data = self.store.get(key)
        except CacheUnavailable as error:
            return self._standing.failed(error)
        return self._answer(key, data)

    async def aget(self, question: Any, *, user: UserId | Caller = None, model: str = "") -> Any:
        """Do what `get` does, without blocking the event loop."""
        key = self._key(question, user, model)
        if key is None:
            return None
        try:
            data = await self.store.aget(key)
        except CacheUnavailable as error:
            return self._standing.failed(error)
        return self._answer(key, data)

    def set(
        self,
        question: Any,
        answer: Any,
        *,
        user: UserId | Caller = None,
        model: str = "",
        ttl: float | None = None,
    ) -> bool:
        """Keep an answer; return False if it is nobody's, or the store does not answer.

        Raises:
            TypeError: the question or the answer is no JSON, or the answer is None.
            ValueError: `ttl` is no number of seconds above 0.
        """
        key, data, seconds = self._key(question, user, model), _written(answer), self._seconds(ttl)
        if key is None:
            return False
        try:
            self.store.set(key, sealed(str(key), data), seconds)
        except CacheUnavailable as error:
            self._standing.failed(error)
            return False
        self._standing.serves()
        return True

    async def aset(
        self,
        question: Any,
        answer: Any,
        *,
        user: UserId | Caller = None,
        model: str = "",
        ttl: float | None = None,
    ) -> bool:
        """Do what `set` does, without blocking the event loop."""
        key, data, seconds = self._key(question, user, model), _written(answer), self._seconds(ttl)
        if key is None:
            return False
        try:
            await self.store.aset(key, sealed(str(key), data), seconds)
        except CacheUnavailable as error:
            self._standing.failed(error)
            return False
        self._standing.serves()
        return True

    def clear(self, *, user: UserId | Caller = None, model: str | None = None) -> int | None:
        """Keep no answers any longer: all, or those of a user (with the scope "tenant": of a tenant), of a model, or of both.

        In a large Redis it takes a while. `model` is what a call or a question has named.

        Returns:
            How many there were; None if nobody has counted them.

        Raises:
            CacheUnavailable: the store does not answer.
            ValueError: answers are not kept for users, or tenants, such as this one.
        """
        owner = None
        if user is not None:
            owner = owner_hash(caller_of(user), self._scope)
            if owner is None or self._scope == "all":
                raise ValueError(_NOT_KEPT_FOR[self._scope])
        return self.store.clear(owner=owner, model=None if model is None else model_hash(model))

    async def aclear(self, *, user: UserId | Caller = None, model: str | None = None) -> int | None:
        """Do what `clear` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        return await asyncio.to_thread(self.clear, user=user, model=model)

    def _key(self, question: Any, user: UserId | Caller, model: str) -> Key | None:
        try:
            return own_key(question, model, caller_of(user), self._scope)
        except (ValueError, RecursionError) as error:
            raise TypeError("the question is no JSON") from error

    def _answer(self, key: Key, data: bytes | None) -> Any:
        self._standing.serves()
        content = opened(str(key), data)
        try:
            return None if content is None else json.loads(content)
        except ValueError:
            return None

    def _seconds(self, ttl: float | None) -> float:
        if ttl is None:
            return self._ttl
        if not is_number(ttl) or ttl <= 0:
            raise ValueError("ttl has to be a number of seconds above 0")
        return ttl


_NOT_KEPT_FOR = {
    "user": "answers are kept for each user: name the user, and the tenant if they have one",
    "tenant": "answers are kept for each tenant: name the tenant",
    "all": "answers are kept for all: there are none of a user or of a tenant alone",
}


def _written(answer: Any) -> bytes:
    if answer is None:
        raise TypeError("None cannot be kept: it means that nothing is")
    try:
        return json.dumps(answer, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError("the answer is no JSON") from error
