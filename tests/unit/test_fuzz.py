"""Whatever a server sends, a decoder gives an answer or an error of ours, and holds no more than it was sent."""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise

import pytest

from llmkit.providers.base import Decoder
from support.decoding import PROVIDERS, decode, stream_decoder, whole_decoder
from support.streams import BROKEN_STREAMS, COMPLETE_STREAMS, WHOLE_ANSWERS

# How many inputs are tried over all decoders; a million by hand.
INPUTS = int(os.environ.get("LLMKIT_TEST_FUZZ", "20000"))
# Of so many one is measured, which takes its time.
MEASURED = 25
WIRES = sorted(PROVIDERS)
PIECES = (
    *(b"\n", b"\r", b"\n\n", b"data: ", b"event: ", b"event: error\n", b": x\n\n", b"[DONE]"),
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"true", b"-1", b"1e999", b"0.5"),
    *(
        b"\\",
        b"\\ud83d",
        b"\\u0000",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\x00",
        "ö".encode(),
    ),
    *(b'"error":{},', b'"type":"error",', b'"index":7,', b'"done":true,', b'"usage":{},'),
    *(b'{"a":' * 40, b"[" * 200, b"9" * 400),
)


def changed(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Overwrite, add, lose, double, move or mix a few bytes or lines."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 1, 2, 8, 64)))
        lines = data.splitlines(keepends=True)
        match chance.randrange(8):
            case 0:
                data = data[:at] + chance.randbytes(end - at) + data[end:]
            case 1:
                data = data[:at] + chance.choice(PIECES) + data[at:]
            case 2:
                data = data[:at] + data[end:]
            case 3:
                data = data[:end] + data[at:]
            case 4:
                data = data[:at]
            case 5:
                chance.shuffle(lines)
                data = b"".join(lines)
            case 6 if lines:
                line = chance.choice(lines)
                data = data.replace(line, line * chance.randrange(3), 1)
            case _:
                other = chance.choice(others)
                data = data[:at] + other[chance.randrange(len(other)) :]
    return data


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    """Cut it anyhow."""
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 1, 2, 6))))
    places = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(places)]


@contextmanager
def measured(data: bytes) -> Iterator[None]:
    """See that reading it takes no more memory than it is worth."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 200_000 + 100 * len(data), data
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [stream_decoder, whole_decoder], ids=["streamed", "whole"])
@pytest.mark.parametrize("wire", WIRES)
def test_changed_answers(wire: str, make: Callable[[str], Decoder]) -> None:
    """Of this wire, and of others; the same ones in each run. What it ends with does not hang on how the bytes were cut."""
    chance = random.Random(f"{wire} {make.__name__}")
    streams = {name: [*COMPLETE_STREAMS[name], *BROKEN_STREAMS[name]] for name in WIRES}
    others = [stream for some in streams.values() for stream in some] + [*WHOLE_ANSWERS.values()]
    own = [*streams[wire], WHOLE_ANSWERS[wire]]
    for number in range(INPUTS // (2 * len(WIRES))):
        start = chance.choice(own if chance.random() < 0.9 else others)
        data = changed(chance, start, others)
        with measured(data) if number % MEASURED == 0 else nullcontext():
            found = decode(make(wire), [data])
        assert (found.finish is None) == (found.failure is not None), data
        assert decode(make(wire), pieces(chance, data)) == found, data
