"""An answer that is not of the type that was asked for is mended by the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmkit.errors import InvalidRequest, OutputInvalid
from llmkit.kinds import is_whole
from llmkit.messages import Message
from llmkit.response import Response
from llmkit.tools.steps import total_cost, total_usage


def repairs_of(options: Mapping[str, Any]) -> int:
    """Return how often an answer may be mended.

    Raises:
        InvalidRequest: that is no number, or there is no type that it has to be of.
    """
    repairs = options.get("repair") or 0
    if not is_whole(repairs) or repairs < 0:
        raise InvalidRequest(
            f"repair is {repairs!r}", hint="Pass a whole number, such as repair=1."
        )
    if repairs and options.get("output_type") is None:
        raise InvalidRequest(
            "repair is set, and there is no output_type",
            hint="Pass output_type=..., or leave it out.",
        )
    return repairs


def mend(messages: Sequence[Message], error: OutputInvalid) -> tuple[Message, ...]:
    """Go on with a conversation: say to the model what is wrong with its answer."""
    problems = "\n".join(error.problems)
    said = f"This is not valid:\n{problems}\nAnswer again, with the whole JSON."
    answer = [Message.assistant(error.response)] if error.response.text else []
    return (*messages, *answer, Message.user(said))


def with_costs_of(reply: Response, failed: Sequence[Response]) -> Response:
    """Return an answer with the tokens and the cost of those before it."""
    if not failed:
        return reply
    replies = [*failed, reply]
    return replace(
        reply,
        usage=total_usage(each.usage for each in replies),
        cost=total_cost(each.cost for each in replies),
    )
