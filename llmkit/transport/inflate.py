"""Bodies that come compressed although nobody asked for it, decoded as they come."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from llmkit.errors import ProtocolError

_GZIP, _ZLIB, _BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


# What is decoded in one step, in bytes: half a megabyte of gzip may become a gigabyte.
STEP = 64 * 1024


class Inflater:
    """Decodes gzip, or deflate with and without its zlib header. Pure.

    What the sender has flushed is there at once; nothing is held back for more.

    Attributes:
        pending: whether more can be decoded of what was taken in.
    """

    __slots__ = ("_encoding", "_input", "_zlib", "pending")

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._zlib: zlib._Decompress | None = (
            zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        )
        self._input = b""
        self.pending = False

    def feed(self, data: bytes = b"") -> bytes:
        """Take in bytes as they came; return what they decode to, maybe nothing, and no more than `STEP` at once.

        Raises:
            ProtocolError: they are not what the header says.
        """
        self._input += data
        try:
            return self._step()
        except zlib.error:
            raise ProtocolError(
                f"the answer is not {self._encoding}, although its header says so",
                hint="Check the proxies between this app and the provider.",
            ) from None

    def _step(self) -> bytes:
        decoded = b""
        while (self._input or self.pending) and len(decoded) < STEP:
            if self._zlib is None:
                is_zlib = (
                    self._input[0] & 0x0F == 8
                )  # RFC 1950: the method; some servers leave it out
                self._zlib = zlib.decompressobj(_ZLIB if is_zlib else _BARE)
            decoded += self._zlib.decompress(self._input, STEP - len(decoded))
            self._input = self._zlib.unconsumed_tail
            self.pending = False
            if self._zlib.eof:
                rest = self._zlib.unused_data if self._encoding == "gzip" else b""
                self._input = rest
                if rest:
                    self._zlib = zlib.decompressobj(_GZIP)  # the next member
        # A full step may have more behind it, though all of the input is taken.
        self.pending = bool(self._input) or (
            len(decoded) >= STEP and self._zlib is not None and not self._zlib.eof
        )
        return decoded


def inflater_for(headers: Mapping[str, str]) -> Inflater | None:
    """Make what decodes a body with these headers; None if it comes as it is.

    Raises:
        ProtocolError: it is encoded in a way that is not known here.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip"):
        return Inflater("gzip")
    if encoding == "deflate":
        return Inflater("deflate")
    raise ProtocolError(
        "the answer is compressed in a way that llmkit does not support",
        hint="Check the proxies between this app and the provider: llmkit asks for uncompressed answers.",
    )
