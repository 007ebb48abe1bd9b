"""What the head of an answer says of what may still be sent."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

from llmkit.providers.head import RateLimits
from llmkit.transport.http1.answers import Headers

FIELDS = [
    (b"Content-Type", b"application/json"),
    (b"Anthropic-RateLimit-Requests-Remaining", b"49"),
    (b"x-ratelimit-reset-tokens", b"6m0s"),
    (b"Retry-After", b"7"),
    (b"retry-after-ms", b"7000"),
    (b"Date", b"now"),
]
FOUND = {
    "anthropic-ratelimit-requests-remaining": "49",
    "x-ratelimit-reset-tokens": "6m0s",
    "retry-after": "7",
    "retry-after-ms": "7000",
}


def test_they_are_found_whatever_their_case() -> None:
    """And nothing else of the head."""
    limits = RateLimits(Headers(FIELDS))
    assert dict(limits) == FOUND
    assert limits == FOUND
    assert len(limits) == len(FOUND)
    assert repr(limits) == repr(FOUND)
    assert pickle.loads(pickle.dumps(limits)) == FOUND  # noqa: S301  # our own


def test_many_threads_may_ask_at_once() -> None:
    """Each finds them all."""
    with ThreadPoolExecutor(4) as threads:
        for _ in range(200):
            limits = RateLimits(Headers(FIELDS))
            assert list(threads.map(dict, [limits] * 4)) == [FOUND] * 4
