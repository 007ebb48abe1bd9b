"""Runs the calls of one step of a loop of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from llmkit.concurrency.job_tasks import AsyncJobs
from llmkit.tools.calls import Runnable, StepCalls

if TYPE_CHECKING:
    from llmkit.concurrency.abort import AbortSignal
    from llmkit.concurrency.host_threads import Host
    from llmkit.parts import ToolResult
    from llmkit.tools.context import ToolContext
    from llmkit.tools.limits import Limits
    from llmkit.tools.tool import Tool


class AsyncToolRunner:
    """Runs the calls of one step, as far as they may be run. `next` hands on each result when it is there.

    Args:
        tools: those that there are.
        contexts: one for each call, with it.
        limits: what the loop may do.
        host: where the app's own functions are at home.
        at_once: whether they run there one after the other.
        signal: ends the wait.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        contexts: Sequence[ToolContext],
        *,
        limits: Limits,
        host: Host,
        at_once: bool,
        signal: AbortSignal,
    ) -> None:
        self._calls = StepCalls(
            tools, contexts, timeout=limits.tool_timeout, max_result=limits.max_result
        )
        self._ready = list(self._calls.results.values())
        self._limits = limits
        self._host = host
        self._at_once = at_once
        self._signal = signal
        self._asked: Sequence[Runnable] = ()
        self._asking: AsyncJobs | None = None
        self._running: AsyncJobs | None = None
        if limits.approve is not None:
            self._asked = list(self._calls.runnable)
            self._asking = AsyncJobs(
                self._calls.approvals(limits.approve),
                limit=1,
                host=host,
                at_once=at_once,
                signal=signal,
            )

    @property
    def results(self) -> list[ToolResult]:
        """What each call has given, in their order."""
        return [result for _, result in sorted(self._calls.results.items())]

    @property
    def errors(self) -> Mapping[str, Exception]:
        """What those have raised that failed, by the ids of the calls."""
        return self._calls.errors

    async def next(self) -> ToolResult | None:
        """Wait for the next result; None when there are no more.

        Raises:
            StreamClosed: the call was aborted.
        """
        while not self._ready and self._asking is not None and self._limits.approve is not None:
            ended = await self._asking.next()
            if ended is None:
                self._asking = None
                break
            refused = self._calls.decide(self._limits.approve, self._asked, ended)
            if refused is not None:
                return refused
        if self._ready:
            return self._ready.pop(0)
        if self._running is None:
            self._running = AsyncJobs(
                self._calls.jobs(),
                limit=self._limits.max_parallel,
                host=self._host,
                at_once=self._at_once,
                signal=self._signal,
            )
        ended = await self._running.next()
        return None if ended is None else self._calls.end(ended)

    def abandon(self) -> None:
        """Do what `aclose` does without waiting. May come from any thread."""
        self._calls.stop()
        for jobs in (self._asking, self._running):
            if jobs is not None:
                jobs.abandon()

    async def aclose(self) -> None:
        """Cancel what still runs, and say so to what cannot be."""
        self._calls.stop()
        for jobs in (self._asking, self._running):
            if jobs is not None:
                await jobs.aclose()
