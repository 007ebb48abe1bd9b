"""The calls of one step: which may be run, and what the model reads of each. Nothing here waits."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from llmkit.concurrency.jobs import Ended, Job, NoPlace, TookTooLong, Unfit, is_async
from llmkit.errors import ToolError
from llmkit.kinds import kind_of
from llmkit.parts import ToolCall, ToolResult, wrong_field
from llmkit.tools.arguments import WrongArguments
from llmkit.tools.context import ToolContext
from llmkit.tools.limits import Approve
from llmkit.tools.results import sound, text_of
from llmkit.tools.tool import Tool
from llmkit.tracebacks import forget_locals, place_of

log = logging.getLogger("llmkit.tools")

MAX_CALLS = 100
"""How many calls of one answer are run. No app has so many tools; a model that goes astray calls one again and again."""

_NOT_APPROVED = "This call was not approved."


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """A call that may be run.

    Attributes:
        at: which of the step's calls.
        tool: what it calls.
        context: what it is called with beside its arguments.
        arguments: as the function takes them.
    """

    at: int
    tool: Tool
    context: ToolContext
    arguments: Mapping[str, Any] = field(repr=False)


class StepCalls:
    """The calls of one step.

    Args:
        tools: those that there are.
        contexts: one for each call, with it.
        timeout: how long each may take, in seconds; a tool may have a time of its own.
        max_result: how many characters the model may read of each.

    Attributes:
        results: what each has given so far, by its place.
        errors: what those have raised that failed, by the ids of the calls.
        runnable: those that may be run, as far as that is known.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        contexts: Sequence[ToolContext],
        *,
        timeout: float,
        max_result: int,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._timeout = timeout
        self._max_result = max_result
        self.results: dict[int, ToolResult] = {}
        self.errors: dict[str, Exception] = {}
        self.runnable: list[Runnable] = []
        for at, context in enumerate(contexts):
            if at < MAX_CALLS:
                self._check(at, context)
            else:
                self._fail(
                    at, context.call, f"Too many calls at once: the first {MAX_CALLS} are run."
                )

    def _check(self, at: int, context: ToolContext) -> None:
        call = context.call
        tool = self._tools.get(call.name)
        if tool is None:
            names = ", ".join(self._tools)
            self._fail(at, call, f"There is no tool {call.name}. There are: {names}.")
            return
        try:
            arguments = tool.arguments.checked(call.arguments)
        except (WrongArguments, ToolError) as error:
            self._fail(at, call, f"The arguments are wrong, and nothing was run.\n{error}")
        except Exception as error:  # noqa: BLE001  # a check of the app's own, in a type of an argument
            log.error("the arguments of %s could not be checked: %s", tool.name, place_of(error))  # noqa: TRY400
            self._keep(call, error)
            self._fail(at, call, "The arguments could not be checked, and nothing was run.")
        else:
            self.runnable.append(Runnable(at=at, tool=tool, context=context, arguments=arguments))

    def approvals(self, approve: Approve) -> list[Job]:
        """Return what asks the app for each call that may be run."""
        return [
            Job(
                work=partial(approve, each.context.call, each.context),
                finish=_same,
                is_async=is_async(approve),
                timeout=None,
            )
            for each in self.runnable
        ]

    def decide(
        self, approve: Approve, asked: Sequence[Runnable], ended: Ended
    ) -> ToolResult | None:
        """Take in what the app says to a call of those that were asked for. Return the result of one that is not run."""
        each, said = asked[ended.at], ended.value
        self.runnable.remove(each)
        call = each.context.call
        if said is True and ended.error is None:
            # What is run is what was asked for, also where the app has changed it in its place.
            self._check(each.at, each.context)
            return self.results.get(each.at)
        if isinstance(said, ToolCall) and wrong_field(said) is None:
            # The call is what the model has called: its id stays.
            changed = replace(said, id=call.id)
            self._check(each.at, replace(each.context, call=changed))
            return self.results.get(each.at)
        if ended.error is not None:
            log.error(
                "approve failed for a call of %s: %s", call.name, place_of(ended.error, approve)
            )
            self._keep(call, ended.error)
        elif said is not False and not isinstance(said, str):
            log.error(
                "approve has to return True, False, a reason or a changed ToolCall, not %s: the call of %s is not run",
                kind_of(said),
                call.name,
            )
        reason = said if isinstance(said, str) and said else _NOT_APPROVED
        return self._fail(each.at, call, reason)

    def jobs(self) -> list[Job]:
        """Return what runs those that may be run."""
        self.runnable.sort(key=lambda each: each.at)
        return [
            Job(
                work=partial(each.tool.run, **_given(each)),
                finish=partial(text_of, most=self._max_result),
                is_async=each.tool.is_async,
                timeout=self._time_of(each.tool),
            )
            for each in self.runnable
        ]

    def end(self, ended: Ended) -> ToolResult:
        """Take in how one of those has ended."""
        each = self.runnable[ended.at]
        call, error = each.context.call, ended.error
        if error is None:
            return self._give(each.at, ToolResult(call_id=call.id, content=ended.value))
        if isinstance(error, TookTooLong):
            each.context.signal.abort()
            timeout = self._time_of(each.tool)
            log.warning("the tool %s took longer than %g s", call.name, timeout)
            return self._fail(each.at, call, f"The tool did not answer within {timeout:g} seconds.")
        if isinstance(error, NoPlace):
            log.warning(
                "the tool %s was not run: others that take too long have all places", call.name
            )
            return self._fail(each.at, call, "The tool was not run: others did not answer in time.")
        if isinstance(error, ToolError):
            return self._fail(each.at, call, str(error))
        what = str(error) if isinstance(error, Unfit) else place_of(error, each.tool.run)
        log.error("the tool %s failed: %s", call.name, what)
        self._keep(call, error)
        return self._fail(each.at, call, "The tool failed.")

    def stop(self) -> None:
        """Say to those that still run that nobody waits for them."""
        for each in self.runnable:
            if each.at not in self.results:
                each.context.signal.abort()

    def _time_of(self, tool: Tool) -> float:
        return self._timeout if tool.timeout is None else tool.timeout

    def _keep(self, call: ToolCall, error: BaseException) -> None:
        """Keep an error for the app: what the model reads does not say it, nor does the log."""
        if isinstance(error, Exception):
            forget_locals(error)
            self.errors[call.id] = error

    def _fail(self, at: int, call: ToolCall, content: str) -> ToolResult:
        told = sound(content)[: self._max_result]
        return self._give(at, ToolResult(call_id=call.id, content=told, is_error=True))

    def _give(self, at: int, result: ToolResult) -> ToolResult:
        self.results[at] = result
        return result


def _same(value: Any) -> Any:
    return value


def _given(each: Runnable) -> dict[str, Any]:
    context = each.tool.arguments.context
    return dict(each.arguments) if context is None else {**each.arguments, context: each.context}
