"""What was asked and answered, for the row of a call, where the settings ask for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmkit.ledger.values import sound
from llmkit.parts import ToolCall
from llmkit.tracebacks import place_of

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.messages import Message
    from llmkit.response import Accumulator

log = logging.getLogger("llmkit.ledger")

Redact = Callable[[dict[str, Any]], Mapping[str, Any] | None]
"""Takes what would be kept, and returns what is: the same, changed, or None for nothing."""


class Content:
    """What was asked and answered. Whoever writes the row first asks for it, in the ledger's thread, where no event loop waits.

    Args:
        asked: the system prompt and the messages.
        answered: the answer; None if there is none.
        redact: takes out what must not be kept.
    """

    __slots__ = ("_answered", "_asked", "_kept", "_redact", "_turn")

    def __init__(
        self, asked: Mapping[str, Any], answered: Mapping[str, Any] | None, redact: Redact | None
    ) -> None:
        self._asked = asked
        self._answered = answered
        self._redact = redact
        self._turn = threading.Lock()
        self._kept: list[dict[str, Any] | None] = []

    @property
    def kept(self) -> dict[str, Any] | None:
        """What the row keeps, as plain JSON; None if that is nothing, or if it could not be redacted.

        While one thread redacts, another does not wait for it: there the row is written without.
        """
        if not self._kept and self._turn.acquire(blocking=False):
            try:
                if not self._kept:
                    self._kept.append(self._made())
            finally:
                self._turn.release()
        return self._kept[0] if self._kept else None

    def _made(self) -> dict[str, Any] | None:
        try:
            whole = {**sound(self._asked), "answer": sound(self._answered)}
            kept = whole if self._redact is None else self._redact(whole)
            return None if kept is None else _checked(sound(kept))
        except BaseException as error:  # noqa: BLE001  # the app's own function may raise anything, and ends no thread of ours by it
            log.error(  # noqa: TRY400  # its message may quote what was to be taken out
                "the content of a call is not kept: ledger.redact failed (%s)",
                place_of(error, self._redact),
            )
            return None


class Contents:
    """Makes the content of rows.

    Args:
        redact: as `Content` takes it.
    """

    def __init__(self, redact: Redact | None = None) -> None:
        self._redact = redact

    def of(self, call: Call, answer: Accumulator | None = None) -> Content:
        """Take what was asked, and as much as was answered."""
        messages = [_message(message) for message in call.messages]
        answered: dict[str, Any] | None = None
        if answer is not None and answer.size:
            answered = {"text": answer.text}
            if answer.thinking:
                answered["thinking"] = answer.thinking
            if calls := [part for part in answer.parts if isinstance(part, ToolCall)]:
                answered["tool_calls"] = [asdict(call) for call in calls]
        return Content({"system": call.system, "messages": messages}, answered, self._redact)


def _message(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        said["tool_calls"] = [asdict(call) for call in message.tool_calls]
    if message.tool_results:
        said["tool_results"] = [asdict(result) for result in message.tool_results]
    return said


def _checked(kept: Any) -> dict[str, Any]:
    if not isinstance(kept, dict):
        raise TypeError("redact has to return a dict or None")
    return kept
