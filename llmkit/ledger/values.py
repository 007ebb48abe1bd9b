"""What of a row goes into which column, and how a foreign string is made to fit one: the same for every store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from hashlib import blake2s
from typing import Any

from llmkit.ledger.columns import DECIMAL_PLACES, SIZES
from llmkit.usage import EXACT, PLAIN, Billing

# Column to attribute of an opening.
OPENING = {
    name: name
    for name in (
        *("call_id", "attempt", "run_id", "user_key", "tenant", "conversation", "tags"),
        *("alias", "provider", "model", "streamed", "started_at", "input_tokens", "input_source"),
        "worker",  # NULL for the one that writes
    )
}
# And of a closing, whose row is the one with the same call_id and attempt.
CLOSING = {
    "cost_usd": "cost",
    "saved_usd": "saved",
    "content": "kept",
    "billing": "billed",
    **{
        name: name
        for name in (
            *("status", "price_version", "stop_reason", "raw_stop_reason", "error_type"),
            *("error_code", "http_status", "request_id", "model_reported", "first_content_at"),
            "finished_at",
        )
    },
    **{
        name: f"usage.{name}"
        for name in (
            *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
            *("cache_write_5m_tokens", "cache_write_1h_tokens", "reasoning_tokens"),
            *("input_source", "output_source"),
        )
    },
}
# And of what an open row has so far.
PROGRESS = {
    name: path
    for name, path in CLOSING.items()
    if path.startswith("usage.") or path in ("cost", "price_version", "first_content_at")
}
_UNIT = Decimal(1).scaleb(-DECIMAL_PLACES)
# What a provider says of how it bills, in words.
_WORDS = ("service_tier", "speed", "region")
# No database's JSON takes numbers without end.
_LARGEST_INTEGER = 10**100
# The statuses that a closing may still change.
OPEN = ("started", "lost")

# Strings that llmkit did not make itself: they may be too long, or hold what a database refuses.
FOREIGN = frozenset(
    {
        *("run_id", "user_key", "tenant", "conversation", "alias", "provider", "model"),
        *("request_id", "model_reported", "raw_stop_reason", "error_code", "worker"),
    }
)


def clean(text: str) -> str:
    """Take out what no database takes: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def fit(text: str, size: int) -> str:
    """Make a string fit any database: no NUL, no lone surrogate, at most `size` characters.

    What is cut gets a mark of its whole, so that two users never become one.
    """
    text = clean(text)
    if len(text) <= size:
        return text
    mark = blake2s(text.encode(), digest_size=4).hexdigest()
    return f"{text[: size - len(mark) - 1]}~{mark}"[:size]


def fit_column(name: str, text: str | None) -> str | None:
    """Make a foreign string fit its column."""
    if text is None:
        return None
    size = SIZES[name]
    if len(text) > size or not text.isascii() or "\0" in text:
        return fit(text, size)
    return text


def fit_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Make the names and values of tags fit any database."""
    return {fit(name, 255): fit(value, 255) for name, value in tags.items()}


def sound(value: Any) -> Any:
    """Return a value as plain JSON that any database takes.

    Raises:
        TypeError: it has a part that is none of JSON's kinds, or a key that is no text.
        ValueError: a number in it is not finite.
    """
    match value:
        case str():
            return clean(value)
        case None | bool():
            return value
        case int():
            if abs(value) >= _LARGEST_INTEGER:
                raise ValueError("a number is too large")
            return value
        case float():
            if value - value != 0:
                raise ValueError("a number is not finite")
            return value
        case Decimal():
            return format(value, "f")
        case Mapping():
            return {_key(key): sound(item) for key, item in value.items()}
        case list() | tuple():
            return [sound(item) for item in value]
        case _:
            raise TypeError(f"{type(value).__name__} is none of JSON's kinds")


def exact(cost: Any) -> Decimal:
    """Return a cost with all its places, whatever the database holds it as and whatever decimal context the app computes in."""
    return Decimal(str(cost)).quantize(_UNIT, context=EXACT)


def billing_value(billing: Billing) -> dict[str, Any] | None:
    """Return what a row keeps of what its cost hangs on; None for the usual. The stated cost is the row's cost."""
    if billing is PLAIN:
        return None
    found: dict[str, Any] = {
        name: fit(word, 64) for name in _WORDS if isinstance(word := getattr(billing, name), str)
    }
    if billing.web_searches:
        found["web_searches"] = billing.web_searches
    if billing.unpriced:
        found["unpriced"] = True
    return found or None


def billing_of(kept: Mapping[str, Any] | None) -> Billing:
    """Read it back."""
    if not kept:
        return PLAIN
    known = {field.name for field in fields(Billing)}
    # What a later version says beside is something whose price this one does not know.
    more = {} if kept.keys() <= known else {"unpriced": True}
    return Billing(**{name: value for name, value in kept.items() if name in known} | more)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key is a {type(key).__name__}, not a text")
    return clean(key)
