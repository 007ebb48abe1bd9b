"""What a loop of tools may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypedDict

from llmkit.concurrency.jobs import can_take
from llmkit.errors import InvalidRequest
from llmkit.kinds import is_number, is_whole
from llmkit.parts import ToolCall
from llmkit.tools.context import ToolContext

Approval = bool | str | ToolCall
Approve = Callable[[ToolCall, ToolContext], Approval | Awaitable[Approval]]
"""Says whether a call may be run: True, or False or a reason, which the model reads; or a changed `ToolCall`."""


class LoopOptions(TypedDict, total=False):
    """The options of a loop of tools, as `Limits` has them."""

    max_steps: int
    max_parallel: int
    tool_timeout: float
    max_result: int
    approve: Approve | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a loop may do.

    Attributes:
        max_steps: how many answers the model may give.
        max_parallel: how many tools may run at a time. One that has taken too long counts until it ends: nothing ends a thread from outside.
        tool_timeout: how long each may take, in seconds; a `Tool` may have a time of its own.
        max_result: how many characters the model reads of what a tool returns. It is told of a longer one, and may ask for less.
        approve: is asked before each call, with the `ToolCall` and its `ToolContext`, one after the other. It returns True; False or a
            reason, which the model reads instead of a result; or a changed `ToolCall`. What it raises is logged, and means no. It may
            take as long as it likes, such as for a person to decide.

    Raises:
        InvalidRequest: one of them is not possible.
    """

    max_steps: int = 10
    max_parallel: int = 8
    tool_timeout: float = 30.0
    max_result: int = 100_000
    approve: Approve | None = None

    def __post_init__(self) -> None:
        for name in ("max_steps", "max_parallel", "max_result"):
            value = getattr(self, name)
            if not is_whole(value) or value < 1:
                raise InvalidRequest(
                    f"{name} is {value!r}", hint=f"Pass a whole number from 1 up as {name}."
                )
        timeout = self.tool_timeout
        if not (is_number(timeout) and timeout > 0):
            raise InvalidRequest(
                f"tool_timeout is {timeout!r}", hint="Pass some seconds as tool_timeout."
            )
        if self.approve is not None and not (callable(self.approve) and can_take(self.approve, 2)):
            raise InvalidRequest(
                "approve is not a function of two arguments",
                hint="It is called with a ToolCall and its ToolContext: def approve(call, context).",
            )
