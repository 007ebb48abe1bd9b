"""Which names of hosts can be looked up: with others the resolver and the HTTP libraries fail, each in its own way."""

from __future__ import annotations

import re

_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.IGNORECASE)
# How long a name may be, in characters, without the dot at its end.
_LONGEST = 253


def is_host_name(text: str) -> bool:
    """Whether a name, or an IPv4 address, can be looked up. A name in other letters than ASCII can if it can be encoded."""
    name = text.removesuffix(".")
    labels = name.split(".")
    if text.isascii() and not (len(name) <= _LONGEST and all(map(_LABEL.fullmatch, labels))):
        return False
    if text.isascii() and not any(label.lower().startswith("xn--") for label in labels):
        return True
    return _is_international(text)


def _is_international(text: str) -> bool:
    import httpx  # noqa: PLC0415  # slow to load, and few hosts have such names

    try:
        return bool(httpx.URL(f"http://{text}/").host)  # which encodes it, and decodes it again
    except (httpx.InvalidURL, UnicodeError):
        return False
