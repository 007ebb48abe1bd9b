"""The URL of Redis."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from llmkit.redis.asking import ANSWER, CONNECT

# How many ask at a time, of threads and of each event loop: an answer takes less than a millisecond, a connection more than one.
_AT_ONCE = 16
# What of a URL is llmkit's own to decide.
_OWN = {
    "decode_responses",
    "max_connections",
    "retry_on_error",
    "retry_on_timeout",
    "socket_connect_timeout",
    "socket_timeout",
}
_CLUSTER = "+cluster"


class Address:
    """Where Redis is, as redis-py takes it.

    How long is waited for it, and how often it is tried, is not the URL's to say: it may be that of other programs, too.

    Args:
        url: with "+cluster" after its scheme for one of the nodes of a cluster.

    Attributes:
        at_once: how many may ask at a time, of threads and of each event loop.
    """

    def __init__(self, url: str) -> None:
        scheme, mark, rest = url.partition("://")
        self.is_cluster = scheme.endswith(_CLUSTER)
        where, _, query = rest.partition("?")
        options = parse_qsl(query, keep_blank_values=True)
        most = dict(options).get("max_connections", "")
        self.at_once = max(1, min(_AT_ONCE, int(most))) if most.isdecimal() else _AT_ONCE
        kept = urlencode([(name, value) for name, value in options if name not in _OWN])
        self.url = f"{scheme.removesuffix(_CLUSTER)}{mark}{where}{'?' if kept else ''}{kept}"

    def options(self, retry: Any) -> dict[str, Any]:
        """Return how a client waits."""
        # Where a node does not answer, a client asks the others which one has taken its place: all that is to be within the patience.
        part = 0.5 if self.is_cluster else 1.0
        return {
            "decode_responses": True,
            # What is no text comes through all the same: `in_bytes` makes of it what it was.
            "encoding_errors": "surrogateescape",
            "socket_connect_timeout": CONNECT * part,
            "socket_timeout": ANSWER * part,
            # A second try would wait as long again; a connection that has died is told from one that serves before it is used.
            "retry": retry,
        }
