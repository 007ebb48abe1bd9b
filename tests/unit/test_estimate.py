"""Estimated tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.policy.estimate import estimate_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("word", 1),
        ("The quick brown fox jumps over the lazy dog.", 11),
        ("Ceci n'est pas une pipe, c'est une idée.", 11),
        ("Съешь ещё этих булок", 10),
        ("नमस्ते दुनिया", 7),
        ("你好世界", 4),
        ("안녕하세요", 5),
        ("こんにちは world", 7),
        ("👍", 2),
        ("\ud800", 1),
    ],
)
def test_kinds_of_text(text: str, tokens: int) -> None:
    """Each kind of character has its own weight; a lone surrogate does no harm."""
    assert estimate_tokens(text) == tokens


def _slowly(text: str) -> int:
    quarters = 0
    for char in text:
        point = ord(char)
        if point < 0x80:
            quarters += 1
        elif point < 0x2000:
            quarters += 2
        elif point < 0x10000:
            quarters += 4
        else:
            quarters += 8
    return -(-quarters // 4)


@given(st.text(st.characters(exclude_categories=())))
def test_the_encodings_count_as_a_loop_would(text: str) -> None:
    """Counting by lengths of encodings gives what a loop over the characters gives."""
    assert estimate_tokens(text) == _slowly(text)
