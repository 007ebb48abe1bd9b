"""The answers of the calls of a process: which are kept, where, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmkit.cache.base import CacheUnavailable, Standing
from llmkit.cache.entry import Kept, Kind, read, written
from llmkit.cache.key import Key, key_of
from llmkit.cache.rules import may_be_kept, ttl_of
from llmkit.cache.told import failure_of, known_of
from llmkit.cache.told import written as told
from llmkit.errors import ProviderError
from llmkit.parts import AssistantPart, TextPart, ThinkingPart

if TYPE_CHECKING:
    from llmkit.cache.base import CacheStore
    from llmkit.cache.exchange import Exchange, Share
    from llmkit.cache.shared import Found
    from llmkit.call import Call
    from llmkit.config.cache import CacheConfig
    from llmkit.policy.plan import Route
    from llmkit.response import Response


@dataclass(frozen=True, slots=True)
class Question:
    """What a call asks of the cache.

    Attributes:
        key: what its answer is kept under.
        ttl: for how many seconds.
    """

    key: Key
    ttl: float


@dataclass(frozen=True, slots=True)
class Looked:
    """What there is for a question.

    Attributes:
        kept: the answer; None if none is kept.
        token: of the call that processes share; empty if they share none.
        leads: whether it is for the asker to make it.
    """

    kept: Kept | None
    token: str = ""
    leads: bool = True


class Answers:
    """Keeps answers, and gives them again. A store that does not answer costs nobody an answer: nothing is kept then.

    Args:
        store: where they are kept.
        config: which, for whom and for how long.
        routes: returns the routes of a model.
        now: gives the time in seconds since 1970.
        exchange: with which calls are shared with other processes; None if they are not.
    """

    def __init__(
        self,
        store: CacheStore,
        config: CacheConfig,
        *,
        routes: Callable[[str], Sequence[Route]],
        now: Callable[[], float],
        exchange: Exchange | None = None,
    ) -> None:
        self.store = store
        self.exchange = exchange
        self._config = config
        self._routes = routes
        self._now = now
        self._standing = Standing()

    def close(self) -> None:
        """Ask the store no more, if no call is shared any more."""
        if self.exchange is not None:
            self.exchange.close()

    def question(self, call: Call) -> Question | None:
        """Return what a call asks of the cache; None if its answer is not to be kept.

        Raises:
            ConfigError: the model is not known, or its provider has no key.
        """
        ttl = ttl_of(call, self._config, asked=call.cache)
        if ttl is None:
            return None
        key = key_of(call, self._routes(call.model), self._config.scope)
        return None if key is None else Question(key, ttl)

    def find(self, question: Question) -> Kept | None:
        """Return the answer that is kept; None if there is none. What is no answer is kept no longer."""
        try:
            data = self.store.get(question.key)
            self._standing.serves()
            kept = read(str(question.key), data)
            if kept is None and data:
                self.store.delete(question.key)
        except CacheUnavailable as error:
            self._standing.failed(error)
            return None
        return self._young(question, kept)

    async def afind(self, question: Question) -> Kept | None:
        """Do what `find` does, without blocking the event loop."""
        try:
            data = await self.store.aget(question.key)
            self._standing.serves()
            kept = read(str(question.key), data)
            if kept is None and data:
                await self.store.adelete(question.key)
        except CacheUnavailable as error:
            self._standing.failed(error)
            return None
        return self._young(question, kept)

    def look(self, question: Question) -> Looked:
        """Look for an answer that is kept, or for a call that another process makes."""
        if self.exchange is None:
            return Looked(self.find(question))
        try:
            found = self.exchange.calls.look(question.key, self.exchange.new_id())
            self._standing.serves()
            kept = read(str(question.key), found.kept)
            if kept is None and found.kept:
                self.store.delete(question.key)
        except CacheUnavailable as error:
            self._standing.failed(error)
            return Looked(None)
        return self._looked(question, found, kept)

    async def alook(self, question: Question) -> Looked:
        """Do what `look` does, without blocking the event loop."""
        if self.exchange is None:
            return Looked(await self.afind(question))
        try:
            found = await self.exchange.calls.alook(question.key, self.exchange.new_id())
            self._standing.serves()
            kept = read(str(question.key), found.kept)
            if kept is None and found.kept:
                await self.store.adelete(question.key)
        except CacheUnavailable as error:
            self._standing.failed(error)
            return Looked(None)
        return self._looked(question, found, kept)

    def end(
        self, share: Share, question: Question, call: Call, how: Response | BaseException
    ) -> None:
        """Tell other processes how a call has ended that is shared with them, and keep its answer."""
        if self.exchange is not None and not share.is_lost:
            at, told, kept = self._last(share, question, call, how)
            try:
                self.exchange.calls.end(share.key, share.token, at, told, kept, question.ttl)
            except CacheUnavailable as error:
                self._standing.failed(error)

    async def aend(
        self, share: Share, question: Question, call: Call, how: Response | BaseException
    ) -> None:
        """Do what `end` does, without blocking the event loop."""
        if self.exchange is not None and not share.is_lost:
            at, told, kept = self._last(share, question, call, how)
            try:
                await self.exchange.calls.aend(share.key, share.token, at, told, kept, question.ttl)
            except CacheUnavailable as error:
                self._standing.failed(error)

    def _last(
        self, share: Share, question: Question, call: Call, how: Response | BaseException
    ) -> tuple[int, list[bytes], bytes | None]:
        """Return what is left to be told, from which event on, and what is kept. An error that is no provider's is the caller's: others ask for themselves."""
        at, untold = share.untold
        if isinstance(how, ProviderError):
            return at, told([*untold, failure_of(how)]), None
        if isinstance(how, BaseException):
            return at, [], None
        return at, told([*untold, known_of(how)]), self._written(question, call, how)

    def keep(self, question: Question, call: Call, answer: Response) -> None:
        """Keep an answer that is complete, if it may be given again."""
        data = self._written(question, call, answer)
        if data is not None:
            try:
                self.store.set(question.key, data, question.ttl)
            except CacheUnavailable as error:
                self._standing.failed(error)

    async def akeep(self, question: Question, call: Call, answer: Response) -> None:
        """Do what `keep` does, without blocking the event loop."""
        data = self._written(question, call, answer)
        if data is not None:
            try:
                await self.store.aset(question.key, data, question.ttl)
            except CacheUnavailable as error:
                self._standing.failed(error)

    def _looked(self, question: Question, found: Found, kept: Kept | None) -> Looked:
        if found.kept is None:
            return Looked(None, found.token, found.leads)
        return Looked(
            self._young(question, kept)
        )  # where it cannot be given the call is this process' alone

    def _young(self, question: Question, kept: Kept | None) -> Kept | None:
        """Return the answer if it is not too old for this question; another may still ask for it."""
        return None if kept is None or kept.at + question.ttl <= self._now() else kept

    def _written(self, question: Question, call: Call, answer: Response) -> bytes | None:
        if not may_be_kept(answer, call.output) or answer.stop_reason is None:
            return None
        kept = Kept(
            said=tuple(said for part in answer.parts for said in _said(part)),
            stop_reason=answer.stop_reason,
            raw_stop_reason=answer.raw_stop_reason,
            usage=answer.usage,
            cost=answer.cost,
            provider=answer.provider,
            model=answer.model,
            request_id=answer.request_id,
            at=self._now(),
        )
        return written(str(question.key), kept)


def _said(part: AssistantPart) -> list[tuple[Kind, str]]:
    match part:
        case TextPart():
            return [("text", part.text)]
        case ThinkingPart(redacted=str() as data):
            return [("redacted", data)]
        case ThinkingPart():
            said: list[tuple[Kind, str]] = [("thinking", part.text)] if part.text else []
            return said if part.signature is None else [*said, ("signature", part.signature)]
    return []
