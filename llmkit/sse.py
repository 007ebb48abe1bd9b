"""Server-sent events, in and out, without I/O.

The rules are those of the WHATWG HTML standard, "Server-sent events", section "Interpreting an
event stream". There is one difference: the standard drops an event that is not followed by a blank line,
but `SSEDecoder.close` returns it, because some servers end their streams like this. The reader of
the events decides whether they are complete.
"""

from __future__ import annotations

import re

import msgspec

from llmkit.errors import FrameTooLarge

MAX_EVENT = 16 * 1024 * 1024
"""The maximum size in bytes of one line, and of the data lines of one event."""

_LF, _CR = b"\n\r"  # looking for a number is several times faster than looking for bytes
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile("\r\n|\r|\n")
_FIELDS = ("data", "event", "id", "retry")
_MAX_STRAY = 64 * 1024

# Either an event as nearly every server writes it (a name, one data line), or whatever else stands
# before a blank line.
_FRAME = re.compile(r"(?:event: ?([^\n]*)\n)?data: ?([^\n]*)\n\n|(.+?)\n\n", re.DOTALL)


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One event. `id` is the last id that the stream has sent, or None if it has not sent one."""

    event: str
    data: str
    id: str | None = None


class SSEDecoder:
    """Splits the bytes of an event stream into events.

    The time is linear in the number of bytes, however they are divided.

    Attributes:
        last_id: the id to send as `Last-Event-ID` when connecting again, or None.
        retry: how many milliseconds the server asks to wait before connecting again, or None.
        failure: the error that ended the stream, or None.
        between: whether the next byte starts a new event.
        cut: after `close`, whether the stream ended inside an event.
        stray: lines that are no field of an event, which the standard ignores, as far as there is room: some servers write why they
            stop without a field's name.
    """

    __slots__ = (
        "_after_cr",
        "_at_start",
        "_data",
        "_event",
        "_max_event",
        "_size",
        "_tail",
        "between",
        "cut",
        "failure",
        "last_id",
        "retry",
        "stray",
    )

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max_event = max_event
        self._at_start = True
        self._after_cr = False
        self.between = False
        self.cut = False
        self._tail = bytearray()
        self._data: list[str] | None = None  # made when an event has an odd form
        self._event = ""
        self._size = 0
        self.stray = ""
        self.last_id: str | None = None
        self.retry: int | None = None
        self.failure: FrameTooLarge | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Read more bytes; return the events that they complete.

        Raises:
            FrameTooLarge: a line, or the data lines of one event, are longer than `max_event`
                bytes. If the same bytes completed events, those are returned first, `failure` is
                set, and the next call raises.
        """
        # Most reads bring whole events after whole events.
        size = len(data)
        if (
            self.between
            and 1 < size <= self._max_event
            and data[-1] == data[-2] == _LF
            and _CR not in data
        ):
            events: list[ServerSentEvent] = []
            self._take_whole(data, events)
            return events
        return self._feed(data)

    def close(self) -> list[ServerSentEvent]:
        """End the stream; return the last event if it was not followed by a blank line.

        Raises:
            FrameTooLarge: as in `feed`.
        """
        if self.failure is not None:
            raise self.failure
        events: list[ServerSentEvent] = []
        lines = bytes(self._tail)
        begun = bool(lines) and not lines.startswith(b":")
        self.cut = begun or bool(self._data or self._event)
        self._tail.clear()
        self._take_lines(lines + b"\n\n" if lines else b"\n", events)
        if self.failure is not None:
            raise self.failure
        return events

    def _feed(self, data: bytes) -> list[ServerSentEvent]:
        if self.failure is not None:
            raise self.failure
        data = self._normalise(data)
        cut = data.rfind(b"\n") + 1
        events: list[ServerSentEvent] = []
        self._tail += data[:cut]
        if cut:
            lines = bytes(self._tail)
            self._tail.clear()
            self._take(lines, events)
        self._tail += data[cut:]
        if len(self._tail) > self._max_event:
            self._overflow()
        if self.failure is not None and not events:
            raise self.failure
        self.between = not (
            self._tail
            or self._data
            or self._event
            or self._after_cr
            or self._at_start
            or self.failure
        )
        return events

    def _normalise(self, data: bytes) -> bytes:
        """Take off the byte order mark and make every line end a line feed."""
        if self._at_start:
            data = bytes(self._tail) + data
            self._tail.clear()
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._tail += data
                return b""
            self._at_start = False
            data = data.removeprefix(_BOM)
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if _CR in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _take(self, lines: bytes, events: list[ServerSentEvent]) -> None:
        """Read whole lines: the end of an event begun, then whole events, then another's start."""
        start = 0
        if len(lines) > self._max_event:
            start = len(lines)
        elif not (self._data or self._event):
            start = 0
        elif lines.startswith(b"\n"):
            start = 1
        else:
            start = lines.find(b"\n\n") + 2
            start = start if start > 1 else len(lines)
        self._take_lines(lines[:start], events)
        end = lines.rfind(b"\n\n", start) + 2
        if end > 1 and self.failure is None:
            self._take_whole(lines[start:end], events)
            start = end
        self._take_lines(lines[start:], events)

    def _take_whole(self, block: bytes, events: list[ServerSentEvent]) -> None:
        """Read whole events at once: none is begun, and together they are not too long for one."""
        last_id = self.last_id
        for name, data, odd in _FRAME.findall(block.decode("utf-8", "replace")):
            if odd:
                for line in odd.split("\n"):
                    self._take_line(line, 0, events)
                self._take_line("", 0, events)
                last_id = self.last_id
            else:
                events.append(ServerSentEvent(name or "message", data, last_id))

    def _take_lines(self, lines: bytes, events: list[ServerSentEvent]) -> None:
        """Read whole lines one by one, and see that none of them and no event is too long."""
        for line in lines.split(b"\n")[:-1]:
            if self.failure is not None:
                return
            if len(line) > self._max_event:
                self._overflow()
            else:
                self._take_line(line.decode("utf-8", "replace"), len(line), events)

    def _take_line(self, line: str, size: int, events: list[ServerSentEvent]) -> None:
        if not line:
            self._dispatch(events)
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data = self._data or []
            self._data.append(value)
            self._size += size
            if self._size > self._max_event:
                self._overflow()
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self.last_id = value
        elif field == "retry" and value.isascii() and value.isdigit() and len(value) < 16:
            self.retry = int(value)
        elif field and field not in _FIELDS and len(self.stray) + size < _MAX_STRAY:
            self.stray += f"{line}\n"

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        if self._data:
            data = "\n".join(self._data)
            events.append(ServerSentEvent(self._event or "message", data, self.last_id))
            self._data = None
            self._size = 0
        self._event = ""

    def _overflow(self) -> None:
        self.failure = FrameTooLarge(
            f"a server-sent event is longer than {self._max_event} bytes",
            hint="Raise max_event if the server really sends events of this size.",
        )
        self._tail.clear()
        self._data = None


def encode(data: str, *, event: str | None = None, id: str | None = None) -> bytes:
    r"""Write one event.

    Each line of `data` gets its own field, so that no text can forge an event. A line break is
    `\r\n`, `\r` or `\n` and arrives as `\n`. Halves of surrogate pairs become U+FFFD, because UTF-8
    cannot encode them.

    Raises:
        ValueError: `event` or `id` contains a line break, or `id` contains a NUL.
    """
    head = ""
    if id is not None:
        if "\0" in id:
            raise ValueError("the id of an event may not contain a NUL: a browser would ignore it")
        head = f"id: {_one_line(id, 'id')}\n"
    if event is not None:
        head += f"event: {_one_line(event, 'name')}\n"
    if "\n" in data or "\r" in data:
        data = "\ndata: ".join(_LINE_END.split(data))
    return _utf8(f"{head}data: {data}\n\n")


def comment(text: str = "") -> bytes:
    """Write a comment. It keeps the connection alive, and clients ignore it."""
    return _utf8("".join(f": {line}\n" if line else ":\n" for line in _LINE_END.split(text)) + "\n")


def _one_line(value: str, what: str) -> str:
    if "\n" in value or "\r" in value:
        raise ValueError(f"the {what} of an event may not contain a line break")
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
