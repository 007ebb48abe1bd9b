"""The answers of the calls of a process: which are kept, where, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llmkit.cache.base import CacheUnavailable, Standing, log
from llmkit.cache.entry import Kept, Said, read, written
from llmkit.cache.found import Found, Last
from llmkit.cache.key import Key, key_of
from llmkit.cache.rules import may_be_kept, ttl_of
from llmkit.cache.told import failure_of, joined, known_of
from llmkit.cache.told import written as told
from llmkit.errors import ProviderError
from llmkit.parts import AssistantPart, TextPart, ThinkingPart
from llmkit.response import Accumulator

if TYPE_CHECKING:
    from llmkit.cache.base import CacheStore
    from llmkit.cache.exchange import Exchange, Share
    from llmkit.call import Call
    from llmkit.config.cache import CacheConfig
    from llmkit.outputs.output import Output
    from llmkit.policy.plan import Route
    from llmkit.response import Response


@dataclass(frozen=True, slots=True)
class Question:
    """What a call asks of the cache.

    Attributes:
        key: what its answer is kept under.
        ttl: for how many seconds.
        output: what the answer has to be.
    """

    key: Key
    ttl: float
    output: Output | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Looked:
    """What there is for a question.

    Attributes:
        kept: the answer; None if none is kept that can be given.
        token: of the call that processes share; empty if they share none.
        leads: whether it is for the asker to make it.
        serves: whether the store has answered.
    """

    kept: Kept | None = None
    token: str = ""
    leads: bool = True
    serves: bool = True


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
        self._has_warned = False

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
        if key is None:
            self._nobodys(call)
            return None
        return Question(key, ttl, call.output)

    def _nobodys(self, call: Call) -> None:
        """Say once that a call has asked for what is not done."""
        if call.cache and not self._has_warned:
            self._has_warned = True
            log.warning(
                "a call with cache=%r keeps nothing, for it is nobody's: answers are kept for each %s. "
                'Pass user=..., or set "cache": {"scope": "all"}',
                call.cache,
                self._config.scope,
            )

    def look(self, question: Question, token: str) -> Looked:
        """Look for an answer that is kept, or for a call that another process makes; with a token the call may be shared with others."""
        try:
            if token and self.exchange is not None:
                found = self.exchange.calls.look(question.key, token)
            else:
                found = Found(self.store.get(question.key), leads=True)
            kept = read(str(question.key), found.kept)
            if kept is None and found.kept:
                self.store.delete(question.key)
        except CacheUnavailable as error:
            self._standing.failed(error)
            return Looked(serves=False)
        return self._looked(question, found, kept)

    async def alook(self, question: Question, token: str) -> Looked:
        """Do what `look` does, without blocking the event loop."""
        try:
            if token and self.exchange is not None:
                found = await self.exchange.calls.alook(question.key, token)
            else:
                found = Found(await self.store.aget(question.key), leads=True)
            kept = read(str(question.key), found.kept)
            if kept is None and found.kept:
                await self.store.adelete(question.key)
        except CacheUnavailable as error:
            self._standing.failed(error)
            return Looked(serves=False)
        return self._looked(question, found, kept)

    def _looked(self, question: Question, found: Found, kept: Kept | None) -> Looked:
        self._standing.serves()
        if found.kept is None:
            return Looked(None, found.token, found.leads)
        # Where it cannot be given, the call is this process' alone.
        return Looked(kept if self._may_be_given(question, kept) else None)

    def _may_be_given(self, question: Question, kept: Kept | None) -> bool:
        """Whether an answer is not too old for this question, which another may be, and what this one asks for."""
        if kept is None or kept.at + question.ttl <= self._now():
            return False
        if question.output is None:
            return True
        answer = Accumulator()
        answer.add(kept.events())
        return question.output.fits(
            answer.response(
                usage=kept.usage, cost=None, provider=None, model=None, request_id=None, call_id=""
            )
        )

    def end(
        self, share: Share, question: Question, call: Call, how: Response | BaseException
    ) -> None:
        """Tell other processes how a call has ended that is shared with them, and keep its answer."""
        if self.exchange is None or share.is_lost:
            return
        try:
            for last in self._lasts(share, question, call, how):
                if self.exchange.calls.end(share.key, share.token, last):
                    return
        except CacheUnavailable as error:
            self._standing.failed(error)

    async def aend(
        self, share: Share, question: Question, call: Call, how: Response | BaseException
    ) -> None:
        """Do what `end` does, without blocking the event loop."""
        if self.exchange is None or share.is_lost:
            return
        try:
            for last in self._lasts(share, question, call, how):
                if await self.exchange.calls.aend(share.key, share.token, last):
                    return
        except CacheUnavailable as error:
            self._standing.failed(error)

    def _lasts(
        self, share: Share, question: Question, call: Call, how: Response | BaseException
    ) -> Iterator[Last]:
        """Return what is left to be told: in one, as long as nobody has heard anything; else one by one.

        An error that is no provider's is the caller's: others ask for themselves.
        """
        if isinstance(how, BaseException) and not isinstance(how, ProviderError):
            yield Last()
            return
        kept = None if isinstance(how, BaseException) else self._written(question, call, how)
        end = failure_of(how) if isinstance(how, ProviderError) else known_of(how)
        at, untold = share.untold
        if at == 0:
            yield Last(0, told([*joined(untold), end]), kept, question.ttl, in_one=True)
        yield Last(at, told([*untold, end]), kept, question.ttl)

    def give_up(self, question: Question, token: str) -> None:
        """Let another process make a call at once that this one makes no more."""
        if self.exchange is not None:
            try:
                self.exchange.calls.end(question.key, token, Last())
            except CacheUnavailable as error:
                self._standing.failed(error)

    async def agive_up(self, question: Question, token: str) -> None:
        """Do what `give_up` does, without blocking the event loop."""
        if self.exchange is not None:
            try:
                await self.exchange.calls.aend(question.key, token, Last())
            except CacheUnavailable as error:
                self._standing.failed(error)

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


def _said(part: AssistantPart) -> list[Said]:
    match part:
        case TextPart():
            return [("text", part.text, None)]
        case ThinkingPart(redacted=str() as data):
            return [("redacted", data, part.wire)]
        case ThinkingPart():
            said: list[Said] = [("thinking", part.text, None)] if part.text else []
            signature = part.signature
            return said if signature is None else [*said, ("signature", signature, part.wire)]
    return []
