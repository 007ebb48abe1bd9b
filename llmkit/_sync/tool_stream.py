# Generated from llmkit/_async/tool_stream.py. Do not edit.
"""The loop of tools as a stream: text, calls and results as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from llmkit._sync.source import Source
from llmkit._sync.stream import Stream, StreamManager
from llmkit.errors import LLMKitError
from llmkit.events import Finish, Reset, TextDelta
from llmkit.ledger.row import status_of
from llmkit.response import OutputT_co
from llmkit.tools.steps import JOINT, as_one, texts_of

if TYPE_CHECKING:
    from llmkit._sync.tool_loop import Running
    from llmkit._sync.tool_runner import ToolRunner
    from llmkit.call import Call
    from llmkit.events import Event
    from llmkit.response import Response, Status
    from llmkit.tools.steps import RunResult, Steps


class RunSource(Source):
    """Says the events of all steps, and what the tools between them have given. Each step's call has its row; this has none.

    Args:
        running: the loop, whose next step it asks for.
        call: the first step's, which stops them all.
        stream: the first step's, open.
        streaming: whether the steps are streamed.
    """

    def __init__(
        self, running: Running, call: Call, stream: Stream, *, streaming: bool
    ) -> None:
        self._running = running
        self._streaming = streaming
        self._call = call
        self._manager: StreamManager | None = None
        self._stream: Stream | None = stream
        self._runner: ToolRunner | None = None
        self._complete = False
        self._joint = ""

    @property
    def steps(self) -> Steps:
        """The steps so far."""
        return self._running.steps

    def read(self) -> list[Event] | None:
        """Return the next events of the step, or the next result of its tools.

        Raises:
            LLMKitError: a step failed, or may not be made. The error's `run` has the steps so far.
        """
        try:
            return self._read()
        except LLMKitError as error:
            error.run = self.steps.result()
            raise

    def _read(self) -> list[Event] | None:
        if self._complete:
            return None
        if self._stream is not None:
            events = self._stream.read()
            if events is not None:
                return self._handed_on(events)
            reply, self._stream = self._stream.response, None
            calls = self.steps.take(reply)
            if not calls:
                self._complete = True
                self._unlink()
                return [self._finish(reply)]
            self._runner = self._running.runner(calls, self._call.signal)
        if self._runner is not None:
            result = self._runner.next()
            if result is not None:
                return [result]
            self._runner.close()
            self.steps.give(self._runner.results, self._runner.errors)
            self._runner = None
        self._open()
        return []

    def _open(self) -> None:
        """Open the next step's stream; what stops the first one stops it."""
        self._unlink()
        self._manager = self._running.manager(streaming=self._streaming)
        self._call.signal.add(self._manager.abort)
        self._begin_text()
        self._stream = self._manager.open()

    def _unlink(self) -> None:
        if self._manager is not None:
            self._call.signal.remove(self._manager.abort)
            self._manager = None

    def _handed_on(self, events: list[Event]) -> list[Event]:
        """Leave out the end of a step: another one may follow. When a step begins again, what was said before it stays."""
        found: list[Event] = []
        for event in events:
            kind = type(event)
            if kind is Finish:
                continue
            if kind is TextDelta and self._joint:
                found.append(TextDelta(self._joint))
                self._joint = ""
            found.append(event)
            if kind is Reset:
                if said := texts_of(self.steps.replies):
                    found.append(TextDelta(said))
                self._begin_text()
        return found

    def _begin_text(self) -> None:
        """Set a step's text apart from what was said before it."""
        self._joint = JOINT if texts_of(self.steps.replies) else ""

    def _finish(self, reply: Response) -> Finish:
        return Finish(
            reply.stop_reason or "other", reply.raw_stop_reason, self.steps.result().usage
        )

    def close(self, error: BaseException | None) -> Status:
        """Stop the step and its tools."""
        if self._runner is not None:
            self._runner.close()
        if self._stream is not None:
            if error is None:
                self._stream.close()
            else:
                self._stream.fail(error)
        self._unlink()
        return status_of(error, complete=self._complete)

    def response(self) -> Response:
        """Return all that was said so far, as one answer, with the tokens and the cost of all steps. Its parts are those of the last one."""
        replies = self.steps.replies
        if self._stream is not None:
            replies = [*replies, self._stream.response]
        return as_one(replies, complete=self._complete)

    def try_release(self) -> bool:
        """Let go of nothing: at the end of the last step there is nothing left."""
        return self._complete

    def abandon(self) -> None:
        """Stop what runs, without waiting for it."""
        if self._runner is not None:
            self._runner.abandon()
        if self._stream is not None:
            self._stream.abandon()


class RunStream(Stream[OutputT_co]):
    """A loop of tools whose events are read while it runs: those of a stream, and a `ToolResult` when a tool has ended.

    There is one `Finish`, at the end of the last step, with the tokens of all. `response` is all that was said so far as one answer.
    """

    def __init__(self, call: Call, source: RunSource, first: list[Event]) -> None:
        super().__init__(call, source, first)
        self._wanted = None  # the last step's own stream reads it

    @property
    def run(self) -> RunResult[OutputT_co]:
        """What the loop has done so far: the steps that have ended."""
        return cast("RunSource", self._source).steps.result()


class RunStreamManager(StreamManager[OutputT_co]):
    """A loop of tools that is not running yet: `with` opens its first step, and closes what it has open."""

    _OPEN_FIRST = "Open it first: with client.run_stream(...) as stream:"

    def __init__(self, running: Running, *, streaming: bool = True) -> None:
        self._running = running
        self._streaming = streaming
        self._first = running.manager(streaming=streaming)
        super().__init__(self._first.call, self._open_first)

    def _open_first(self, call: Call) -> Stream[OutputT_co]:
        try:
            stream = self._first.open()
        except LLMKitError as error:
            error.run = self._running.steps.result()
            raise
        source = RunSource(self._running, call, stream, streaming=self._streaming)
        return RunStream(call, source, [])

    def open(self) -> RunStream[OutputT_co]:
        """Send the first call, and return the stream when its first content has arrived. You have to close it.

        Raises:
            LLMKitError: the same errors as `complete`.
            RuntimeError: it was opened before.
        """
        return cast("RunStream[OutputT_co]", super().open())

    def __enter__(self) -> RunStream[OutputT_co]:
        return self.open()
