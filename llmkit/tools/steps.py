"""What a loop of tools has done so far, step by step. Nothing here waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, cast

from llmkit.caller import NOTHING
from llmkit.errors import OutOfSteps
from llmkit.errors.answers import check_whole
from llmkit.messages import Message
from llmkit.parts import ToolCall, ToolResult
from llmkit.response import OutputT_co, Response
from llmkit.usage import EXACT, Source, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: an answer of the model, and what the tools that it called have given.

    Attributes:
        reply: the answer.
        results: one for each of its calls, in their order; none in the last step.
        errors: what tools, and `approve`, have raised, by the id of the call: the model learns no more than that they failed.
    """

    reply: Response
    results: tuple[ToolResult, ...] = ()
    errors: Mapping[str, Exception] = field(default_factory=lambda: NOTHING, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult(Generic[OutputT_co]):
    """What a loop of tools has done.

    Attributes:
        run_id: the `run_id` of the rows of its calls.
        steps: its steps, in their order.
        messages: the whole conversation: what was asked, answers, results. `[*messages, Message.user(...)]` goes on with it.
        usage: the tokens of all steps. A count that one of them does not know is None.
        cost: of all steps in US dollars; None if one is unknown. Attempts that failed before an answer are in the ledger alone.
    """

    run_id: str
    steps: tuple[Step, ...]
    messages: tuple[Message, ...] = field(repr=False)
    usage: Usage
    cost: Decimal | None

    @property
    def reply(self) -> Response[OutputT_co] | None:
        """The last answer; None if there is none yet."""
        return self.steps[-1].reply if self.steps else None

    @property
    def text(self) -> str:
        """The text of the last answer."""
        return self.reply.text if self.reply is not None else ""

    @property
    def output(self) -> OutputT_co:
        """What the last answer says, of the `output_type` that was asked for; None if it says nothing of it."""
        said: Any = None if self.reply is None else self.reply.output
        return cast("OutputT_co", said)


class Steps:
    """The steps of one loop.

    Args:
        messages: what is asked.
        max_steps: how many answers the model may give.
        run_id: of the loop.

    Attributes:
        messages: what the model is told next.
    """

    def __init__(self, messages: Sequence[Message], *, max_steps: int, run_id: str) -> None:
        self.messages = list(messages)
        self.run_id = run_id
        self._max_steps = max_steps
        self._steps: list[Step] = []

    @property
    def is_first(self) -> bool:
        """Whether no answer has come yet."""
        return not self._steps

    @property
    def replies(self) -> list[Response]:
        """The answers so far."""
        return [step.reply for step in self._steps]

    def take(self, reply: Response) -> tuple[ToolCall, ...]:
        """Take an answer in. Return the calls that are to be run; none if the loop is at its end.

        Raises:
            AnswerCut: the answer reached its limit of tokens while it called tools.
            AnswerRefused: it is refused, and calls tools.
            OutOfSteps: there is no step left in which the model could read what they give.
        """
        self._steps.append(Step(reply=reply))
        calls = reply.tool_calls
        if not calls:
            if reply.text or reply.parts:  # vendors refuse an empty one
                self.messages.append(Message.assistant(reply))
            return ()
        check_whole(reply)
        if len(self._steps) >= self._max_steps:
            raise OutOfSteps(self._max_steps)
        return calls

    def give(self, results: Sequence[ToolResult], errors: Mapping[str, Exception]) -> None:
        """Take in what the calls of the last answer have given, in their order, and what they have raised."""
        reply = self._steps[-1].reply
        self._steps[-1] = Step(reply=reply, results=tuple(results), errors=dict(errors))
        self.messages += [Message.assistant(reply), Message.user(*results)]

    def result(self) -> RunResult:
        """Return what was done so far."""
        replies = self.replies
        return RunResult(
            run_id=self.run_id,
            steps=tuple(self._steps),
            messages=tuple(self.messages),
            usage=total_usage(reply.usage for reply in replies),
            cost=total_cost(reply.cost for reply in replies),
        )


JOINT = "\n\n"
"""What is between the texts of two steps."""


def texts_of(replies: Sequence[Response]) -> str:
    """Return all text of several answers."""
    return JOINT.join(reply.text for reply in replies if reply.text)


def as_one(replies: Sequence[Response], *, complete: bool) -> Response:
    """Return several answers as one: all that they say, the tokens and the cost of all, and the parts of the last.

    Args:
        replies: the answers; there is one at least.
        complete: whether none comes behind them.
    """
    last = replies[-1]
    return replace(
        last,
        text=texts_of(replies),
        thinking="".join(reply.thinking for reply in replies),
        stop_reason=last.stop_reason if complete else None,
        raw_stop_reason=last.raw_stop_reason if complete else None,
        usage=total_usage(reply.usage for reply in replies),
        cost=total_cost(reply.cost for reply in replies),
    )


def total_usage(usages: Iterable[Usage]) -> Usage:
    """Add up tokens. What one does not know, nobody knows."""
    each = list(usages)

    def total(name: str) -> int | None:
        counts = [getattr(usage, name) for usage in each]
        return None if not counts or None in counts else sum(counts)

    return Usage(
        **{name: total(name) for name in _COUNTS},
        input_source=_source(usage.input_source for usage in each),
        output_source=_source(usage.output_source for usage in each),
    )


def total_cost(costs: Iterable[Decimal | None]) -> Decimal | None:
    """Add up dollars; None if one is unknown, or there are none."""
    total = None
    for cost in costs:
        if cost is None:
            return None
        total = EXACT.add(total or Decimal(0), cost)
    return total


_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)


def _source(sources: Iterable[Source]) -> Source:
    found = set(sources)
    if not found or "unknown" in found:
        return "unknown"
    return "estimated" if "estimated" in found else "reported"
