# Generated from llmkit/_async/tool_loop.py. Do not edit.
"""The loop of tools: the model calls them, reads what they give, and answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Unpack, cast

from llmkit._sync.tool_runner import ToolRunner
from llmkit._sync.tool_stream import RunStreamManager
from llmkit.call import CallOptions
from llmkit.caller import NOTHING, caller_of
from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.host_threads import Host
from llmkit.concurrency.threads import at_once, refuse_awaited
from llmkit.errors import InvalidRequest, LLMKitError
from llmkit.ids import new_id
from llmkit.messages import Prompt, to_messages
from llmkit.tools.context import ToolContext
from llmkit.tools.limits import Limits, LoopOptions
from llmkit.tools.steps import RunResult, Steps
from llmkit.tools.tool import Tool, to_tools
from llmkit.tracebacks import forgetful

if TYPE_CHECKING:
    from llmkit._sync.client import Client
    from llmkit._sync.stream import StreamManager
    from llmkit.parts import ToolCall
    from llmkit.response import Response


class ChatClient(Protocol):
    """What a loop asks: a client of llmkit's, or whatever else answers messages. A loop that streams asks for its `stream`, as llmkit's have it."""

    def complete(self, messages: Prompt, **options: Unpack[CallOptions]) -> Response:
        """Answer as a whole. `options` has the tools."""


class ToolLoop:
    """Calls a model with tools, runs those that it calls, and goes on until it answers without.

    The arguments of a call are checked before anything is run. What is wrong with them, and that a tool failed or took too long, is for
    the model to read, and the loop goes on. The text of an error stays with the app, except that of a `ToolError`.

    Args:
        client: whom to ask. A client of llmkit's writes a row for each attempt, all with one `run_id`.
        tools: typed functions, or `Tool`s.
        limits: `max_steps`, `max_parallel`, `tool_timeout`, `max_result` and `approve`, as `Limits` says.

    Raises:
        InvalidRequest: a tool or a limit cannot be used.
    """

    def __init__(
        self,
        client: ChatClient,
        tools: Sequence[Callable[..., Any] | Tool],
        **limits: Unpack[LoopOptions],
    ) -> None:
        self._client = client
        self._tools = to_tools(tools)
        if not self._tools:
            raise InvalidRequest(
                "there are no tools to run", hint="Pass tools=[...], or call complete()."
            )
        self._limits = Limits(**limits)
        approve = self._limits.approve
        refuse_awaited((f"the tool {tool.name}", tool.run) for tool in self._tools)
        refuse_awaited([] if approve is None else [("approve", approve)])
        runtime = getattr(client, "runtime", None)
        self._host: Host = getattr(runtime, "host", None) or Host()
        self._new_id: Callable[[], str] = getattr(runtime, "new_id", None) or new_id

    @forgetful
    def run(self, messages: Prompt, **options: Unpack[CallOptions]) -> RunResult:
        """Run the loop to its end.

        Args:
            messages: a string, a message, or a conversation.
            options: those of `complete`, for each step. `tool_choice` is for the first one alone, unless it is "none".

        Raises:
            LLMKitError: a call failed or was refused, or the loop ran out of steps. The error's `run` has the steps so far.
        """
        running = self._begin(messages, options)
        try:
            while not running.step():
                pass
        except LLMKitError as error:
            error.run = running.steps.result()
            raise
        return running.steps.result()

    @forgetful
    def stream(self, messages: Prompt, **options: Unpack[CallOptions]) -> RunStreamManager:
        """Prepare a loop whose events are read while it runs. Entering it with `with` sends the first call.

        Args:
            messages: a string, a message, or a conversation.
            options: as `run` takes them.

        Raises:
            InvalidRequest: a message or an option is wrong.
        """
        return self.prepare(messages, options, streaming=True)

    def prepare(
        self, messages: Prompt, options: CallOptions, *, streaming: bool
    ) -> RunStreamManager:
        """Prepare a loop that is read while it runs, whose answers are streamed or not."""
        return RunStreamManager(self._begin(messages, options), streaming=streaming)

    def _begin(self, messages: Prompt, options: CallOptions) -> Running:
        if "tools" in options:
            raise InvalidRequest(
                "the loop has its tools already", hint="Pass them where it is made."
            )
        run_id = options.get("run_id") or self._new_id()
        steps = Steps(to_messages(messages), max_steps=self._limits.max_steps, run_id=run_id)
        return Running(self._client, self._tools, self._limits, self._host, steps, options)


class Running:
    """A loop that runs.

    Attributes:
        steps: what it has done.
    """

    def __init__(
        self,
        client: ChatClient,
        tools: Sequence[Tool],
        limits: Limits,
        host: Host,
        steps: Steps,
        options: CallOptions,
    ) -> None:
        self._client = client
        self._tools = tools
        self._limits = limits
        self._host = host
        self._given = options
        self.steps = steps

    def step(self) -> bool:
        """Make a step, and say whether it was the last."""
        calls = self.steps.take(self._client.complete(self.steps.messages, **self._options()))
        if not calls:
            return True
        runner = self.runner(calls, AbortSignal())
        try:
            while runner.next() is not None:
                pass
        finally:
            runner.close()
        self.steps.give(runner.results, runner.errors)
        return False

    def manager(self, *, streaming: bool) -> StreamManager:
        """Prepare the next step, to be read as a stream whether it is one or not."""
        client = cast("Client", self._client)  # or what has its methods
        if streaming:
            return client.stream(self.steps.messages, **self._options())
        return client.prepare(self.steps.messages, self._options(), streaming=False)

    def runner(self, calls: Sequence[ToolCall], signal: AbortSignal) -> ToolRunner:
        """Make what runs the calls of a step."""
        given = self._given
        caller = caller_of(given.get("user"), given.get("tags") or NOTHING)
        contexts = [
            ToolContext(
                caller=caller,
                run_id=self.steps.run_id,
                conversation=given.get("conversation"),
                call=call,
            )
            for call in calls
        ]
        return ToolRunner(
            self._tools,
            contexts,
            limits=self._limits,
            host=self._host,
            at_once=at_once(self._host),
            signal=signal,
        )

    def _options(self) -> CallOptions:
        own: CallOptions = {**self._given, "tools": self._tools, "run_id": self.steps.run_id}
        if not self.steps.is_first and own.get("tool_choice") != "none":
            own.pop("tool_choice", None)  # or it would be called for ever
        return own
