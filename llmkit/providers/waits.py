"""How long a provider asks to wait, in the forms that vendors use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]*)?")
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]*)?(?:h|m|s|ms|us|µs|ns))+")
_DURATION_PART = re.compile(r"([0-9.]+)([a-zµ]+)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]{8,20}(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)

# Pairs of headers: what is left of a limit, and when it is full again.
_LIMITS = (
    *(
        (f"x-ratelimit-remaining-{what}", f"x-ratelimit-reset-{what}")
        for what in ("requests", "tokens")
    ),
    *(
        (f"anthropic-ratelimit-{what}-remaining", f"anthropic-ratelimit-{what}-reset")
        for what in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read how many seconds the provider asks to wait, never less than 0; None if it does not say.

    In this order: `retry-after-ms` (OpenAI), `x-ms-retry-after-ms` (Azure), `retry-after` as seconds, as an HTTP date, as a duration
    (`1m30s`) or as an RFC 3339 time; without any of them, when the limits are full again of which nothing is left
    (`x-ratelimit-reset-requests: 6m0s`, `anthropic-ratelimit-tokens-reset`). A date counts from the answer's own `date`, so that a
    wrong clock on this side does not matter, and only without one from `now`, in seconds since the epoch.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(name, ""))
        if milliseconds is not None:
            return max(0.0, milliseconds / 1000)
    sent = _http_date(headers.get("date", ""))
    if sent is None:
        sent = now
    value = headers.get("retry-after", "").strip()
    seconds = _number(value)
    if seconds is None:
        until = _http_date(value)
        seconds = _until(value, sent) if until is None else until - sent
    if seconds is None:
        resets = [_until(headers.get(reset, "").strip(), sent) for reset in _spent(headers)]
        seconds = max((wait for wait in resets if wait is not None), default=None)
    return None if seconds is None else max(0.0, seconds)


def _spent(headers: Mapping[str, str]) -> list[str]:
    """Name the headers that say when the limits are full again of which nothing is left; Azure's -1 says nothing."""
    return [reset for remaining, reset in _LIMITS if _number(headers.get(remaining, "")) == 0]


def _until(value: str, sent: float) -> float | None:
    """Read a duration, as Go writes it, or a time of RFC 3339, in seconds from `sent`."""
    if _DURATION.fullmatch(value):
        parts = _DURATION_PART.findall(value)
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not _RFC_3339.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper()).timestamp() - sent
    except (ValueError, OverflowError):
        return None


def _number(value: str) -> float | None:
    value = value.strip()
    return float(value) if _SECONDS.fullmatch(value) else None


def _http_date(value: str) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
