"""What a model reads of what a tool has returned."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from llmkit.concurrency.jobs import Unfit
from llmkit.errors import ToolError
from llmkit.kinds import kind_of


def text_of(value: Any, *, most: int) -> str:
    """Return what a model reads of it: a text as it is, all else as JSON.

    Args:
        value: what the tool has returned.
        most: how many characters can be read.

    Raises:
        ToolError: it is too long.
        Unfit: it cannot be written as JSON.
    """
    if isinstance(value, str) or not _is_longer(value, most):
        text = value if isinstance(value, str) else _json(value)
        if len(text) <= most:
            return sound(text)
    raise ToolError(
        f"The result has more than {most:,} characters, which is too long. Ask for less."
    )


def sound(text: str) -> str:
    """Return a text that can be sent: of half a character a question mark is left."""
    return text.encode("utf-8", "replace").decode()


def _json(value: Any) -> str:
    try:
        return to_json(value).decode()
    except PydanticSerializationError:
        raise Unfit(f"it returned {kind_of(value)}, which is no JSON") from None


def _is_longer(value: Any, most: int) -> bool:
    """Say whether it is certainly longer, before a gigabyte is written out: it may be an event loop that waits meanwhile."""
    count, left = 0, [value]
    while left and count <= most:
        each = left.pop()
        count += 1
        if isinstance(each, str):
            count += len(each)
        elif isinstance(each, bytes | bytearray):
            count += len(each) // 4  # UTF-8 takes up to four for a character
        elif isinstance(each, list | tuple | set | frozenset | dict):
            # Each of them is one character or more.
            if len(each) > most:
                return True
            left += each
            if isinstance(each, dict):
                left += each.values()
    return count > most
