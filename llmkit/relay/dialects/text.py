"""llmkit's own stream format: text frames, as `llmkit.js` reads them."""

from __future__ import annotations

import msgspec

from llmkit.events import Event, Finish, Reset, TextDelta
from llmkit.relay.problem import Problem

HEARTBEAT = b": \n\n"
# nginx and CDNs hold back what they may buffer, transform or compress.
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
    "content-encoding": "identity",
}

_quote = msgspec.json.Encoder().encode


class TextDialect:
    """Encodes one stream.

    Frames: `data: {"text": "..."}` with the text of one network read, `event: reset`, `event: error`, and `data: [DONE]` at the
    end of a complete answer and of no other. Each has the id `{stream_id}:{ordinal of the last event in it}`.
    """

    __slots__ = ("_ordinal", "_prefix", "finished")

    def __init__(self, stream_id: str) -> None:
        self._prefix = f"id: {stream_id}:".encode()
        self._ordinal = 0
        self.finished = False

    def encode(self, events: list[Event]) -> bytes:
        """Return the frames of these events: nothing, if there is nothing a browser should see."""
        if len(events) == 1 and type(events[0]) is TextDelta:
            self._ordinal += 1
            return b'%s%d\ndata: {"text":%s}\n\n' % (
                self._prefix,
                self._ordinal,
                _quote(events[0].text),
            )
        frames = b""
        text = ""
        for event in events:
            kind = type(event)
            if kind is TextDelta:
                text += event.text  # type: ignore[union-attr]  # narrowed by type(...), which is faster
            elif kind is Finish:
                frames += self._text(text) + self._frame(b"data: [DONE]", 1)
                text = ""
                self.finished = True
            elif kind is Reset:
                frames += self._frame(b"event: reset\ndata: {}", 1)
                text = ""
            self._ordinal += 1
        return frames + self._text(text) if text else frames

    def error(self, problem: Problem) -> bytes:
        """Return the last frame of a stream that failed."""
        return self._frame(b"event: error\ndata: " + problem.body, 1)

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        return self._frame(b'data: {"text":' + _quote(text) + b"}", 0)

    def _frame(self, lines: bytes, ahead: int) -> bytes:
        return b"%s%d\n%s\n\n" % (self._prefix, self._ordinal + ahead, lines)
