"""A whole response, as every host can give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """A response without its transport: a status, headers with names in lower case, a body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Make an answer that says how long it is."""
        return cls(status, {**headers, "content-length": str(len(body))}, body)

    def to(self, method: str) -> Answer:
        """Return what a request of this method gets: HEAD everything but the body."""
        return Answer(self.status, self.headers) if method == "HEAD" else self
