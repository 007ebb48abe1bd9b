# Generated from llmkit/relay/_async/door.py. Do not edit.
"""The door: accepts a request, or says why not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from llmkit._sync.tool_loop import ToolLoop
from llmkit.caller import Caller
from llmkit.errors import (
    BudgetUnavailable,
    ConfigError,
    InvalidRequest,
    LedgerUnavailable,
    LLMKitError,
    StreamClosed,
)
from llmkit.policy.periods import start_of
from llmkit.relay.answer import Answer
from llmkit.relay.payload import parse
from llmkit.relay.problem import CLIENT_LEFT, problem_of, unreadable
from llmkit.relay.rules import (
    NOT_FOUND,
    User,
    caller_of,
    check_length,
    check_media_type,
    to_answer,
    usage_answer,
)

if TYPE_CHECKING:
    from llmkit._sync.stream import StreamManager
    from llmkit.budget.manager import Left
    from llmkit.config import RelayConfig
    from llmkit.kit import Kit

log = logging.getLogger("llmkit.relay")


class Request(Protocol):
    """A POST request, as an adapter passes it on. Each method is called once, in this order."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, found by their names in lower case."""

    @property
    def has_get_user(self) -> bool:
        """Whether the app has a `get_user` of its own."""

    def check_origin(self) -> None:
        """Refuse a request that another site may have sent in the user's name.

        Raises:
            Refusal: it may be forged (403).
        """

    def user(self) -> User:
        """Say who calls.

        Raises:
            Refusal: who calls may not (403).
        """

    def body(self, limit: int) -> bytes:
        """Read the body, up to a limit in bytes.

        Raises:
            Refusal: it is larger (413).
            ConnectionError: the client left while it sent it.
        """


class Door:
    """Decides which request becomes a call, in the same way for every framework."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def admit(self, request: Request, *, streaming: bool) -> StreamManager | Answer:
        """Return the call that a request asks for, not opened yet, or the answer that says what is wrong."""
        settings = self._kit.config.relay
        try:
            check_media_type(request.headers)
            request.check_origin()
            caller = caller_of(
                request.user(),
                anonymous=settings.anonymous,
                has_get_user=request.has_get_user,
            )
            check_length(request.headers, settings.max_body)
            try:
                body = request.body(settings.max_body)
            except (
                ConnectionError
            ):  # of the request alone: what the app's own code raises is the app's
                return Answer.of(CLIENT_LEFT, {})
            payload = parse(body, settings)
            options = payload.options(settings, caller)
            asked = (
                self._loop(settings) if self._kit.runtime.relay_tools else self._kit.client
            )
            return asked.prepare(payload.messages, options, streaming=streaming)
        except LLMKitError as error:
            return problem_of(error).answer

    def usage(self, request: Request) -> Answer:
        """Return what the caller's own calls of today and of this month come to, and what is left to them; or what is wrong."""
        if self._kit.ledger is None:
            return NOT_FOUND
        try:
            caller = caller_of(
                request.user(), anonymous=False, has_get_user=request.has_get_user
            )
            tracker = self._kit.cost_tracker
            # Another tenant's user of the same id is somebody else.
            where = {"user": caller.user, "tenant": caller.tenant}
            now = tracker.now()
            since = start_of("month", now, tracker.zone)
            days = tracker.report(by="day", since=since, where=where)
            left = self._left(caller)
            return usage_answer(days, left, str(now.astimezone(tracker.zone).date()))
        except LedgerUnavailable as error:
            return unreadable(error).answer
        except LLMKitError as error:
            return problem_of(error).answer

    def _loop(self, settings: RelayConfig) -> ToolLoop:
        """Make the loop of the app's tools.

        Raises:
            ConfigError: one of them cannot be run here.
        """
        try:
            return ToolLoop(
                self._kit.client,
                self._kit.runtime.relay_tools,
                max_steps=settings.max_steps,
                tool_timeout=settings.tool_timeout,
            )
        except InvalidRequest as error:
            raise ConfigError(f"relay.tools: {error.message}", hint=error.hint) from None

    def _left(self, caller: Caller) -> list[Left] | None:
        """Say what is left to a caller; None if that cannot be said now: what calls have cost can."""
        if not self._kit.config.budgets:
            return []
        try:
            return self._kit.budgets.left(caller)
        except (BudgetUnavailable, ConfigError) as error:
            log.error("it cannot be said what is left of budgets: %s", error)  # noqa: TRY400  # as for a call
            return None


def visitor(request: Request) -> Caller:
    """Return who looks at the chat page: nobody, too, where that cannot be said. A call then says why."""
    try:
        user = request.user()
        return caller_of(user, anonymous=True, has_get_user=request.has_get_user)
    except Exception:  # noqa: BLE001  # the page is everybody's
        return Caller()


def answer_whole(manager: StreamManager) -> Answer:
    """Make the call, and return the complete answer or the error."""
    try:
        with manager as stream:
            while stream.read() is not None:
                pass
            return to_answer(stream.response)
    except StreamClosed:
        return Answer.of(CLIENT_LEFT, {})
    except LLMKitError as error:
        return problem_of(error).answer
