"""What servers say of tokens, and what of it is believed."""

from __future__ import annotations

from typing import Annotated

import msgspec

from llmkit.usage import Usage

LARGEST = 2**31 - 1
"""The largest count that is believed: a column of the ledger holds no more, and no answer has as many."""

Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
"""A count as a server sends it."""


class TokenReport(msgspec.Struct, gc=False):
    """What a server says of tokens, in its own words. This says nothing; each wire's own has its fields."""

    def to_usage(self) -> Usage | None:
        """Return the counts, or None if they say nothing."""
        return None


def believed(counts: Usage, *, said: bool) -> Usage:
    """Leave out the counts that cannot be true, and say of the others that they are reported.

    No prompt has 0 tokens, and neither has an answer that says something: servers send such zeros for counts that they do not
    know (LocalAI issue 1194; many mock servers). A sum may be too large where its parts were not. The parts of a count that is
    unknown are unknown as well: whoever estimates the whole would else contradict them.

    Args:
        counts: what the server sent, added up.
        said: whether the answer has text or thinking.
    """
    prompt, output = _count(counts.input_tokens), _count(counts.output_tokens)
    if prompt == 0:
        prompt = None
    if output == 0 and (said or prompt is None):
        output = None
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cache_read_tokens=None if prompt is None else _count(counts.cache_read_tokens),
        cache_write_tokens=None if prompt is None else _count(counts.cache_write_tokens),
        cache_write_5m_tokens=None if prompt is None else _count(counts.cache_write_5m_tokens),
        cache_write_1h_tokens=None if prompt is None else _count(counts.cache_write_1h_tokens),
        reasoning_tokens=None if output is None else _count(counts.reasoning_tokens),
        input_source="unknown" if prompt is None else "reported",
        output_source="unknown" if output is None else "reported",
    )


def _count(value: int | None) -> int | None:
    """Return what can be a count; a decoder of the app's own may have read anything."""
    return value if type(value) is int and 0 <= value <= LARGEST else None
