"""What a tool may know beside its arguments."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmkit.caller import Caller
from llmkit.concurrency.abort import AbortSignal
from llmkit.parts import ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """Who a tool is called for. A tool that has a parameter of this type is given it; the model is not told of it.

    Attributes:
        caller: who makes the call, as the app has said: never what a model says.
        run_id: of the loop. Calls that the tool makes itself may be given it.
        conversation: the app's id of the conversation; None if it has given none.
        call: what the model has called.
    """

    caller: Caller
    run_id: str
    conversation: str | None
    call: ToolCall
    signal: AbortSignal = field(default_factory=AbortSignal, repr=False, compare=False)

    @property
    def stopped(self) -> bool:
        """Whether nobody waits for the tool any more: it took too long, or the loop was stopped. A thread may look, for nothing ends it."""
        return self.signal.aborted
