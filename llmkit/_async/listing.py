"""Asking a provider which models it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmkit._async.tokens import async_with_token
from llmkit.concurrency.abort import AbortSignal
from llmkit.errors import ProviderTimeout
from llmkit.policy.clocks import Clocks, Timeouts
from llmkit.policy.plan import Route
from llmkit.providers.failures import Origin, malformed
from llmkit.providers.listing import Offer, read_listing
from llmkit.transport.async_upstream import AsyncUpstream

if TYPE_CHECKING:
    from llmkit.providers.base import Provider
    from llmkit.runtime import Runtime

# How long a list may take, in seconds, and how many bytes it may have.
_PATIENCE = 10.0
_LONGEST = 8 * 1024 * 1024


async def async_listed(runtime: Runtime, provider: Provider) -> list[Offer] | None:
    """Return the models that a provider lists; None if it has no list.

    Raises:
        ProviderError: it cannot be reached, refuses, or sends something else.
    """
    build: Any = getattr(provider, "build_listing", None)
    request = None if build is None else build()
    if request is None:
        return None
    now = runtime.clock()
    limits = Timeouts(connect=5, first_content=_PATIENCE, total=_PATIENCE)
    clocks = Clocks(limits, now=now, deadline=now + _PATIENCE)
    if getattr(provider, "token", None) is not None:
        request = await async_with_token(runtime, clocks, Route(provider, ""), request)
        clocks.sent(runtime.clock())
    transport = runtime.connections.async_transport()
    connect_timeout = clocks.connect_limit(runtime.clock())
    exchange = transport.start(request, connect_timeout=connect_timeout)
    upstream = AsyncUpstream(exchange, clocks, AbortSignal(), runtime.clock)
    try:
        body = await _body(upstream)
    except ProviderTimeout as error:
        error.hint = "No more time is given to a list of models: try again later."
        raise
    finally:
        await upstream.aclose(drain=False)
    if not 200 <= upstream.status < 300:
        raise provider.error("", upstream.status, upstream.headers, body)
    offers = read_listing(body)
    if offers is None:
        origin = Origin.of(provider.name, "", upstream.headers, upstream.status)
        raise malformed(origin, "sent something else than a list of its models")
    return offers


async def _body(upstream: AsyncUpstream) -> bytes:
    body = b""
    broken = None
    await upstream.open()
    try:
        while len(body) < _LONGEST and (data := await upstream.read()):
            body += upstream.received(data)
    except Exception as error:  # noqa: BLE001
        broken = upstream.failed(error)
    if broken is not None:
        raise broken
    return body
