"""HTTP/1.1 in bytes: requests in, heads and framed bodies out. No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestError(Exception):
    """What came cannot be answered; the connection must close. `status` says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """A request. Header names are lower case; `path` has no query, `target` has it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool

    @property
    def path(self) -> str:
        """Where it goes, without the query."""
        return self.target.partition("?")[0]


class RequestParser:
    """Cuts the bytes of a connection into requests with a content length, or none."""

    __slots__ = ("_buffer", "_expects", "_head")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str], bool, int] | None = None
        self._expects = False

    def feed(self, data: bytes) -> None:
        """Take in bytes as they came."""
        self._buffer += data

    def next(self) -> Request | None:
        """Return the next request once it is whole.

        Raises:
            RequestError: what came is no such request.
        """
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        method, target, headers, keep_alive, length = self._head
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._head = None
        self._expects = False
        return Request(method, target, headers, body, keep_alive)

    def wants_continue(self) -> bool:
        """Tell, once for each request, whether the client waits for `CONTINUE` with its body."""
        wants, self._expects = self._expects, False
        return wants

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > MAX_HEAD or (end < 0 and len(self._buffer) > MAX_HEAD):
            raise RequestError(431, "The headers of the request are too large.")
        if end < 0:
            return False
        line, *lines = self._buffer[:end].decode("latin-1").lstrip("\r\n").split("\r\n")
        del self._buffer[: end + 4]
        try:
            method, target, version = line.split(" ")
        except ValueError:
            raise RequestError(400, "The request line is malformed.") from None
        headers: dict[str, str] = {}
        for each in lines:
            name, _, value = each.partition(":")
            headers[name.lower()] = value.strip()
        connection = headers.get("connection", "").lower()
        keep_alive = version == "HTTP/1.1" and connection != "close"
        self._expects = headers.get("expect", "").lower() == "100-continue"
        self._head = method, target, headers, keep_alive, _length(headers)
        return True


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Write a status line and headers."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Overloaded" if status == 529 else ""
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class BodyWriter:
    """Turns a body into the bytes of the connection: compressed, cut short, in pieces, framed.

    `cut` tells that the cut has been reached: nothing more may be sent.
    """

    __slots__ = ("_chunked", "_compressor", "_left", "_size", "cut")

    def __init__(
        self,
        *,
        chunked: bool,
        encoding: Literal["gzip", "deflate"] | None = None,
        cut_at: int | None = None,
        chunk_size: int | None = None,
    ) -> None:
        self._chunked = chunked
        self._compressor = (
            zlib.compressobj(wbits=31 if encoding == "gzip" else 15) if encoding else None
        )
        self._left = cut_at
        self._size = chunk_size
        self.cut = False

    def feed(self, data: bytes) -> list[bytes]:
        """Frame a part of the body; each item is to be one write."""
        if self._compressor is not None:
            compressed = self._compressor.compress(data)
            data = compressed + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return self._split(data)

    def end(self) -> list[bytes]:
        """Frame the end of the body."""
        last = self._split(self._compressor.flush()) if self._compressor is not None else []
        if self._chunked and not self.cut:
            last.append(b"0\r\n\r\n")
        return last

    def _split(self, data: bytes) -> list[bytes]:
        if self._size is None:
            pieces = [data] if data else []
        else:
            pieces = [data[at : at + self._size] for at in range(0, len(data), self._size)]
        return [framed for piece in pieces if (framed := self._frame(piece))]

    def _frame(self, data: bytes) -> bytes:
        if self.cut:
            return b""
        size = len(data)
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
            self.cut = self._left == 0
            if not data:
                return b""
        if not self._chunked:
            return data
        # The head of a chunk that is cut promises all of it.
        return b"%x\r\n%b%b" % (size, data, b"\r\n" if len(data) == size else b"")


def _length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise RequestError(411, "Send the request with a content-length.")
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise RequestError(400, "The content-length is malformed.")
    if int(text) > MAX_BODY:
        raise RequestError(413, "Request exceeds the maximum size")
    return int(text)
