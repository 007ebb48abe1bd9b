"""A row's opening or closing as one line of text, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from zlib import crc32

import msgspec

from llmkit.ledger.content import Content
from llmkit.ledger.row import Closing, Opening
from llmkit.ledger.values import FOREIGN, fit_column, fit_tags


class _Line(msgspec.Struct, omit_defaults=True):
    opening: Opening | None = None
    closing: Closing | None = None


def _plain(value: object) -> object:
    if isinstance(value, Content):
        return value.kept
    if isinstance(value, Mapping):  # tags that cannot be changed
        return dict(value)
    raise TypeError(type(value).__name__)


_encode = msgspec.json.Encoder(enc_hook=_plain).encode
_decode = msgspec.json.Decoder(_Line).decode


def encode(row: Opening | Closing) -> bytes:
    """Write a row as a line: its check sum, then JSON.

    Raises:
        TypeError, ValueError, AttributeError: one of its values cannot be written so.
    """
    try:
        text = _encode(_line(row))
    except (
        UnicodeEncodeError
    ):  # half of a surrogate pair, which a database's column is made to fit, too
        text = _encode(_line(_fitted(row)))
    return b"%08x %b\n" % (crc32(text), text)


def decode(data: bytes) -> Iterator[Opening | Closing | None]:
    """Read lines, in order; None for one that is torn or spoilt."""
    for line in data.split(b"\n"):
        if line:
            yield _read(line)


def _read(line: bytes) -> Opening | Closing | None:
    check_sum, _, text = line.partition(b" ")
    if check_sum != b"%08x" % crc32(text):
        return None
    try:
        record = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):  # of a version that says it otherwise
        return None
    return record.opening or record.closing


def _line(row: Opening | Closing) -> _Line:
    return _Line(opening=row) if isinstance(row, Opening) else _Line(closing=row)


def _fitted(row: Opening | Closing) -> Opening | Closing:
    names = [name for name in row.__dataclass_fields__ if name in FOREIGN]
    changes = {name: fit_column(name, getattr(row, name)) for name in names}
    if isinstance(row, Opening):
        return replace(row, **changes, tags=fit_tags(row.tags))  # type: ignore[arg-type]
    return replace(row, **changes)  # type: ignore[arg-type]
