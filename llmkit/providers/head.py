"""What the head of an answer says beside its status."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}")


def request_id(headers: Mapping[str, str]) -> str | None:
    """Read the provider's id of the request.

    It is in `request-id` (Anthropic) or `x-request-id` (OpenAI and most others).
    """
    return sound_id(headers.get("request-id")) or sound_id(headers.get("x-request-id"))


def sound_id(value: object) -> str | None:
    """Return an id that a provider gives to a request, if it has the form of one: anything else may quote somebody."""
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else None


def rate_limits(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the header fields that say how much may still be sent, and when; names in lower case."""
    return {
        lower: value
        for name, value in headers.items()
        if "ratelimit" in (lower := name.lower()) or lower.startswith("retry-after")
    }
