# Generated from llmkit/transport/_async/automatic.py. Do not edit.
"""The transport of our own, and httpx for what it does not reach."""

from __future__ import annotations

import logging

from llmkit.providers.base import HTTPRequest
from llmkit.transport.base import Exchange, Transport
from llmkit.transport.proxies import UnusableProxy

log = logging.getLogger("llmkit.transport")


class AutomaticTransport:
    """What `"transport": "auto"` is where all that the transport of our own needs is installed."""

    def __init__(self, native: Transport) -> None:
        self._native = native
        self._httpx: Transport | None = None

    def start(
        self, request: HTTPRequest, *, connect_timeout: float, fresh: bool = False
    ) -> Exchange:
        """Start an exchange; nothing is sent yet. See `llmkit.transport.base`."""
        try:
            return self._native.start(request, connect_timeout=connect_timeout, fresh=fresh)
        except UnusableProxy as error:
            if self._httpx is None:
                from llmkit.transport._sync.httpx import HttpxTransport  # noqa: PLC0415  # httpx

                log.debug("%s; httpx is used for what needs it", error.message)
                self._httpx = HttpxTransport()
        return self._httpx.start(request, connect_timeout=connect_timeout, fresh=fresh)

    def close(self) -> None:
        """Close all connections."""
        self._native.close()
        if self._httpx is not None:
            self._httpx.close()
