"""Kept answers, as bytes: whole, or nothing."""

from __future__ import annotations

import random
import zlib
from decimal import Decimal

import pytest

from llmkit.cache.entry import Kept, read, written
from llmkit.events import (
    Finish,
    RedactedThinking,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
)
from llmkit.usage import Usage

USAGE = Usage(input_tokens=3, output_tokens=2, input_source="reported", output_source="estimated")


def kept(text: str = "Köln") -> Kept:
    """Make an answer."""
    return Kept(
        said=(
            ("thinking", "hm", None),
            ("signature", "s", "anthropic"),
            ("redacted", "x", "gemini"),
            ("text", text, None),
        ),
        stop_reason="end",
        raw_stop_reason="end_turn",
        usage=USAGE,
        cost=Decimal("0.000123456"),
        provider="anthropic",
        model="claude",
        request_id=None,
        at=1.5,
    )


@pytest.mark.parametrize("length", [4, 10_000])
def test_it_comes_back(length: int) -> None:
    """As it was, short or long; a long one takes less room."""
    one = kept("ö" * length)
    data = written("k", one)
    assert read("k", data) == one
    assert (len(data) < 1000) == (length in (4, 10_000))


def test_its_events() -> None:
    """Are what was said, in its order, each of the wire that has signed it, and the end."""
    signature, redacted = ThinkingSignature("s", "anthropic"), RedactedThinking("x", "gemini")
    merged = [ThinkingDelta("hm"), signature, redacted, TextDelta("Köln")]
    assert kept().events() == [*merged, Finish("end", "end_turn", USAGE)]


@pytest.mark.parametrize("data", [None, "text", b"", b"\x01", b"\x01" * 40, b"\x03" + b"x" * 40, 7])
def test_what_is_no_entry(data: object) -> None:
    """Is nothing."""
    assert read("k", data) is None


def test_another_keys_answer_is_nothing() -> None:
    """Whoever has put it there."""
    assert read("other", written("k", kept())) is None


@pytest.mark.parametrize("length", [4, 10_000])
def test_torn_or_changed(length: int) -> None:
    """At every byte of it, or anywhere."""
    chance = random.Random(5)
    data = written("k", kept(chance.choice("äö") * length))
    for at in range(len(data)):
        assert read("k", data[:at]) is None
        changed = data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
        assert read("k", changed) is None
    assert read("k", data + b"x") is None


def test_an_answer_of_another_form() -> None:
    """Or one that would be longer than any is nothing, even if nobody has changed it."""
    from llmkit.cache.entry import _digest

    for form, content in (
        (b"\x01", b"\xc0"),
        (b"\x01", b"no msgpack"),
        (b"\x02", b"not compressed"),
        (b"\x02", zlib.compress(b"x" * 200_000_000, 1)),
        (b"\x02", zlib.compress(b"x")[:-1]),
    ):
        assert read("k", form + _digest("k", form, content) + content) is None
