"""Where OpenAI's API is asked: at its own paths, and at Azure's, where the key may stand in a header of its own.

Source: learn.microsoft.com/azure/ai-foundry/openai/reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote

from llmkit.testing.emulator.wires.base import Failure

_PLACE = re.compile(r"(?:/openai)?/v1/(?P<newer>.+)|/openai(?:/deployments/([^/]+))?/(?P<what>.+)")


def is_place(path: str, what: str) -> bool:
    """Whether something is asked for at a path, which has no query."""
    place = _PLACE.fullmatch(path)
    return place is not None and what in (place["newer"], place["what"])


def deployment(target: str) -> str | None:
    """Return the name of the deployment that stands in a path."""
    place = _PLACE.fullmatch(target.partition("?")[0])
    return unquote(place[2]) if place is not None and place[2] else None


def refusal(headers: Mapping[str, str], target: str, *, require_key: bool) -> Failure | None:
    """Say why a request is not even read: Azure's older API has versions, and a key is asked for."""
    path, _, query = target.partition("?")
    versioned = "api-version" in parse_qs(query)
    place = _PLACE.fullmatch(path)
    if place is not None and place["what"] is not None and not versioned:
        return Failure(404, "invalid_request_error", "Resource not found", "404")
    if not require_key or headers.get("authorization", "").lower().startswith("bearer "):
        return None
    if (versioned or path.startswith("/openai/")) and headers.get("api-key"):
        return None
    return Failure(
        401,
        "invalid_request_error",
        "You didn't provide an API key. You need to provide your API key in an "
        "Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    )
