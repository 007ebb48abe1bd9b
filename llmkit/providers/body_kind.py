"""What the body of a successful answer is: by what was asked for, by its header and by its first bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from llmkit.events import Event
from llmkit.providers import failures
from llmkit.providers.decoding import BROKEN, AnswerDecoder, BodyDecoder, StreamDecoder
from llmkit.providers.failures import Origin
from llmkit.providers.reports import is_report
from llmkit.usage import PLAIN, Billing, Usage

_MEDIA_TYPE = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,60}", re.ASCII)
_BOM = b"\xef\xbb\xbf"
# How a line of an event stream may begin; no page and no JSON does.
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_BEGINNING = 64
_ERROR_PAGE = 64 * 1024


def choose_decoder(
    origin: Origin,
    headers: Mapping[str, str],
    *,
    streaming: bool,
    stream: Callable[[Origin], StreamDecoder],
    whole: Callable[[Origin], BodyDecoder],
) -> AnswerDecoder:
    """Choose by what was asked for and by what the answer says it is.

    An answer that does not say what it is may be an event stream. One that says it is something else is looked at.
    """
    if not streaming:
        return whole(origin)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in ("", "text/event-stream"):
        return stream(origin)
    sound = _MEDIA_TYPE.fullmatch(media_type)
    return MislabelledDecoder(origin, media_type if sound else "an unknown media type", stream)


class MislabelledDecoder(AnswerDecoder):
    """Reads what does not call itself an event stream, where one was asked for.

    It may be one all the same: its first bytes tell. Otherwise it is an error page or an error report, and never a success.
    """

    __slots__ = ("_body", "_media_type", "_stream", "_to_stream")

    def __init__(
        self, origin: Origin, media_type: str, stream: Callable[[Origin], StreamDecoder]
    ) -> None:
        super().__init__(origin)
        self._media_type = media_type
        self._to_stream = stream
        self._stream: StreamDecoder | None = None
        self._body = bytearray()

    @property
    def usage(self) -> Usage:
        """What the provider has reported so far."""
        return Usage() if self._stream is None else self._stream.usage

    @property
    def billing(self) -> Billing:
        """What else the cost hangs on."""
        return PLAIN if self._stream is None else self._stream.billing

    def feed(self, data: bytes) -> list[Event]:
        """Collect, up to a limit, unless it is an event stream."""
        if self._stream is not None:
            return self._shown(self._stream, self._stream.feed(data))
        if len(self._body) < _BEGINNING and _is_event_stream(self._body + data[:_BEGINNING]):
            self._stream = self._to_stream(self._origin)
            return self._shown(self._stream, self._stream.feed(bytes(self._body) + data))
        self._body += data[: _ERROR_PAGE - len(self._body)]
        return []

    def close(self, *, broken: bool = False) -> list[Event]:
        """Say what came."""
        if self._stream is not None:
            return self._shown(self._stream, self._stream.close(broken=broken))
        if self.failure is not None:
            return []
        body = self._body.decode("utf-8-sig", "replace")
        try:
            document = msgspec.json.decode(body)
        except BROKEN:
            document = None
        if not body.strip():
            self.failure = failures.truncated(self._origin)
        elif is_report(document):
            self.failure = failures.from_report(self._origin, body)
        else:
            self.failure = failures.malformed(
                self._origin, f"sent {self._media_type} where an event stream was asked for"
            )
        return []

    def _shown(self, stream: StreamDecoder, events: list[Event]) -> list[Event]:
        """Show what the stream's own decoder has to say."""
        self.model, self.request_id = stream.model, stream.request_id
        self.stopping, self.finished, self.failure = (
            stream.stopping,
            stream.finished,
            stream.failure,
        )
        return events


def _is_event_stream(body: bytearray) -> bool:
    return body.removeprefix(_BOM).lstrip(b"\r\n").startswith(_FIELDS)
