"""How the body of an answer is read: what the decoders of all wires share."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

import msgspec

from llmkit.errors import AnswerTooLarge, FrameTooLarge, ProviderError
from llmkit.events import Event, Finish
from llmkit.providers import failures
from llmkit.providers.counts import TokenReport, believed
from llmkit.providers.cuts import Form, alone, cut, lines_of
from llmkit.providers.deltas import Halves, check_texts, merged
from llmkit.providers.failures import Origin
from llmkit.providers.lenient import Misfit, fit, lenient_json, report_in
from llmkit.providers.lines import Lines
from llmkit.providers.reports import is_report
from llmkit.providers.tool_calls import BrokenCall, Calls
from llmkit.sse import ServerSentEvent, SSEDecoder
from llmkit.tracebacks import place_of
from llmkit.usage import PLAIN, Billing, Usage

log = logging.getLogger("llmkit.stream")

BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for what is not the JSON it expects."""

MAX_BODY = 32 * 1024 * 1024
"""How many bytes a whole answer may have, decoded: 128,000 tokens with all their JSON, or log probabilities, are under four million."""

_BOM = b"\xef\xbb\xbf"
T = TypeVar("T", bound=msgspec.Struct)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


class AnswerDecoder(ABC):
    """What every decoder shows; see `llmkit.providers.base.Decoder`."""

    __slots__ = (
        "_origin",
        "_reported",
        "_said",
        "failure",
        "finished",
        "model",
        "request_id",
        "stopping",
    )

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._reported: Usage | None = None
        self._said = False
        self.model: str | None = None
        self.request_id: str | None = None
        self.stopping = False
        self.finished = False
        self.failure: ProviderError | None = None

    @property
    def usage(self) -> Usage:
        """What the provider has reported so far."""
        return believed(self._reported or Usage(), said=self._said)

    @property
    def billing(self) -> Billing:
        """What else the cost hangs on, as far as the provider has reported it."""
        return PLAIN

    @property
    def _done(self) -> bool:
        return self.finished or self.failure is not None

    def feed(self, data: bytes) -> list[Event]:
        """Take in bytes as they came; return the events they complete. Neighbouring deltas of one kind are one delta."""
        if self.finished or self.failure is not None:
            return []
        try:
            return self._take_in(data)
        except Exception as error:  # noqa: BLE001  # nothing that is sent is an exception
            return self._unread(error)

    def close(self, *, broken: bool = False) -> list[Event]:
        """Take in the end of the body, or that its connection broke."""
        if self._done:
            return []
        try:
            return self._take_end(broken=broken)
        except Exception as error:  # noqa: BLE001  # nothing that is sent is an exception
            return self._unread(error)

    @abstractmethod
    def _take_in(self, data: bytes) -> list[Event]:
        """Take in more bytes of an answer that is neither complete nor broken."""

    @abstractmethod
    def _take_end(self, *, broken: bool) -> list[Event]:
        """Take in the end of such an answer, or that its connection broke."""

    def _unread(self, error: Exception) -> list[Event]:
        """Make a failure of what a decoder let through, which may be the app's own. Neither it nor the log quotes what was sent."""
        self.finished = False
        if isinstance(error, BrokenCall):
            self.failure = failures.broken_call(self._origin, error)
        elif self.failure is None:
            what = f"sent an answer that its decoder cannot read ({type(error).__name__})"
            self.failure = failures.malformed(self._origin, what)
            log.warning("the decoder of %s failed: %s", self._origin.provider, place_of(error))
        return []

    def _ended(self, calls: Calls | None, finish: Finish) -> list[Event]:
        """Return the last events of an answer that is complete: its calls of tools, and the finish."""
        self.finished = True
        if calls is None:
            return [finish]
        try:
            return [*calls.whole(finish.stop_reason), finish]
        except BrokenCall as broken:
            self.finished, self.failure = False, failures.broken_call(self._origin, broken)
            return []


