"""One JSON document a line, without I/O: how Ollama streams. Source: github.com/ollama/ollama, docs/api.md."""

from __future__ import annotations

from llmkit.errors import FrameTooLarge
from llmkit.sse import MAX_EVENT, ServerSentEvent

_BOM = b"\xef\xbb\xbf"


class JSONLinesDecoder:
    """Splits the bytes of such a stream into documents, each as an event without a name. Blank lines are none.

    The time is linear in the number of bytes, however they are divided.

    Attributes:
        failure: the error that ended the stream, or None.
        between: whether the next byte starts a new line.
        cut: after `close`, whether the stream ended inside a line.
        stray: empty; nothing stands between lines.
    """

    __slots__ = ("_at_start", "_max_line", "_tail", "between", "cut", "failure", "stray")

    def __init__(self, max_line: int = MAX_EVENT) -> None:
        self._max_line = max_line
        self._tail = bytearray()
        self._at_start = True
        self.between = True
        self.cut = False
        self.failure: FrameTooLarge | None = None
        self.stray = ""

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Read more bytes; return the documents that they complete.

        Raises:
            FrameTooLarge: a line is longer than `max_line` bytes. If the same bytes completed others, those are returned first, `failure`
                is set, and the next call raises.
        """
        if self.failure is not None:
            raise self.failure
        end = data.rfind(b"\n")
        if end < 0:
            self._tail += data
            lines = []
        else:
            lines = (bytes(self._tail) + data[:end]).split(b"\n")
            self._tail = bytearray(data[end + 1 :])
        documents: list[ServerSentEvent] = []
        for line in lines:
            if len(line) > self._max_line:
                self._overflow()
                break
            self._take(line, documents)
        if len(self._tail) > self._max_line:
            self._overflow()
        self.between = not self._tail
        if self.failure is not None and not documents:
            raise self.failure
        return documents

    def close(self) -> list[ServerSentEvent]:
        """End the stream; return the last document if no line end followed it.

        Raises:
            FrameTooLarge: as in `feed`.
        """
        if self.failure is not None:
            raise self.failure
        documents: list[ServerSentEvent] = []
        line = bytes(self._tail)
        self._tail.clear()
        self.cut = bool(line.strip())
        self._take(line, documents)
        return documents

    def _take(self, line: bytes, documents: list[ServerSentEvent]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        text = line.decode("utf-8", "replace").strip()
        if text:
            documents.append(ServerSentEvent("message", text))

    def _overflow(self) -> None:
        self.failure = FrameTooLarge(
            f"a line of JSON is longer than {self._max_line} bytes",
            hint="Check that what is asked sends one JSON document a line, in small pieces.",
        )
        self._tail.clear()
