'''A provider over a function: for a model in this process, or for a library that makes its own calls.

```python
import llmkit


def answer(call, model):
    """Say what was said, backwards, a word at a time."""
    for word in reversed(call.messages[-1].text.split()):
        yield f"{word} "


kit = llmkit.Kit({"models": {"default": "own:mirror"}, "ledger": False}, providers=[llmkit.FunctionProvider("own", answer)])
assert kit.client.complete("one two three").text == "three two one "
```

So is a library such as LiteLLM; why it stops and what it has used are said with the end. A piece of None is passed over:

```python
REASONS = {"stop": "end", "length": "max_tokens", "content_filter": "content_filter"}


def ask(call, model):
    """Ask LiteLLM, and hand on what it says."""
    messages = [{"role": message.role, "content": message.text} for message in call.messages]
    if call.system is not None:
        messages.insert(0, {"role": "system", "content": call.system})
    raw, used = None, llmkit.Usage()
    for chunk in litellm.completion(model, messages, max_tokens=call.max_tokens, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            yield choice.delta.content
            raw = choice.finish_reason or raw
        if usage := getattr(chunk, "usage", None):
            used = llmkit.Usage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)
    yield llmkit.Finish(REASONS.get(raw, "other"), raw, used)
```
'''

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isasyncgenfunction
from typing import Any

from llmkit.call import Call
from llmkit.concurrency.jobs import can_take, is_async
from llmkit.errors import ConfigError, InvalidRequest, ProviderError
from llmkit.in_process.lines import SaidDecoder
from llmkit.in_process.running import AsyncRunning, AsyncTask, Running
from llmkit.kinds import kind_of
from llmkit.parts import Part, ToolCall
from llmkit.providers import failures
from llmkit.providers.base import Decoder, HTTPRequest, Means
from llmkit.providers.failures import Origin
from llmkit.providers.request import to_request


class FunctionProvider:
    """A model behind a function of the app's.

    The function takes the `llmkit.call.Call` and the name of the model, and yields what the model says: strings, `TextDelta`, `ThinkingDelta`,
    `ToolCall`, and maybe a `Finish` with why it stops and the `Usage`; or it returns a string, or a list of all that. A piece of None says nothing,
    and is passed over. When it ends, the answer is complete; when it raises, or returns None or anything else, the attempt has failed. Budgets, cost, retry, failover, cache and the ledger are as with every provider.

    Args:
        name: the name before the colon in `provider:model`.
        function: runs in a thread of its own. A call that is stopped does not wait for it; it is ended where it next yields. Nothing ends a
            thread from outside: until then it runs beside those that `concurrency` counts, so give what it waits for a timeout of its own.
        async_function: the same for event loops, an async generator or a coroutine; without one they use `function`. With this one alone, there is
            no sync client.

    Raises:
        ConfigError: neither is given, or one cannot be called with a call and a model.
    """

    means = Means(any_schema=True, schema_with_tools=False, forced_tools=False)

    def __init__(
        self,
        name: str,
        function: Callable[[Call, str], Any] | None = None,
        *,
        async_function: Callable[[Call, str], Any] | None = None,
    ) -> None:
        self.name = name
        self._function = _checked(name, function)
        self._async_function = _checked(name, async_function)
        if function is None and async_function is None:
            raise ConfigError(
                f"the provider {name} has no function",
                hint="Pass a function that takes a call and a model.",
            )
        if function is not None and (is_async(function) or _is_async_generator(function)):
            raise ConfigError(
                f"the function of {name} is async", hint="Pass it as async_function=..."
            )

    @property
    def transport(self) -> _Transport:
        """What runs the function for threads."""
        return _Transport(self, Running)

    @property
    def async_transport(self) -> _Transport:
        """What runs the function for event loops."""
        return _Transport(self, AsyncRunning if self._async_function is None else AsyncTask)

    def build_request(self, call: Call, model: str) -> HTTPRequest:
        """Take the call as it is. What stands in for its body is for budgets, which count its bytes: it has all that the function is given.

        Raises:
            InvalidRequest: the call says how tools have to be called, or has a value that is no JSON.
        """
        if call.tools and call.tool_choice not in (None, "auto", "none"):
            raise InvalidRequest(
                f"{self.name} cannot be made to call a tool", hint="Leave tool_choice out."
            )
        address = f"in-process:{self.name}"
        content = to_request(address, {}, _counted(call), {}).content
        return _Asked("CALL", address, {}, content, call, model)

    def decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for one answer."""
        return SaidDecoder(Origin(self.name, model))

    def error(
        self, model: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> ProviderError:
        """Turn an answer with an error status into an error: there is none."""
        return failures.gave_up(Origin(self.name, model, status))

    def running(self, request: HTTPRequest, kind: Any) -> Any:
        """Make what runs the function for one request."""
        assert isinstance(request, _Asked)  # noqa: S101  # it has made it
        call, model = request.call, request.model
        function = self._async_function if kind is AsyncTask else self._function
        if function is None:
            raise InvalidRequest(
                f"{self.name} has an async function alone, and this is the sync client",
                hint="Use the AsyncClient, or pass a function, too.",
            )
        return kind(lambda: function(call, model), Origin(self.name, model))


class _Asked(HTTPRequest):
    """A request that is none: the call goes as it is."""

    __slots__ = ("call", "model")

    def __init__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        call: Call,
        model: str,
    ) -> None:
        super().__init__(method, url, headers, content)
        object.__setattr__(self, "call", call)
        object.__setattr__(self, "model", model)

    call: Call
    model: str


class _Transport:
    """Runs the function for each request."""

    def __init__(self, provider: FunctionProvider, kind: Any) -> None:
        self._provider = provider
        self._kind = kind

    def start(self, request: HTTPRequest, *, connect_timeout: float, fresh: bool = False) -> Any:
        """Make what runs it; nothing runs yet."""
        return self._provider.running(request, self._kind)


# The words in `extra` that may let an answer be longer, where the function heeds them; `max_tokens` is one more.
_LONGER = ("max_completion_tokens", "max_output_tokens", "n", "best_of")


def _counted(call: Call) -> dict[str, object]:
    """Write what a function is given, and what limits its answer. Nothing in `extra` takes the place of anything here."""
    own, said = call.max_tokens, call.extra.get("max_tokens")
    return {
        "max_tokens": max(own, said) if isinstance(said, int) and own is not None else own,
        "system": call.system,
        "messages": [_said(part) for message in call.messages for part in message.parts],
        "tools": [tool.described for tool in call.tools],
        "output": None if call.output is None else call.output.described,
        "stop": call.stop,
        "extra": dict(call.extra),
        **{word: call.extra[word] for word in _LONGER if word in call.extra},
    }


def _said(part: Part) -> object:
    if not isinstance(part, ToolCall):
        return part
    return [part.id, part.name, dict(part.arguments), part.signature]


def _checked(name: str, function: Any) -> Any:
    if function is not None and not (callable(function) and can_take(function, 2)):
        what = "cannot be called with two arguments" if callable(function) else kind_of(function)
        raise ConfigError(
            f"the function of {name} is not one: it {what}"
            if callable(function)
            else f"the function of {name} is {what}",
            hint="It takes a call and the name of a model.",
        )
    return function


def _is_async_generator(function: Any) -> bool:
    return isasyncgenfunction(function)
