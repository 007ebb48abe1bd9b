"""What a store has for a question, and what it is told at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Found(NamedTuple):
    """It, as it was found.

    Attributes:
        kept: the answer, in bytes.
        token: of the call that is made for it; empty if none is known.
        leads: whether the call is the asker's to make.
    """

    kept: bytes | None = None
    token: str = ""
    leads: bool = False


class Last(NamedTuple):
    """How a call ends.

    Attributes:
        at: from which event on it is said what it has said.
        told: that.
        kept: the answer, if it is kept.
        ttl: for how many seconds.
        in_one: whether it is all that it has said, in fewer events than it has said it in.
    """

    at: int = 0
    told: Sequence[bytes] = ()
    kept: bytes | None = None
    ttl: float = 0.0
    in_one: bool = False
