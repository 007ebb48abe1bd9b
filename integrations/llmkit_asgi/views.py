"""For your own views: the client, and a response that relays a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.errors import MissingExtra
from llmkit.relay.dialects.text import HEADERS
from llmkit_asgi.exchange import ASGISink, Receive, Scope, Send
from llmkit_asgi.mounts import kit_of
from llmkit_asgi.responses import relay

try:
    from starlette.requests import HTTPConnection
    from starlette.responses import Response
except ImportError:
    raise MissingExtra("starlette", "asgi") from None

if TYPE_CHECKING:
    from llmkit._async.client import AsyncClient
    from llmkit._async.stream import AsyncStreamManager
    from llmkit.config import RelayConfig
    from llmkit.kit import Kit


def get_kit(request: HTTPConnection) -> Kit:
    """Return the app's kit: its clients, and `get_kit(request).cost_tracker`. In FastAPI: `kit: Kit = Depends(get_kit)`.

    Raises:
        ConfigError: llmkit is neither added to this app as middleware nor mounted in it.
    """
    return kit_of(request.scope)


def get_client(request: HTTPConnection) -> AsyncClient:
    """Return the app's client. In FastAPI: `client: AsyncClient = Depends(get_client)`.

    Raises:
        ConfigError: llmkit is neither added to this app as middleware nor mounted in it.
    """
    return kit_of(request.scope).async_client


def stream_response(request: HTTPConnection, stream: AsyncStreamManager) -> Response:
    """Make a response that relays a stream to the browser: `stream_response(request, client.stream(...))`.

    The stream is opened when the response is sent. Closing the tab stops it.
    """
    return StreamResponse(stream, kit_of(request.scope).config.relay)


class StreamResponse(Response):
    """A response that opens a stream and relays it as server-sent events."""

    media_type = "text/event-stream"

    def __init__(self, stream: AsyncStreamManager, settings: RelayConfig) -> None:
        super().__init__()
        self._stream = stream
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay the stream; then run the response's background task, if it has one."""
        if scope["method"] == "HEAD":
            sink = ASGISink(send)
            await sink.start(200, HEADERS)
            await sink.send(b"", more=False)
            return
        await relay(self._stream, receive, send, self._settings)
        if self.background is not None:
            await self.background()
