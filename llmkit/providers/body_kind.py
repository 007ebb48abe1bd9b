"""What the body of a successful answer is: by what was asked for, by its header and by its first bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Kind:
    """What a wire's streams are.

    Attributes:
        media_type: what such an answer says of itself.
        shown: what it is called in an error.
        is_it: tells by the first bytes whether something else by its name may be one.
    """

    media_type: str
    shown: str
    is_it: Callable[[bytes], bool]


def _is_event_stream(body: bytes) -> bool:
    return body.removeprefix(_BOM).lstrip(b"\r\n").startswith(_FIELDS)


def _is_line_of_json(body: bytes) -> bool:
    """Tell a line from a document of many lines, as error reports often are."""
    return _LINE.match(body.removeprefix(_BOM).lstrip()) is not None


_LINE = re.compile(rb'\{[ \t]*"[a-z_]+"[ \t]*:')
EVENTS = Kind("text/event-stream", "an event stream", _is_event_stream)
JSON_LINES = Kind("application/x-ndjson", "lines of JSON", _is_line_of_json)


def choose_decoder(
    origin: Origin,
    headers: Mapping[str, str],
    *,
    streaming: bool,
    stream: Callable[[Origin], StreamDecoder],
    whole: Callable[[Origin], BodyDecoder],
    kind: Kind = EVENTS,
) -> AnswerDecoder:
    """Choose by what was asked for and by what the answer says it is.

    An answer that does not say what it is may be what was asked for. One that says it is something else is looked at.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if streaming and media_type in ("", kind.media_type):
        return stream(origin)
    if not streaming and (media_type in ("", "application/json") or media_type.endswith("+json")):
        return whole(origin)
    shown = media_type if _MEDIA_TYPE.fullmatch(media_type) else "an unknown media type"
    if streaming:
        return MislabelledDecoder(origin, shown, kind.shown, kind.is_it, stream)
    return MislabelledDecoder(origin, shown, "JSON", _is_document, whole)


class MislabelledDecoder(AnswerDecoder):
    """Reads what does not call itself what was asked for, a stream or JSON.

    It may be that all the same: its first bytes tell. Otherwise it is an error page or an error report, and never a success.
    """

    __slots__ = ("_asked_for", "_body", "_inner", "_is_it", "_make", "_media_type")

    def __init__(
        self,
        origin: Origin,
        media_type: str,
        asked_for: str,
        is_it: Callable[[bytes], bool],
        make: Callable[[Origin], AnswerDecoder],
    ) -> None:
        super().__init__(origin)
        self._media_type = media_type
        self._asked_for = asked_for
        self._is_it = is_it
        self._make = make
        self._inner: AnswerDecoder | None = None
        self._body = bytearray()

    @property
    def usage(self) -> Usage:
        """What the provider has reported so far."""
        return Usage() if self._inner is None else self._inner.usage

    @property
    def billing(self) -> Billing:
        """What else the cost hangs on."""
        return PLAIN if self._inner is None else self._inner.billing

    def _take_in(self, data: bytes) -> list[Event]:
        """Collect, up to a limit, unless it is what was asked for."""
        if self._inner is not None:
            return self._shown(self._inner, self._inner.feed(data))
        if len(self._body) < _BEGINNING and self._is_it(bytes(self._body + data[:_BEGINNING])):
            self._inner = self._make(self._origin)
            return self._shown(self._inner, self._inner.feed(bytes(self._body) + data))
        self._body += data[: _ERROR_PAGE - len(self._body)]
        if len(self._body) == _ERROR_PAGE:
            self._refuse()  # whatever it is, it need not be read to its end
        return []

    def _take_end(self, *, broken: bool) -> list[Event]:
        """Say what came."""
        if self._inner is not None:
            return self._shown(self._inner, self._inner.close(broken=broken))
        self._refuse()
        return []

    def _refuse(self) -> None:
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
                self._origin, f"sent {self._media_type} instead of {self._asked_for}"
            )

    def _shown(self, inner: AnswerDecoder, events: list[Event]) -> list[Event]:
        """Show what the decoder of what it is has to say."""
        self.model, self.request_id = inner.model, inner.request_id
        self.stopping, self.finished, self.failure = inner.stopping, inner.finished, inner.failure
        return events


def _is_document(body: bytes) -> bool:
    return body.removeprefix(_BOM).lstrip().startswith((b"{", b"["))
