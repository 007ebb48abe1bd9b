# Generated from llmkit/_async/listing.py. Do not edit.
"""Asking a provider which models it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmkit._sync.tokens import with_token
from llmkit.concurrency.abort import AbortSignal
from llmkit.policy.clocks import Clocks, Timeouts
from llmkit.policy.plan import Route
from llmkit.providers.listing import Offer, read_listing
from llmkit.transport.upstream import Upstream

if TYPE_CHECKING:
    from llmkit.providers.base import Provider
    from llmkit.runtime import Runtime

# How long a list may take, in seconds, and how many bytes it may have.
_PATIENCE = 10.0
_LONGEST = 8 * 1024 * 1024


def listed(runtime: Runtime, provider: Provider) -> list[Offer] | None:
    """Return the models that a provider lists; None if it has no list.

    Raises:
        ProviderError: it cannot be reached, or refuses.
    """
    build: Any = getattr(provider, "build_listing", None)
    request = None if build is None else build()
    if request is None:
        return None
    if getattr(provider, "token", None) is not None:
        request = with_token(runtime.host, Route(provider, ""), request)
    now = runtime.clock()
    clocks = Clocks(Timeouts(connect=5, first_content=_PATIENCE), now=now, deadline=now + _PATIENCE)
    transport = runtime.connections.transport()
    exchange = transport.start(request, connect_timeout=clocks.connect_limit(now))
    upstream = Upstream(exchange, clocks, AbortSignal(), runtime.clock)
    body = b""
    try:
        upstream.open()
        while len(body) < _LONGEST and (data := upstream.read()):
            body += upstream.received(data)
    finally:
        upstream.close(drain=False)
    if not 200 <= upstream.status < 300:
        raise provider.error("", upstream.status, upstream.headers, body)
    return read_listing(body)
