"""Where the usual events of a stream stand in what was read: its deltas, which look alike to the brace of their JSON.

They are cut out and decoded together, without an object for each. Whatever is not as usual goes the long way, to the same result.
"""

from __future__ import annotations

from typing import NamedTuple, Self

_LF, _CR = b"\n\r"  # looking for a number is several times faster than looking for bytes
_END = b"}\n\n"


class Form(NamedTuple):
    """How the usual event of a wire looks.

    Attributes:
        head: how it begins, to the brace of its JSON.
        border: the same behind the end of another.
    """

    head: bytes
    border: bytes

    @classmethod
    def of(cls, head: bytes) -> Self:
        """Make it of how such an event begins."""
        return cls(head, _END + head)


def alone(data: bytes, form: Form) -> bytes | None:
    """Return the JSON of what was read, if that is one usual event and nothing else; no event is begun before it."""
    head = form.head
    if not (data.startswith(head) and data.endswith(_END)):
        return None
    if data.find(_LF, len(head)) != len(data) - 2 or _CR in data:
        return None
    return data[len(head) - 1 : -2]


def cut(data: bytes, form: Form, *, between: bool) -> tuple[int, int]:
    """Say where the usual events begin and where they end, with the blank line behind them; where there are none, twice the same.

    Args:
        data: what was read.
        form: how such an event looks.
        between: whether no event is begun before it.
    """
    head, border = form
    if between and data.startswith(head):
        start = 0
    else:
        start = data.find(border) + len(_END)
        if start < len(_END):
            return 0, 0
    last = data.rfind(border, start) + len(_END)
    if last < len(_END):
        last = start
    end = data.find(_END, last) + len(_END)
    return start, last if end < len(_END) else end  # the last one may not be whole


def lines_of(usual: bytes, form: Form) -> tuple[bytes, int] | None:
    """Return the JSON of usual events, one a line, and how many they are; None if one of them is not as usual after all."""
    if _CR in usual:
        return None
    lines = usual[len(form.head) - 1 : -2]
    borders = lines.count(form.border)
    if borders:
        lines = lines.replace(form.border, b"}\n{")
    return (lines, borders + 1) if lines.count(_LF) == borders else None
