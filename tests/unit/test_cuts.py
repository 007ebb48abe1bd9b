"""Which part of what was read are usual events, to be decoded together."""

from __future__ import annotations

import pytest

from llmkit.providers.cuts import Form, alone, cut, lines_of

FORM = Form.of(b"data: {")
ONE = b'data: {"a":1}\n\n'
PING = b": ping\n\n"
TABLE = {
    "one": (b"", ONE, b""),
    "three": (b"", ONE * 3, b""),
    "behind a comment": (PING, b"", b""),
    "behind the end of another": (b"1}\n\n", ONE * 2, b""),
    "before half of another": (b"", ONE * 2, b'data: {"a"'),
    "before a comment": (b"", ONE * 2, PING),
    "around both": (b"1}\n\n", ONE * 2, b'data: {"a"'),
    "half of one": (b"", b"", b'data: {"a"'),
    "one and half of its end": (b"", b"", b'data: {"a":1}\n'),
    "nothing": (b"", b"", b""),
}


@pytest.mark.parametrize("parts", TABLE.values(), ids=TABLE)
def test_the_usual_events_are_found(parts: tuple[bytes, bytes, bytes]) -> None:
    """With what stands before and behind them, however little that is."""
    before, usual, after = parts
    start, end = cut(before + usual + after, FORM, between=not before)
    assert (before + usual + after)[start:end] == usual


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (ONE, b'{"a":1}'),
        (ONE * 2, None),
        (PING + ONE, None),
        (ONE + PING, None),
        (ONE[:-1], None),
        (ONE.replace(b"1", b"1\n"), None),
        (ONE.replace(b"1", b"1\r"), None),
        (ONE.replace(b"\n\n", b"\r\n\r\n"), None),
        (b"data: {\n\n", None),
        (b"", None),
    ],
)
def test_one_that_was_read_by_itself(data: bytes, found: bytes | None) -> None:
    """Its JSON, and nothing where it has more than one line or anything stands around it."""
    assert alone(data, FORM) == found


def test_in_the_midst_of_an_event_nothing_begins() -> None:
    """What looks like one is the rest of another, until that has ended."""
    start, end = cut(ONE, FORM, between=False)
    assert start == end
    start, end = cut(ONE * 2, FORM, between=False)
    assert (ONE * 2)[start:end] == ONE


@pytest.mark.parametrize(
    ("usual", "found"),
    [
        (ONE, (b'{"a":1}', 1)),
        (ONE * 2, (b'{"a":1}\n{"a":1}', 2)),
        (ONE.replace(b"1", b"1\n"), None),
        (ONE.replace(b"\n\n", b"\r\n\r\n"), None),
        (ONE + PING + ONE, None),
    ],
)
def test_their_json(usual: bytes, found: tuple[bytes, int] | None) -> None:
    """One a line; none where an event has more than one line, or is something else."""
    assert lines_of(usual, FORM) == found
