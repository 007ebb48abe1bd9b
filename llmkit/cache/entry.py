"""A kept answer, in bytes: checked before it is believed."""

from __future__ import annotations

import zlib
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal

import msgspec

from llmkit.cache.told import Known
from llmkit.events import (
    Event,
    Finish,
    RedactedThinking,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
)
from llmkit.usage import Usage

# Version 1. Another one is another first byte, which older processes take for nothing.
_PLAIN, _SMALL = b"\x01", b"\x02"
_DIGEST = 16
# From how many bytes on an answer is compressed, and how long one may be: more than any model writes.
_LARGE = 4096
_LONGEST = 128 * 1024 * 1024

Kind = Literal["text", "thinking", "signature", "redacted"]
_EVENTS: dict[Kind, Any] = {
    "text": TextDelta,
    "thinking": ThinkingDelta,
    "signature": ThinkingSignature,
    "redacted": RedactedThinking,
}
_SHOWN = ("text", "thinking")
Said = tuple[Kind, str, str | None]
"""What was said: its kind, its text, and the wire format of the provider that has signed or encrypted it, which no other one reads."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is kept.

    Attributes:
        said: what was said, in its order.
        stop_reason, raw_stop_reason, usage, provider, model, request_id: as the answer has them.
        cost: what it cost, in US dollars; None if that is not known.
        at: when it was given, in seconds since 1970.
    """

    said: tuple[Said, ...]
    stop_reason: StopReason
    raw_stop_reason: str | None
    usage: Usage
    cost: Decimal | None
    provider: str | None
    model: str | None
    request_id: str | None
    at: float

    @property
    def known(self) -> Known:
        """What is known of it beside what it says."""
        return Known(
            usage=self.usage,
            cost=self.cost,
            provider=self.provider,
            model=self.model,
            request_id=self.request_id,
        )

    def events(self) -> list[Event]:
        """Return what a stream of it says."""
        said: list[Event] = [
            _EVENTS[kind](text) if kind in _SHOWN else _EVENTS[kind](text, wire)
            for kind, text, wire in self.said
        ]
        return [*said, Finish(self.stop_reason, self.raw_stop_reason, self.usage)]


def written(key: str, kept: Kept) -> bytes:
    """Write an answer that is kept under this key."""
    return sealed(key, _ENCODER.encode(kept))


def read(key: str, data: object) -> Kept | None:
    """Read what is kept under this key; None if it is of another version, torn, or another key's."""
    content = opened(key, data)
    try:
        return None if content is None else _DECODER.decode(content)
    except (msgspec.MsgspecError, RecursionError):
        return None


def sealed(key: str, content: bytes) -> bytes:
    """Write what is kept under this key, so that `opened` knows it again."""
    form = _PLAIN
    if len(content) > _LARGE:
        form, content = _SMALL, zlib.compress(content, 1)
    return form + _digest(key, form, content) + content


def opened(key: str, data: object) -> bytes | None:
    """Return what was sealed under this key; None if it is of another version, torn, or another key's."""
    if not isinstance(data, bytes) or len(data) <= 1 + _DIGEST:
        return None
    form, digest, content = data[:1], data[1 : 1 + _DIGEST], data[1 + _DIGEST :]
    if digest != _digest(key, form, content):
        return None
    try:
        return _inflated(content) if form == _SMALL else content
    except (zlib.error, ValueError):
        return None


def _digest(key: str, form: bytes, content: bytes) -> bytes:
    return sha256(b"%b\0%b%b" % (key.encode(), form, content)).digest()[:_DIGEST]


def _inflated(content: bytes) -> bytes:
    """Inflate.

    Raises:
        ValueError: it is longer than any answer.
    """
    inflater = zlib.decompressobj()
    found = inflater.decompress(content, _LONGEST)
    if not inflater.eof:
        raise ValueError("it is too long, or torn")
    return found


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Kept)
