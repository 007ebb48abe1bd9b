# Generated from llmkit/_async/client.py. Do not edit.
"""The client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from llmkit._sync.attempts import Attempts
from llmkit._sync.chain import build_chain
from llmkit._sync.recorder import Recorder
from llmkit._sync.stream import StreamManager
from llmkit.call import (
    CallOptions,
    PlainOptions,
    PlainRunOptions,
    RunOptions,
    build_call,
    split,
)
from llmkit.config import Config
from llmkit.errors import OutputInvalid
from llmkit.messages import Prompt, to_messages
from llmkit.outputs.repair import mend, repairs_of, with_costs_of
from llmkit.response import Response
from llmkit.runtime import Runtime
from llmkit.tracebacks import forgetful

if TYPE_CHECKING:
    import httpx

    from llmkit._sync.tool_stream import RunStreamManager
    from llmkit.embeddings import Embeddings, EmbedOptions
    from llmkit.middleware import CallNext
    from llmkit.runtime import HasRuntime
    from llmkit.tools.steps import RunResult

T = TypeVar("T")


class Client:
    """Calls models.

    `Client("anthropic:claude-sonnet-4-5")` works on its own and records nothing. With settings (several models, a ledger), use
    `Kit(settings).client`.

    Args:
        model: the model for calls that do not name one, as `provider:model`.
        api_key: the provider's key; by default it is read from the provider's usual environment variable.
        base_url: the provider's address, if it is not the usual one.
        middleware: called around every call; the first one is the outermost.
        http_client: an httpx or httpx2 client to use. You close it yourself.
        kit: the kit of an app, which is used instead of all of the above except `model`.

    Raises:
        ConfigError: the provider is unknown, or has no key.
        TypeError: the model is not a text, or a middleware does not have the method that this client calls.
    """

    @forgetful
    def __init__(
        self,
        model: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        middleware: Sequence[object] = (),
        http_client: httpx.Client | None = None,
        kit: HasRuntime | None = None,
    ) -> None:
        if not isinstance(model, str | None):
            raise TypeError(
                "Client takes a model such as 'anthropic:claude-sonnet-4-5'; for settings use Kit(settings).client"
            )
        self._owns_runtime = kit is None
        if kit is None:
            config = Config.for_model(model, api_key=api_key, base_url=base_url)
            kit = Runtime(config, middleware=middleware, http_client=http_client)
            kit.runtime.routes.of("default")
        self.runtime = runtime = kit.runtime
        self._model = model or "default"
        last: CallNext = Attempts(runtime)
        if runtime.cache is not None:
            from llmkit._sync.caching import Caching  # noqa: PLC0415  # for those who have one

            last = Caching(runtime, runtime.cache, last)
        chain = build_chain(runtime.middleware, last)
        self._call_next = Recorder(runtime, chain)

    @classmethod
    @forgetful
    def from_config(cls, config: Mapping[str, Any] | Config) -> Self:
        """Make a client of its own, which closes all that it uses."""
        client = cls(kit=Runtime(config))
        client._owns_runtime = True
        return client

    @overload
    def stream(
        self, messages: Prompt, *, output_type: type[T], **options: Unpack[PlainOptions]
    ) -> StreamManager[T]: ...

    @overload
    def stream(self, messages: Prompt, **options: Unpack[CallOptions]) -> StreamManager: ...

    @forgetful
    def stream(self, messages: Prompt, **options: Unpack[CallOptions]) -> StreamManager:
        """Prepare a streamed call. Entering it with `with` sends it.

        Args:
            messages: a string, a message, or a conversation (a list of messages).
            options: model, system, max_tokens, temperature, top_p, stop, seed, extra, user, tags, run_id, conversation, cache; tools, tool_choice,
                parallel_tool_calls; output_type, output_mode. `CallOptions` says what they are.

        Raises:
            InvalidRequest: a message or an option is wrong.
        """
        return self.prepare(messages, options, streaming=True)

    @overload
    def complete(
        self, messages: Prompt, *, output_type: type[T], **options: Unpack[PlainOptions]
    ) -> Response[T]: ...

    @overload
    def complete(self, messages: Prompt, **options: Unpack[CallOptions]) -> Response: ...

    @forgetful
    def complete(self, messages: Prompt, **options: Unpack[CallOptions]) -> Response:
        """Call the model and return the complete answer. Takes the same arguments as `stream`.

        Raises:
            InvalidRequest: a message or an option is wrong.
            ConfigError: the model is unknown.
            ProviderError: every attempt failed. This is the error of the last one.
            AnswerRefused, AnswerCut, OutputInvalid: the answer is not of the `output_type` that was asked for.
        """
        repairs = repairs_of(options)
        if not repairs:
            return self._complete(messages, options)
        given = to_messages(messages)
        options["run_id"] = options.get("run_id") or self.runtime.new_id()
        failed: list[Response] = []
        while True:
            try:
                reply = self._complete(given, options)
            except OutputInvalid as error:
                failed.append(error.response)
                if len(failed) > repairs:
                    error.response = with_costs_of(failed[-1], failed[:-1])
                    raise
                given = mend(given, error)
            else:
                return with_costs_of(reply, failed)

    def _complete(self, messages: Prompt, options: CallOptions) -> Response:
        with self.prepare(messages, options, streaming=False) as stream:
            while stream.read() is not None:
                pass
            return stream.response

    @overload
    def run(
        self, messages: Prompt, *, output_type: type[T], **options: Unpack[PlainRunOptions]
    ) -> RunResult[T]: ...

    @overload
    def run(self, messages: Prompt, **options: Unpack[RunOptions]) -> RunResult: ...

    @forgetful
    def run(self, messages: Prompt, **options: Unpack[RunOptions]) -> RunResult:
        """Call the model, run the tools that it calls, and go on until it answers without.

        Args:
            messages: a string, a message, or a conversation.
            options: those of `complete`, `tools` among them, and `max_steps` (10), `max_parallel` (8), `tool_timeout` (30 seconds), `max_result` (100,000
                characters) and `approve`; see `ToolLoop`.

        Raises:
            LLMKitError: the same errors as `complete`, or `OutOfSteps`. The error's `run` has the steps so far.
        """
        from llmkit._sync.tool_loop import ToolLoop  # noqa: PLC0415  # for those who run tools

        limits, rest = split(options)
        tools = rest.pop("tools", ())
        return ToolLoop(self, tools, **limits).run(messages, **rest)

    @overload
    def run_stream(
        self, messages: Prompt, *, output_type: type[T], **options: Unpack[PlainRunOptions]
    ) -> RunStreamManager[T]: ...

    @overload
    def run_stream(
        self, messages: Prompt, **options: Unpack[RunOptions]
    ) -> RunStreamManager: ...

    @forgetful
    def run_stream(self, messages: Prompt, **options: Unpack[RunOptions]) -> RunStreamManager:
        """Prepare what `run` does, with its events while it runs. Entering it with `with` sends the first call.

        Args:
            messages: a string, a message, or a conversation.
            options: as `run` takes them.

        Raises:
            InvalidRequest: a message or an option is wrong.
        """
        from llmkit._sync.tool_loop import ToolLoop  # noqa: PLC0415  # for those who run tools

        limits, rest = split(options)
        tools = rest.pop("tools", ())
        return ToolLoop(self, tools, **limits).stream(messages, **rest)

    @forgetful
    def prepare(
        self, messages: Prompt, options: CallOptions, *, streaming: bool
    ) -> StreamManager:
        """Prepare a call, streamed or not. `stream` and `complete` use this.

        Raises:
            InvalidRequest: a message or an option is wrong.
        """
        call = build_call(
            messages,
            options,
            call_id=self.runtime.new_id(),
            default_model=self._model,
            default_max_tokens=self.runtime.config.defaults.max_tokens,
            streaming=streaming,
            tasks=self.runtime.tasks,
        )
        return StreamManager(call, self._call_next)

    @forgetful
    def embed(self, texts: Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings:
        """Embed texts: return a list of numbers for each. As many requests are made as the vendor needs, one after another, of one model.

        The app's middleware and the cache have nothing to do with it; limits, retry, budgets, cost and the ledger are as for every call.

        Args:
            texts: what to embed, none of it empty.
            options: model (by default the alias `embeddings`, if there is one), dimensions, extra, user, tags, run_id, conversation.

        Raises:
            InvalidRequest: a text or an option is wrong, or the provider has no embeddings.
            ConfigError: the model is unknown.
            ProviderError: every attempt of a request failed. Those before it are paid for.
        """
        from llmkit._sync.embedding import embed  # noqa: PLC0415  # for those who embed

        return embed(self.runtime, self._model, texts, options)

    def close(self) -> None:
        """Close all that the client uses, unless a kit was passed in."""
        if self._owns_runtime:
            self.runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
