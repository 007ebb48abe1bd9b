"""Tools that settings name by their dotted paths."""

from __future__ import annotations

NO_TOOL = 3


def remember(word: str) -> str:
    """Remember a word."""
    return word