class StreamDecoder(AnswerDecoder):
    """Reads an answer that comes as a stream. Its lines are read by another; a wire says what their events mean.

    Nearly all events are deltas. Where a wire says how those look, they are cut out and read together.
    """

    __slots__ = ("_careful", "_halves", "_is_the_apps", "_lines")
    _form: ClassVar[Form | None] = None
    """How a delta looks."""

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._lines = self._new_lines()
        # Whether every event has to be looked at by itself, because of what came before.
        self._careful = False
        self._halves: Halves | None = None  # made when the server cuts a surrogate pair
        self._is_the_apps = not type(self).__module__.startswith("llmkit.")

    def _take_in(self, data: bytes) -> list[Event]:
        form = self._form
        if form is None or self._careful:
            return self._feed(data)
        between = self._lines.between
        if between and (line := alone(data, form)) is not None:  # as the tokens of most models come
            events = self._read_lines(line, 1)
            return self._feed(data) if events is None else events
        start, end = cut(data, form, between=between)
        if start == end:
            return self._feed(data)
        return merged(self._feed_parts(data[:start], data[start:end], data[end:], form))

    def _feed_parts(self, before: bytes, usual: bytes, after: bytes, form: Form) -> list[Event]:
        """Take in the usual events, and what stands around them."""
        events = self._feed(before) if before else []
        if not self._done:
            read = self._feed_usual(usual, form) if self._lines.between else None
            events += self._feed(usual) if read is None else read
        if after and not self._done:
            events += self._feed(after)
        return events

    def _feed_usual(self, usual: bytes, form: Form) -> list[Event] | None:
        found = None if self._careful else lines_of(usual, form)
        return None if found is None else self._read_lines(*found)

    def _feed(self, data: bytes) -> list[Event]:
        """Take in whatever it is."""
        try:
            frames = self._lines.feed(data)
        except FrameTooLarge:
            frames = []
        events = self._read(frames) if frames else []
        if self._lines.failure is not None and not self._done:
            self.failure = failures.too_large(self._origin, self._lines.failure)
        return self._joined(events, last=self._done)

    def _take_end(self, *, broken: bool) -> list[Event]:
        # An event that was cut off is not an error by itself; the missing terminal marker is. Where the end of the body would be that
        # marker, half an event and a connection that broke show that more was to come.
        try:
            frames = self._lines.close()
        except FrameTooLarge as error:
            self.failure = failures.too_large(self._origin, error)
            frames = []
        whole = [frame for frame in frames if _is_whole(frame.data)]
        events = self._read(whole)
        if not self._done and self._lines.stray:
            self._heed(self._lines.stray)
        if not (self._done or broken or (self._lines.cut and not whole)):
            events += self._end()
        if not self._done:
            self.failure = failures.truncated(self._origin)
        return self._joined(events, last=True)

    def _heed(self, stray: str) -> None:
        """Find a report of a failure that is no event, as Google's servers write it, line by line."""
        begins = min((at for at in map(stray.find, "{[") if at >= 0), default=None)
        if begins is None:
            return
        try:
            document = lenient_json(stray[begins:])
        except (ValueError, RecursionError):
            return
        if is_report(document):
            self.failure = failures.from_report(self._origin, stray[begins:])

    def _odd_json(self, data: str) -> object:
        """Decode an event that msgspec refuses.

        Raises:
            ValueError, RecursionError: it is not JSON at all.
        """
        if self._halves is None and _HALF.search(data) is not None:
            self._halves, self._careful = Halves(), True
        return lenient_json(data)

    def _fitted(self, data: str, kind: type[T], what: str) -> T | None:
        """Read an event that msgspec refuses once more, with patience; None if it is nothing of this kind: `failure` says why.

        Args:
            data: its JSON.
            kind: what it has to be.
            what: what it is called in an error, such as "an event".
        """
        try:
            document = self._odd_json(data)
            if isinstance(document, list) and is_report(
                document
            ):  # so some of Google's servers write it
                self.failure = failures.from_report(self._origin, data)
                return None
            return fit(document, kind)
        except Misfit:
            self.failure = failures.malformed(self._origin, f"sent {what} in an unknown format")
        except (ValueError, RecursionError):
            self.failure = failures.malformed(self._origin, f"sent {what} that is not JSON")
        return None

    def _joined(self, events: list[Event], *, last: bool) -> list[Event]:
        if self._is_the_apps:
            check_texts(events)
        return events if self._halves is None else self._halves.join(events, last=last)

    def _new_lines(self) -> Lines:
        """Make what reads the lines."""
        return SSEDecoder()

    @abstractmethod
    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        """Turn frames into events, up to the terminal marker or the first failure."""

    def _read_lines(self, lines: bytes, count: int) -> list[Event] | None:
        """Turn the JSON of so many usual events, one a line, into events, and neighbouring deltas into one.

        Each line has its braces, so none of them begins in one line and ends in another. None if one of them is not as usual: all
        are then read again, and what was taken note of has to bear that.
        """
        return None

    def _end(self) -> list[Event]:
        """Finish an answer for which the end of the body is the terminal marker."""
        return []


class BodyDecoder(AnswerDecoder):
    """Reads an answer that comes whole, as one JSON document."""

    __slots__ = ("_body",)
    # How a report of a failure tells the tokens; this one reads none.
    _report_type: ClassVar[type[TokenReport]] = TokenReport
    max_body: ClassVar[int] = MAX_BODY

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._body = bytearray()

    def _take_in(self, data: bytes) -> list[Event]:
        self._body += data
        if len(self._body) > self.max_body:
            self._body.clear()
            self.failure = AnswerTooLarge(self.max_body, provider=self._origin.provider)
        return []

    def _take_end(self, *, broken: bool) -> list[Event]:
        body = self._body.removeprefix(_BOM).decode("utf-8", "replace")
        self._body.clear()
        if not body.strip():
            self.failure = failures.truncated(self._origin)
            return []
        events = Halves().join(self._read(body), last=True)
        if not self._done:
            self.failure = failures.truncated(self._origin)
        if self.failure is not None and self._reported is None:
            report = report_in(body)
            if isinstance(report, dict):
                self._reported = fit(report, self._report_type).to_usage()
        return [] if self.failure is not None else events

    @abstractmethod
    def _read(self, body: str) -> list[Event]:
        """Turn the document into events."""

    def _fitted(self, body: str, decode: Callable[[str], T], kind: type[T]) -> T:
        """Read the document, with patience where msgspec refuses it; an empty one where it is nothing of this kind."""
        try:
            return decode(body)
        except BROKEN:
            pass
        try:
            return fit(lenient_json(body), kind)
        except (ValueError, RecursionError):
            return kind()

    def _refuse(self, body: str) -> None:
        """Say why a document is not an answer: an error report, cut short, or something else."""
        try:
            document = msgspec.json.decode(body)
        except BROKEN as error:
            self.failure = (
                failures.truncated(self._origin)
                if "truncated" in str(error)
                else failures.malformed(self._origin, "sent an answer that is not JSON")
            )
            return
        self.failure = (
            failures.from_report(self._origin, body)
            if is_report(document)
            else failures.malformed(self._origin, "sent an answer in an unknown format")
        )


def _is_whole(data: str) -> bool:
    """Tell whether an event that no blank line ended has come to its end all the same."""
    if data.strip() == "[DONE]":
        return True
    try:
        lenient_json(data)
    except (ValueError, RecursionError):
        return False
    return True
