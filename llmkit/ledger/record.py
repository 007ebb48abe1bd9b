"""What is known of one attempt: when, what, how much. It fills the ledger's row and the caller's response."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from llmkit.errors import AnswerTooLarge, ProviderError
from llmkit.events import Finish
from llmkit.ledger.row import Closing, Opening, Progress, reduced, unsent
from llmkit.policy.estimate import estimate_prompt, estimate_tokens
from llmkit.policy.pricing import UNSENT, Priced
from llmkit.providers.head import RateLimits, request_id
from llmkit.response import Accumulator, Response, Status
from llmkit.tracebacks import place_of
from llmkit.usage import PLAIN, Billing, Usage

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.ledger.content import Contents
    from llmkit.policy.budgets.decide import Claim
    from llmkit.policy.clocks import Clocks
    from llmkit.policy.plan import Try
    from llmkit.policy.pricing import Prices
    from llmkit.providers.base import Decoder

log = logging.getLogger("llmkit.stream")


class AttemptRecord:
    """Keeps the facts of one attempt. Pure but for the clock it is given.

    Args:
        clock: seconds, for durations. `now`: the date, in UTC, for the row.
        contents: makes what the row keeps of the messages and the answer; None if it keeps nothing.

    Attributes:
        granted_at: when budgets elsewhere than in the ledger's database have granted what it asks.
        sent: whether its request may have reached the provider. What was not sent costs nothing.
    """

    def __init__(
        self,
        call: Call,
        step: Try,
        *,
        clocks: Clocks,
        prices: Prices,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        contents: Contents | None = None,
    ) -> None:
        self._call = call
        self._attempt = step.attempt
        self._provider = step.route.provider.name
        self._model = step.route.model
        self._clocks = clocks
        self._prices = prices
        self._clock = clock
        self._contents = contents
        self._started_at = now()
        self._started = clock()
        self._http_status: int | None = None
        self._request_id: str | None = None
        self._headers: Mapping[str, str] = {}
        self.sent = False
        self._is_runaway = False
        self._holds = False
        self.granted_at: datetime | None = None

    def opening(self, claims: tuple[Claim, ...] = ()) -> Opening:
        """Return the row as it stands before bytes go out, with what it asks of budgets."""
        self._holds = bool(claims)
        return opening(
            self._call,
            attempt=self._attempt,
            provider=self._provider,
            model=self._model,
            at=self._started_at,
            input_tokens=self._prompt_tokens,
            claims=claims,
            granted_at=self.granted_at,
        )

    def refused(self, error_type: str) -> tuple[Opening, Closing]:
        """Return the row of an attempt that a budget has refused."""
        row = self.opening()
        return row, unsent(row, "refused", 0.0, error_type=error_type)

    @property
    def hold_id(self) -> str:
        """The id of what it holds of budgets."""
        return f"{self._call.call_id}:{self._attempt}"

    @property
    def last_hold_id(self) -> str | None:
        """The id of what the attempt before it held; None if it is the first one."""
        return f"{self._call.call_id}:{self._attempt - 1}" if self._attempt > 1 else None

    def progress(self, decoder: Decoder | None, answer: Accumulator) -> Progress:
        """Return what the row holds so far, in case that nobody sees its end."""
        usage = self._filled(decoder.usage if decoder else Usage(), answer, seen=True)
        priced = self._priced(_billing_of(decoder), usage)
        first = self._clocks.first_content_at
        return Progress(
            call_id=self._call.call_id,
            attempt=self._attempt,
            usage=usage,
            cost=priced.cost,
            price_version=priced.version,
            first_content_at=None if first is None else self._date(first),
        )

    @cached_property
    def _prompt_tokens(self) -> int:
        return estimate_prompt(self._call)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of the head of the answer."""
        self._http_status = status
        self._request_id = request_id(headers)
        self._headers = headers

    def named(self, error: ProviderError) -> ProviderError:
        """Say in the error where it came from."""
        error.provider = error.provider or self._provider
        error.model = error.model or self._model
        error.request_id = error.request_id or self._request_id
        error.status_code = error.status_code or self._http_status
        error.rate_limits = dict(RateLimits(self._headers))
        self._is_runaway = isinstance(error, AnswerTooLarge)
        return error

    def complete(self, finish: Finish, answer: Accumulator) -> Finish:
        """Fill in what the provider did not report of a complete answer."""
        usage = self._filled(finish.usage, answer, seen=True)
        return (
            finish
            if usage is finish.usage
            else Finish(finish.stop_reason, finish.raw_stop_reason, usage)
        )

    def closing(
        self,
        status: Status,
        error: BaseException | None,
        decoder: Decoder | None,
        answer: Accumulator,
    ) -> Closing:
        """Return what closes the row."""
        try:
            return self._closing(status, error, decoder, answer)
        except Exception as failure:  # noqa: BLE001
            # What a provider of the app's own says of its answer may be anything; its row is closed all the same.
            log.error("a row was closed without its token counts and cost: %s", place_of(failure))  # noqa: TRY400  # it may quote the answer
            return reduced(self._closing(status, error, None, Accumulator()))

    def _closing(
        self,
        status: Status,
        error: BaseException | None,
        decoder: Decoder | None,
        answer: Accumulator,
    ) -> Closing:
        usage = self._usage(decoder, answer, error)
        billing = _billing_of(decoder)
        priced = self._priced(billing, usage) if self._was_sent(error) else UNSENT
        first = self._clocks.first_content_at
        return Closing(
            call_id=self._call.call_id,
            attempt=self._attempt,
            status=status,
            usage=usage,
            cost=priced.cost,
            price_version=priced.version,
            stop_reason=answer.finish.stop_reason if answer.finish else None,
            raw_stop_reason=answer.finish.raw_stop_reason if answer.finish else None,
            error_type=None if status == "finished" else error_type(error),
            error_code=None if status == "finished" else getattr(error, "code", None),
            http_status=self._http_status,
            request_id=self._quoted_id(decoder),
            model_reported=decoder.model if decoder else None,
            first_content_at=None if first is None else self._date(first),
            finished_at=self._date(self._clock()),
            billing=billing,
            content=self._contents.of(self._call, answer) if self._contents else None,
            held=self._holds,
        )

    def response(self, decoder: Decoder | None, answer: Accumulator) -> Response:
        """Return the answer so far."""
        usage = self._usage(decoder, answer, None)
        return answer.response(
            usage=usage,
            cost=self._priced(_billing_of(decoder), usage).cost,
            provider=self._provider,
            model=(decoder.model if decoder else None) or self._model,
            request_id=self._quoted_id(decoder),
            call_id=self._call.call_id,
            rate_limits=RateLimits(self._headers),
        )

    def _priced(self, billing: Billing, usage: Usage) -> Priced:
        at = self._started_at  # as whoever prices the row anew would
        return self._prices.cost(self._provider, self._model, usage, billing=billing, at=at)

    def _date(self, moment: float) -> datetime:
        # By the clock, so that a row's durations hold when the computer's date is set meanwhile.
        return self._started_at + timedelta(seconds=moment - self._started)

    def _quoted_id(self, decoder: Decoder | None) -> str | None:
        return self._request_id or (decoder.request_id if decoder else None)

    def _usage(
        self, decoder: Decoder | None, answer: Accumulator, error: BaseException | None
    ) -> Usage:
        if answer.finish is not None:
            return answer.finish.usage
        if decoder is None and not self._may_be_billed(error):
            return Usage()
        # An answer that comes whole is not seen before its end: how much of it there was, nobody knows. And what no model writes, none
        # bills: to estimate its millions of characters would take half a second and say nothing.
        seen = self._call.streaming and not self._is_runaway
        # Embeddings have no output that anybody bills, however much of them there was.
        seen = seen or self._call.embedding is not None
        return self._filled(decoder.usage if decoder else Usage(), answer, seen=seen)

    def _may_be_billed(self, error: BaseException | None) -> bool:
        # A provider that answered with an error status, or was never reached, has read no prompt.
        return self._http_status is None and self._was_sent(error)

    def _was_sent(self, error: BaseException | None) -> bool:
        return self.sent and not (isinstance(error, ProviderError) and not error.sent)

    def _filled(self, usage: Usage, answer: Accumulator, *, seen: bool) -> Usage:
        if usage.input_tokens is None:
            usage = replace(usage, input_tokens=self._prompt_tokens, input_source="estimated")
        if usage.output_tokens is None and seen:
            tokens = estimate_tokens(answer.written)
            usage = replace(usage, output_tokens=tokens, output_source="estimated")
        return usage


