"""What has come over a connection: one answer after another, of which no byte is taken for another's. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, TypeVar, overload

import httptools

from llmkit.errors import ConnectionFailed
from llmkit.tracebacks import system_error

if not hasattr(httptools.HttpResponseParser, "set_dangerous_leniencies"):
    raise ImportError("it is older than 0.6.4")

T = TypeVar("T")

# How much may be read, in bytes, without any of a body in it: a head, what stands between the chunks and behind them.
LONGEST_HEAD = 64 * 1024


class State(Enum):
    """What a connection is doing. See `llmkit.transport.native` for how one leads to another."""

    IDLE = "waits for a request"
    ASKED = "waits for the head of the answer"
    BODY = "the head is there, the body comes"
    OVER = "the whole answer has come"
    GONE = "lost or cut, before the end of the answer"


IDLE, ASKED, BODY, OVER, GONE = State


class _Refused(Exception):
    """What a callback of the parser does not take."""


class Answers:
    """Reads the answers on one connection.

    Attributes:
        state: what the connection is doing.
        status, headers: those of the answer, once its head is there; till then the status is 0.
        chunks: what has come of its body, and was not taken yet.
        waiting: how many bytes that is, with what stood around them.
    """

    __slots__ = (
        *("_bare", "_cause", "_fields", "_heard", "_keeps", "_parser", "_reason"),
        *("chunks", "headers", "on_body", "state", "status", "waiting"),
    )

    def __init__(self) -> None:
        self._bare = 0
        self._cause: OSError | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._heard = False
        self._keeps = True
        self._reason = "it is closed"
        self.chunks: list[bytes] = []
        self.on_body = self.chunks.append  # called by the parser, once for every chunk
        self.headers = Headers()
        self.state = IDLE
        self.status = 0
        self.waiting = 0
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # Some servers end their lines without a CR, or fill up the size of a chunk.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    @property
    def is_silent(self) -> bool:
        """Whether no byte has come since something was asked."""
        return not self._heard

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is taken in, since the connection is closed or has to be."""
        return self._parser is None

    @property
    def is_over(self) -> bool:
        """Whether the whole answer has come and was taken."""
        return self.state is OVER and not self.chunks

    def expect(self) -> None:
        """Take note that a request is sent."""
        self.state = ASKED
        self.status = 0
        self._bare = 0
        self._heard = False

    def feed(self, data: bytes) -> None:
        """Take in what one read of the network gave."""
        parser = self._parser
        if parser is None or self.state is IDLE:
            self.end("it spoke without being asked")
            return
        self._heard = True
        came = len(self.chunks)
        try:
            parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self.end(str(cause))
            if cause is not None and not isinstance(cause, Exception):
                raise cause from None  # Ctrl-C
        except httptools.HttpParserError as error:
            self.end(f"the answer is not HTTP/1.1 ({error})")
        if len(self.chunks) > came:
            self._bare = 0
            self.waiting += len(data)
            return
        self._bare += len(data)
        if self._bare > LONGEST_HEAD:
            self.end(f"more than {LONGEST_HEAD} bytes came that are no body")

    def feed_eof(self) -> None:
        """Take note that the server sends no more: the end of a body that has no other."""
        if self.state is BODY and self.headers.end_with_the_connection:
            self.state = OVER
        self.end("the answer has no end" if self._heard else "it was closed")

    def take(self) -> bytes:
        """Return what has come of the body.

        Raises:
            ConnectionFailed: there is nothing, and nothing will come.
        """
        chunks = self.chunks
        if chunks:
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            self.waiting = 0
            return data
        if self.state is GONE:
            raise self.failure()
        return b""

    def renew(self) -> bool:
        """Make ready for the next request, if the connection can serve again."""
        if not (self._keeps and self.is_over):
            return False
        self.state = IDLE
        return True

    def end(self, reason: str, cause: Exception | None = None) -> None:
        """Take note that the connection is closed. An answer that has come to its end stays what it is, and what came before is still there."""
        self._keeps = False
        self._parser = None  # which holds this object
        if self.state is not OVER and self.state is not GONE:
            self.state = GONE
            self._reason = reason
            self._cause = None if cause is None else system_error(cause)

    def failure(self) -> ConnectionFailed:
        """Say why the connection is gone."""
        failure = ConnectionFailed(f"the connection to the provider broke ({self._reason})")
        failure.__cause__, self._cause = self._cause, None
        return failure

    # What the parser calls.

    def on_message_begin(self) -> None:
        """See that this is the answer that is waited for."""
        if self.state is not ASKED:
            raise _Refused("it sent more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a field of the head; not one that follows the body."""
        if self.state is ASKED:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Take in the head, unless it is one that only says that another follows."""
        assert self._parser is not None  # noqa: S101  # it has called
        status = self._parser.get_status_code()
        if status < 100 or status == 101:  # with which another protocol begins
            raise _Refused(f"the answer is not HTTP/1.1 (its status is {status})")
        fields, self._fields = self._fields, []
        if not 100 <= status < 200:
            self.status = status
            self.headers = Headers(fields)
            self.state = BODY

    def on_message_complete(self) -> None:
        """Take note that the answer is over."""
        if self.state is BODY and self._parser is not None:
            self._keeps = self._parser.should_keep_alive()  # which it forgets with the next byte
            self.state = OVER


class Headers(Mapping[str, str]):
    """The headers of an answer, looked for in whatever case they are asked for. Of two with one name it is the first.

    Few are asked for, so none is read before; each kept by itself takes four times the room. The parser lets no NUL and no line feed in.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        lines = [b"%b\0%b" % (name.lower(), value) for name, value in fields]
        self._fields = b"\n".join([b"", *lines, b""])

    def _first(self, name: str) -> bytes | None:
        wanted = b"\n%b\0" % name.lower().encode()
        begin = self._fields.find(wanted) + len(wanted)
        if begin < len(wanted):
            return None
        return self._fields[begin : self._fields.index(b"\n", begin)]

    @property
    def end_with_the_connection(self) -> bool:
        """Whether the body that follows has no other end (RFC 9112, 6.3)."""
        _, found, behind = self._fields.rpartition(b"\ntransfer-encoding\0")
        if found:
            return behind.partition(b"\n")[0].rpartition(b",")[2].strip().lower() != b"chunked"
        return "content-length" not in self

    def __getitem__(self, name: str) -> str:
        value = self._first(name)
        if value is None:
            raise KeyError(name)
        return _text(value)

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: T) -> str | T: ...
    def get(self, name: str, default: Any = None) -> Any:
        """Return one, or a default."""
        value = self._first(name)
        return default if value is None else _text(value)

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> dict[bytes, None]:
        return dict.fromkeys(line.partition(b"\0")[0] for line in self._fields.split(b"\n")[1:-1])


def _text(value: bytes) -> str:
    return value.rstrip(b" \t").decode("utf-8", "replace")
