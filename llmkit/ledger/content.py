"""What was asked and answered, for the row of a call, where the settings ask for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llmkit.ledger.values import sound

if TYPE_CHECKING:
    from llmkit.call import Call
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

    __slots__ = ("__dict__", "_answered", "_asked", "_redact")

    def __init__(
        self, asked: Mapping[str, Any], answered: Mapping[str, Any] | None, redact: Redact | None
    ) -> None:
        self._asked = asked
        self._answered = answered
        self._redact = redact

    @cached_property
    def kept(self) -> dict[str, Any] | None:
        """What the row keeps, as plain JSON; None if that is nothing, or if it could not be redacted."""
        try:
            whole = {**sound(self._asked), "answer": sound(self._answered)}
            kept = whole if self._redact is None else self._redact(whole)
            return None if kept is None else _checked(sound(kept))
        except Exception as error:  # noqa: BLE001  # the app's own function; its message may quote what was to be taken out
            log.error(  # noqa: TRY400
                "the content of a call is not kept: ledger.redact failed (%s%s)",
                type(error).__name__,
                _place(error),
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
        messages = [{"role": message.role, "content": message.text} for message in call.messages]
        answered: dict[str, Any] | None = None
        if answer is not None and answer.size:
            answered = {"text": answer.text}
            if answer.thinking:
                answered["thinking"] = answer.thinking
        return Content({"system": call.system, "messages": messages}, answered, self._redact)


def _checked(kept: Any) -> dict[str, Any]:
    if not isinstance(kept, dict):
        raise TypeError("redact has to return a dict or None")
    return kept


def _place(error: BaseException) -> str:
    """Say where an error comes from, for its message cannot be shown."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "" if last is None else f", {last.tb_frame.f_code.co_filename}:{last.tb_lineno}"
