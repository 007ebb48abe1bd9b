"""llmkit's own stream format: text frames, as `llmkit.js` reads them."""

from __future__ import annotations

import msgspec

from llmkit.events import Event, Finish, Reset, TextDelta
from llmkit.parts import ToolCall, ToolResult
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

    Frames: `data: {"text": "..."}` with the text of one network read, `event: tool` when the model calls one and when that has ended,
    `event: reset`, `event: error`, and `data: [DONE]` at the end of a complete answer and of no other. Each has the id
    `{stream_id}:{ordinal of the last event in it}`.

    Args:
        stream_id: of the answer.
        tool_details: whether a browser sees what a tool is called with, and what it returns.
    """

    __slots__ = ("_called", "_calls", "_ordinal", "_prefix", "_tool_details", "finished")

    def __init__(self, stream_id: str, *, tool_details: bool = False) -> None:
        self._prefix = f"id: {stream_id}:".encode()
        self._ordinal = 0
        self._tool_details = tool_details
        # Numbers and names of the tools that were called, by the provider's ids.
        self._called: dict[str, tuple[int, str]] = {}
        self._calls = 0
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
            elif kind is ToolCall or kind is ToolResult:
                frames += self._text(text) + self._tool(event)  # type: ignore[arg-type]
                text = ""
            self._ordinal += 1
        return frames + self._text(text) if text else frames

    def error(self, problem: Problem) -> bytes:
        """Return the last frame of a stream that failed."""
        return self._frame(b"event: error\ndata: " + problem.body, 1)

    def _tool(self, event: ToolCall | ToolResult) -> bytes:
        if isinstance(event, ToolCall):
            # Some servers give the calls of every answer the same ids.
            self._calls += 1
            number, name = self._called[event.id] = self._calls, event.name
            more: dict[str, object] = {"state": "called", "arguments": event.arguments}
        elif event.call_id not in self._called:
            return b""  # nobody has heard of it
        else:
            number, name = self._called[event.call_id]
            more = {"state": "failed" if event.is_error else "done", "result": event.content}
        if not self._tool_details:
            more = {"state": more["state"]}
        return self._frame(b"event: tool\ndata: " + _quote({"id": number, "name": name, **more}), 1)

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        return self._frame(b'data: {"text":' + _quote(text) + b"}", 0)

    def _frame(self, lines: bytes, ahead: int) -> bytes:
        return b"%s%d\n%s\n\n" % (self._prefix, self._ordinal + ahead, lines)
