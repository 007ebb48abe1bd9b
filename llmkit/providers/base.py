'''The interface of a provider: a wire format, without I/O.

One of your own is a class with the methods of `Provider`. It needs nothing of llmkit's but what it returns; the classes that read llmkit's own
formats help with the bytes, and see to it that whatever a server sends is an answer or an error, and never an exception:

```python
import json

from llmkit import Finish, HTTPRequest, Kit, TextDelta, Usage
from llmkit.providers import failures
from llmkit.providers.body_kind import choose_decoder
from llmkit.providers.decoding import BodyDecoder, StreamDecoder
from llmkit.providers.failures import Origin


class Whole(BodyDecoder):
    """Reads {"said": "Hello", "tokens": [3, 1]}."""

    def _read(self, body):
        try:
            answer = json.loads(body)
            text, (put_in, put_out) = answer["said"], answer["tokens"]
        except (ValueError, LookupError, TypeError):
            self._refuse(body)
            return []
        self.finished = True
        self._said, self._reported = bool(text), Usage(input_tokens=put_in, output_tokens=put_out)
        return [TextDelta(text), Finish("end", None, self.usage)]


class Pieces(StreamDecoder):
    """Reads events with a piece of text each, up to one that is named done."""

    def _read(self, frames):
        events = []
        for frame in frames:
            if frame.event == "done":
                self.finished = True
                return [*events, Finish("end", None, self.usage)]
            events.append(TextDelta(frame.data))
        return events


class Parrot:
    """A server that repeats what it is told."""

    name = "parrot"

    def build_request(self, call, model):
        body = json.dumps({"say": call.messages[-1].text, "stream": call.streaming})
        return HTTPRequest("POST", "https://parrot.example/say", {"content-type": "application/json"}, body.encode())

    def decoder(self, call, model, headers):
        origin = Origin.of(self.name, model, headers)
        return choose_decoder(origin, headers, streaming=call.streaming, stream=Pieces, whole=Whole)

    def error(self, model, status, headers, body):
        return failures.from_status(Origin.of(self.name, model, headers, status), headers, body, now=0.0)


settings = {"models": {"default": "parrot:grey"}, "prices": {"parrot:grey": {"input": 1, "output": 2}}, "ledger": False}
kit = Kit(settings, providers=[Parrot()])
```

A model that is no server, but a function, needs no class at all: `llmkit.FunctionProvider`.
'''

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from llmkit.call import Call
from llmkit.errors import ProviderError
from llmkit.events import Event
from llmkit.usage import Billing, Usage


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """An HTTP request to send. Header names are lower case. Its `repr` shows neither key nor prompt."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a wire format has words for, when it comes to answers of a type. What it has none for is asked for by a tool.

    Attributes:
        any_schema: an answer can be held to any JSON schema (`call.output.schema`), not only to what can be said strictly.
        schema_with_tools: also where the model may call tools.
        forced_tools: the model can be made to call a tool.
        single_calls: it can be kept to one call of a tool at a time.
    """

    any_schema: bool = False
    schema_with_tools: bool = True
    forced_tools: bool = True
    single_calls: bool = True


USUAL_MEANS = Means()


class Decoder(Protocol):
    """Reads the body of one successful answer, as its bytes arrive.

    `feed` never raises because of what the provider sent. Events from before a failure are returned first; `failure` then
    holds the error, which is raised after those events.
    """

    model: str | None
    """The model that answers, as the provider names it, once it is known."""
    request_id: str | None
    """The id of the answer in its body, if it has one."""
    finished: bool
    """Whether the end marker has arrived. `Finish` was then among the events."""
    failure: ProviderError | None
    """The error, if the answer cannot be read any further."""
    stopping: bool
    """Whether the answer has said why it stops, so that the end of the body, or a short silence, completes it. A broken connection does not."""

    @property
    def usage(self) -> Usage:
        """The usage that the provider has reported so far."""

    @property
    def billing(self) -> Billing:
        """What the cost depends on besides the tokens, as far as it is reported; `llmkit.usage.PLAIN` if nothing is."""

    def feed(self, data: bytes) -> list[Event]:
        """Read more bytes; return the events they complete. Text deltas of one call are merged."""

    def close(self, *, broken: bool = False) -> list[Event]:
        """End the body. Without an end marker, `failure` is then `StreamTruncated`.

        Args:
            broken: whether the connection broke, so that the server did not end the body itself. That never completes an answer.
        """


class Provider(Protocol):
    """A wire format with an address and a key. Implement this to add your own provider.

    It may have an `identity`, a tuple of strings that tells its answers from those of another provider of the same name, such as its address.
    Without one, the cache takes those of one class and name for the same. It may have `means`, where they are not the usual ones, and a `token`, a function without
    arguments that returns what is sent in the header `authorization` in place of a key. One that is no server has a `transport` and an
    `async_transport` of its own (see `llmkit.transport.base`); `llmkit.FunctionProvider` is one. One with embeddings has `build_embedding` and
    `embedding_decoder`, which take the same as `build_request` and `decoder`, and `most_texts` and `most_tokens`, how many texts and tokens one request takes: see `call.embedding`. One with a
    list of its models has `build_listing`, whose answer `llmkit.providers.listing` reads.
    """

    name: str
    """The name before the colon in `provider:model`."""

    def build_request(self, call: Call, model: str) -> HTTPRequest:
        """Write the call in the provider's format. `call.streaming` says whether the answer is streamed.

        Raises:
            InvalidRequest: the provider does not support something in the call.
        """

    def decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for one successful answer, streamed or not. Header names are found in any case."""

    def error(
        self, model: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> ProviderError:
        """Turn an answer with an error status into the error to raise."""
