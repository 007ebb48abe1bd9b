"""Bodies that come compressed."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.errors import ProtocolError
from llmkit.transport.inflate import STEP, inflater_for
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


@pytest.mark.parametrize("encoding", ["deflate", " deflate"])
@pytest.mark.parametrize(
    "behind", [b"\r\n", b"\x00" * 9, gzip.compress(b"more", mtime=0), zlib.compress(b"x")]
)
def test_what_stands_behind_the_end_of_deflate_is_passed_over(encoding: str, behind: bytes) -> None:
    """It has no members, as gzip has: its end is the end, in the same read or in a later one."""
    body = BODIES[encoding]
    for pieces in ([body + behind], [body, behind], split(body + behind, [len(body) + 1])):
        inflater = inflater_for({"content-encoding": encoding})
        assert inflater is not None
        assert b"".join(inflater.feed(piece) for piece in pieces) == TEXT
        assert not inflater.pending


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_grows_is_decoded_in_steps(encoding: str) -> None:
    """However little there was, no step gives more than it may, and none of it is lost."""
    size = 50 * STEP + 7
    body = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding](bytes(size))
    inflater = inflater_for({"content-encoding": encoding})
    assert inflater is not None
    steps = [inflater.feed(body)]
    while inflater.pending:
        steps.append(inflater.feed())
    assert max(map(len, steps)) == STEP
    assert sum(map(len, steps)) == size
    assert inflater.feed(b"") == b""


@given(st.integers(0, 300), st.integers(1, 3), st.lists(st.integers(0, 3000), max_size=5))
def test_steps_of_any_body(pieces: int, members: int, cuts: list[int]) -> None:
    """Members, splits and steps change nothing of what it decodes to."""
    text = bytes(range(256)) * pieces + bytes(pieces * 1000)
    body = b"".join(gzip.compress(text) for _ in range(members))
    inflater = inflater_for({"content-encoding": "gzip"})
    assert inflater is not None
    decoded = b""
    for piece in split(body, cuts):
        decoded += inflater.feed(piece)
        while inflater.pending:
            decoded += inflater.feed()
    assert decoded == text * members


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
