"""What a provider is to llmkit: a wire format, pure, with no I/O."""

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
    """A request as it goes out. Header names are lower case. Its `repr` shows neither key nor prompt."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


class Decoder(Protocol):
    """Reads the body of one successful answer, as its bytes come.

    `feed` never raises for what the provider sent. Events that came before a failure are returned first; `failure` then
    holds the error, which the driver raises once those events are handed on.
    """

    model: str | None
    """The model that answers, in the provider's words, once it is known."""
    request_id: str | None
    """The answer's own id inside the body, if it has one."""
    finished: bool
    """Whether the terminal marker was seen. `Finish` was then among the events."""
    failure: ProviderError | None
    """Why no more events can come, if something went wrong."""
    stopping: bool
    """Whether the answer has said why it stops, so that the body's end or a moment's silence completes it. A connection that breaks does not."""

    @property
    def usage(self) -> Usage:
        """What the provider has reported so far; unknown where it has not."""

    @property
    def billing(self) -> Billing:
        """What the cost hangs on beside the tokens, as far as it is reported: `llmkit.usage.PLAIN` for nothing."""

    def feed(self, data: bytes) -> list[Event]:
        """Take in bytes as they came; return the events they complete, text deltas of one call merged."""

    def close(self, *, broken: bool = False) -> list[Event]:
        """Take in the end of the body. Without a terminal marker, `failure` is then `StreamTruncated`.

        Args:
            broken: whether it was no end that the server made, for the connection broke: that completes no answer.
        """


class Provider(Protocol):
    """A wire format with its address and key. Implement this to add a provider of your own."""

    name: str
    """The name that stands before the colon in `provider:model`."""

    def build_request(self, call: Call, model: str) -> HTTPRequest:
        """Say the call in the provider's format. `call.streaming` picks the form of the answer.

        Raises:
            InvalidRequest: the provider has no way to say this.
        """

    def decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for one successful answer, streamed or whole. Headers are found in whatever case."""

    def error(
        self, model: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> ProviderError:
        """Turn an answer with an error status into the error to raise."""
