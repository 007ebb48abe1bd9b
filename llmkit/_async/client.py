"""The client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from llmkit._async.attempts import AsyncAttempts
from llmkit._async.chain import async_build_chain
from llmkit._async.recorder import AsyncRecorder
from llmkit._async.stream import AsyncStreamManager
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

    from llmkit._async.tool_stream import AsyncRunStreamManager
    from llmkit.embeddings import Embeddings, EmbedOptions
    from llmkit.middleware import AsyncCallNext
    from llmkit.runtime import HasRuntime
    from llmkit.tools.steps import RunResult

T = TypeVar("T")


class AsyncClient:
    """Calls models.

    `AsyncClient("anthropic:claude-sonnet-4-5")` works on its own and records nothing. With settings (several models, a ledger), use
    `Kit(settings).async_client`.

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
        http_client: httpx.AsyncClient | None = None,
        kit: HasRuntime | None = None,
    ) -> None:
        if not isinstance(model, str | None):
            raise TypeError(
                "AsyncClient takes a model such as 'anthropic:claude-sonnet-4-5'; for settings use Kit(settings).async_client"
            )
        self._owns_runtime = kit is None
        if kit is None:
            config = Config.for_model(model, api_key=api_key, base_url=base_url)
            kit = Runtime(config, middleware=middleware, async_http_client=http_client)
            kit.runtime.routes.of("default")
        self.runtime = runtime = kit.runtime
        self._model = model or "default"
        last: AsyncCallNext = AsyncAttempts(runtime)
        if runtime.cache is not None:
            from llmkit._async.caching import AsyncCaching  # noqa: PLC0415  # for those who have one

            last = AsyncCaching(runtime, runtime.cache, last)
        chain = async_build_chain(runtime.middleware, last)
        self._call_next = AsyncRecorder(runtime, chain)

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
    ) -> AsyncStreamManager[T]: ...

    @overload
    def stream(self, messages: Prompt, **options: Unpack[CallOptions]) -> AsyncStreamManager: ...

    @forgetful
    def stream(self, messages: Prompt, **options: Unpack[CallOptions]) -> AsyncStreamManager:
        """Prepare a streamed call. Entering it with `async with` sends it.

        Args:
            messages: a string, a message, or a conversation (a list of messages).
            options: model, system, max_tokens, temperature, top_p, stop, seed, extra, user, tags, run_id, conversation, cache; tools, tool_choice,
                parallel_tool_calls; output_type, output_mode. `CallOptions` says what they are.

        Raises:
            InvalidRequest: a message or an option is wrong.
        """
        return self.prepare(messages, options, streaming=True)

    @overload
    async def complete(
        self, messages: Prompt, *, output_type: type[T], **options: Unpack[PlainOptions]
    ) -> Response[T]: ...

    @overload
    async def complete(self, messages: Prompt, **options: Unpack[CallOptions]) -> Response: ...

    @forgetful
    async def complete(self, messages: Prompt, **options: Unpack[CallOptions]) -> Response:
        """Call the model and return the complete answer. Takes the same arguments as `stream`.

        Raises:
            InvalidRequest: a message or an option is wrong.
            ConfigError: the model is unknown.
            ProviderError: every attempt failed. This is the error of the last one.
            AnswerRefused, AnswerCut, OutputInvalid: the answer is not of the `output_type` that was asked for.
        """
        repairs = repairs_of(options)
        if not repairs:
            return await self._complete(messages, options)
        given = to_messages(messages)
        options["run_id"] = options.get("run_id") or self.runtime.new_id()
        failed: list[Response] = []
        while True:
            try:
                reply = await self._complete(given, options)
            except OutputInvalid as error:
                failed.append(error.response)
                if len(failed) > repairs:
                    error.response = with_costs_of(failed[-1], failed[:-1])
                    raise
                given = mend(given, error)
            else:
                return with_costs_of(reply, failed)

    async def _complete(self, messages: Prompt, options: CallOptions) -> Response:
        async with self.prepare(messages, options, streaming=False) as stream:
            while await stream.read() is not None:
                pass
            return stream.response

    @overload
    async def run(
        self, messages: Prompt, *, output_type: type[T], **options: Unpack[PlainRunOptions]
    ) -> RunResult[T]: ...

    @overload
    async def run(self, messages: Prompt, **options: Unpack[RunOptions]) -> RunResult: ...

    @forgetful
    async def run(self, messages: Prompt, **options: Unpack[RunOptions]) -> RunResult:
        """Call the model, run the tools that it calls, and go on until it answers without.

        Args:
            messages: a string, a message, or a conversation.
            options: those of `complete`, `tools` among them, and `max_steps` (10), `max_parallel` (8), `tool_timeout` (30 seconds), `max_result` (100,000
                characters) and `approve`; see `AsyncToolLoop`.

        Raises:
            LLMKitError: the same errors as `complete`, or `OutOfSteps`. The error's `run` has the steps so far.
        """
        from llmkit._async.tool_loop import AsyncToolLoop  # noqa: PLC0415  # for those who run tools

        limits, rest = split(options)
        tools = rest.pop("tools", ())
        return await AsyncToolLoop(self, tools, **limits).run(messages, **rest)

    @overload
    def run_stream(
        self, messages: Prompt, *, output_type: type[T], **options: Unpack[PlainRunOptions]
    ) -> AsyncRunStreamManager[T]: ...

    @overload
    def run_stream(
        self, messages: Prompt, **options: Unpack[RunOptions]
    ) -> AsyncRunStreamManager: ...

    @forgetful
    def run_stream(self, messages: Prompt, **options: Unpack[RunOptions]) -> AsyncRunStreamManager:
        """Prepare what `run` does, with its events while it runs. Entering it with `async with` sends the first call.

        Args:
            messages: a string, a message, or a conversation.
            options: as `run` takes them.

        Raises:
            InvalidRequest: a message or an option is wrong.
        """
        from llmkit._async.tool_loop import AsyncToolLoop  # noqa: PLC0415  # for those who run tools

        limits, rest = split(options)
        tools = rest.pop("tools", ())
        return AsyncToolLoop(self, tools, **limits).stream(messages, **rest)

    @forgetful
    def prepare(
        self, messages: Prompt, options: CallOptions, *, streaming: bool
    ) -> AsyncStreamManager:
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
        return AsyncStreamManager(call, self._call_next)

    @forgetful
    async def embed(self, texts: Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings:
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
        from llmkit._async.embedding import async_embed  # noqa: PLC0415  # for those who embed

        return await async_embed(self.runtime, self._model, texts, options)

    async def aclose(self) -> None:
        """Close all that the client uses, unless a kit was passed in."""
        if self._owns_runtime:
            await self.runtime.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
