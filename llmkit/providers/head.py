"""What the head of an answer says beside its status."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}")


def request_id(headers: Mapping[str, str]) -> str | None:
    """Read the provider's id of the request.

    It is in `request-id` (Anthropic) or `x-request-id` (OpenAI and most others).
    """
    return sound_id(headers.get("request-id")) or sound_id(headers.get("x-request-id"))


def sound_id(value: object) -> str | None:
    """Return an id that a provider gives to a request, if it has the form of one: anything else may quote somebody."""
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else None


class RateLimits(Mapping[str, str]):
    """The header fields that say how much may still be sent, and when; names in lower case. They are read when somebody asks."""

    __slots__ = ("_found", "_headers")

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._found: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        if self._found is None:
            self._found = {
                lower: value
                for name, value in self._headers.items()
                if "ratelimit" in (lower := name.lower()) or lower.startswith("retry-after")
            }
        return self._found

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def __reduce__(self) -> tuple[type[dict[str, str]], tuple[dict[str, str]]]:
        return dict, (self._all(),)
