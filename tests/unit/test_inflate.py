"""Bodies that come compressed."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.errors import ProtocolError
from llmkit.inflate import inflater_for
from support.decoding import split

TEXT = b"data: Hello, \xf0\x9f\x8c\x8d!\n\n" * 20


def bare(data: bytes) -> bytes:
    maker = zlib.compressobj(wbits=-15)
    return maker.compress(data) + maker.flush()


BODIES = {
    "gzip": gzip.compress(TEXT),
    "GZIP": gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
    "deflate": zlib.compress(TEXT),
    " deflate": bare(TEXT),
}


@given(st.sampled_from(sorted(BODIES)), st.lists(st.integers(0, 300), max_size=8))
def test_any_split_decodes_to_the_same(encoding: str, cuts: list[int]) -> None:
    """Gzip of one member or two, deflate with a header or without: as it was sent, however it came."""
    inflater = inflater_for({"content-encoding": encoding})
    assert inflater is not None
    assert b"".join(inflater.feed(piece) for piece in split(BODIES[encoding], cuts)) == TEXT


def test_what_was_flushed_is_there_at_once() -> None:
    """Nothing is held back for the end of the body."""
    maker = zlib.compressobj(wbits=31)
    inflater = inflater_for({"content-encoding": "gzip"})
    assert inflater is not None
    for word in (b"one ", b"two ", b"three"):
        sent = maker.compress(word) + maker.flush(zlib.Z_SYNC_FLUSH)
        assert inflater.feed(sent) == word


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "identity"}])
def test_a_plain_body_needs_nothing(headers: dict[str, str]) -> None:
    """There is nothing to decode."""
    assert inflater_for(headers) is None


def test_what_is_not_what_it_says_is_an_error() -> None:
    """Bytes that are no gzip, and an encoding that is not known."""
    inflater = inflater_for({"content-encoding": "gzip"})
    assert inflater is not None
    with pytest.raises(ProtocolError, match="not gzip"):
        inflater.feed(b"<html>")
    with pytest.raises(ProtocolError, match="compressed"):
        inflater_for({"content-encoding": "br"})
