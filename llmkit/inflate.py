"""Bodies that come compressed although nobody asked for it, decoded as they come."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from llmkit.errors import ProtocolError

_GZIP, _ZLIB, _BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Inflater:
    """Decodes gzip, or deflate with and without its zlib header. Pure.

    What the sender has flushed is there at once; nothing is held back for more.
    """

    __slots__ = ("_encoding", "_zlib")

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._zlib: zlib._Decompress | None = (
            zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        )

    def feed(self, data: bytes) -> bytes:
        """Take in bytes as they came; return what they decode to, maybe nothing.

        Raises:
            ProtocolError: they are not what the header says.
        """
        decoded = b""
        try:
            while data:
                if self._zlib is None:
                    is_zlib = data[0] & 0x0F == 8  # RFC 1950: the method; some servers leave it out
                    self._zlib = zlib.decompressobj(_ZLIB if is_zlib else _BARE)
                decoded += self._zlib.decompress(data)
                data = self._zlib.unused_data
                if data and self._encoding == "gzip":
                    self._zlib = zlib.decompressobj(_GZIP)  # the next member
                else:
                    break
        except zlib.error:
            raise ProtocolError(
                f"the answer is not {self._encoding}, although its header says so",
                hint="Check the proxies between this app and the provider.",
            ) from None
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
        "the answer is compressed in a way that nobody asked for",
        hint="Check the proxies between this app and the provider: llmkit asks for identity.",
    )