class Ending:
    """How an attempt ended, for what it holds. What closes its row is made when somebody asks for it."""

    __slots__ = ("_closing", "_make", "status")

    def __init__(self, status: Status, make: Callable[[], Closing]) -> None:
        self.status = status
        self._make = make
        self._closing: Closing | None = None

    @property
    def closing(self) -> Closing:
        """What closes the row: counts, cost, reasons."""
        if self._closing is None:
            self._closing = self._make()
        return self._closing


def _billing_of(decoder: Decoder | None) -> Billing:
    return PLAIN if decoder is None else decoder.billing


def opening(
    call: Call,
    *,
    attempt: int,
    provider: str | None,
    model: str | None,
    at: datetime,
    input_tokens: int | None = None,
    claims: tuple[Claim, ...] = (),
    granted_at: datetime | None = None,
) -> Opening:
    """Make the opening of a row."""
    return Opening(
        call_id=call.call_id,
        attempt=attempt,
        run_id=call.run_id,
        user_key=call.caller.user,
        tenant=call.caller.tenant,
        conversation=call.conversation,
        tags=call.caller.tags,
        alias=call.model,
        provider=provider,
        model=model,
        streamed=call.streaming,
        started_at=at,
        input_tokens=input_tokens,
        claims=claims,
        granted_at=granted_at,
    )


def error_type(error: BaseException | None) -> str | None:
    """Return the word that the ledger keeps for an error: ours, or the class."""
    if error is None:
        return None
    return str(getattr(error, "type", type(error).__name__))[:64]
