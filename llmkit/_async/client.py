"""The client: says a call, hands back the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from llmkit._async.attempts import AsyncAttempts
from llmkit._async.chain import async_build_chain
from llmkit._async.recorder import AsyncRecorder
from llmkit._async.stream import AsyncStreamManager
from llmkit.call import CallOptions, build_call
from llmkit.kit import Kit
from llmkit.messages import Prompt
from llmkit.response import Response
from llmkit.tracebacks import forgetful

if TYPE_CHECKING:
    import httpx

    from llmkit.config import Config


class AsyncClient:
    """Calls models.

    `AsyncClient("anthropic:claude-sonnet-4-5")` stands alone and keeps no books; `Kit(config).async_client` is an app's.

    Args:
        model: the `provider:model` id that is called when a call names none.
        api_key: the provider's key; without it the vendor's usual environment variable.
        base_url: where the provider is, if not at its usual address.
        middleware: stands around every call, the first outermost.
        http_client: an httpx or httpx2 client to use; it stays yours to close.
        kit: the kit of an app, which then decides all of the above but `model`.

    Raises:
        ConfigError: the provider is not known, or has no key.
        TypeError: a middleware has not the door that this client needs.
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
        kit: Kit | None = None,
    ) -> None:
        self._owns_kit = kit is None
        if kit is None:
            kit = Kit.for_model(
                model,
                api_key=api_key,
                base_url=base_url,
                middleware=middleware,
                async_http_client=http_client,
            )
        self.kit = kit
        self._model = model or "default"
        chain = async_build_chain(kit.middleware, AsyncAttempts(kit))
        self._call_next = AsyncRecorder(kit, chain)

    @classmethod
    @forgetful
    def from_config(cls, config: Mapping[str, Any] | Config) -> Self:
        """Make a client with a kit of its own, which closes with it."""
        client = cls(kit=Kit(config))
        client._owns_kit = True
        return client

    @forgetful
    def stream(self, messages: Prompt, **options: Unpack[CallOptions]) -> AsyncStreamManager:
        """Prepare a streamed call; `async with` sends it.

        Args:
            messages: a text, a message or a conversation.
            options: model, system, max_tokens, temperature, top_p, stop, seed, extra, user, tags, run_id, conversation.

        Raises:
            InvalidRequest: a message or an option is wrong.
        """
        return self.prepare(messages, options, streaming=True)

    @forgetful
    async def complete(self, messages: Prompt, **options: Unpack[CallOptions]) -> Response:
        """Call and return the whole answer. Takes what `stream` takes.

        Raises:
            InvalidRequest: a message or an option is wrong.
            ConfigError: the model is not known.
            ProviderError: every attempt failed; this is the last one's error.
        """
        async with self.prepare(messages, options, streaming=False) as stream:
            while await stream.read() is not None:
                pass
            return stream.response

    @forgetful
    def prepare(
        self, messages: Prompt, options: CallOptions, *, streaming: bool
    ) -> AsyncStreamManager:
        """Prepare a call, streamed or whole: what `stream` and `complete` stand on.

        Raises:
            InvalidRequest: a message or an option is wrong.
        """
        call = build_call(
            messages,
            options,
            call_id=self.kit.new_id(),
            default_model=self._model,
            default_max_tokens=self.kit.config.defaults.max_tokens,
            streaming=streaming,
        )
        return AsyncStreamManager(call, self._call_next)

    async def aclose(self) -> None:
        """Close the kit, if it is this client's own."""
        if self._owns_kit:
            await self.kit.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
