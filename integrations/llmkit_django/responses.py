"""For your own views: the clients, and responses that relay a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from llmkit.relay.answer import Answer
from llmkit.relay.body import BodyRelay
from llmkit.relay.dialects.text import HEADERS
from llmkit.relay.pull import PullRelay
from llmkit_django.conf import current

if TYPE_CHECKING:
    from llmkit._async.client import AsyncClient
    from llmkit._async.stream import AsyncStreamManager
    from llmkit._sync.client import Client
    from llmkit._sync.stream import StreamManager
    from llmkit.kit import Kit


def get_kit() -> Kit:
    """Return the project's kit: its clients, and `get_kit().cost_tracker`.

    Raises:
        ConfigError: settings.LLMKIT is wrong.
    """
    return current().kit


def get_client() -> Client:
    """Return the project's client.

    Raises:
        ConfigError: settings.LLMKIT is wrong.
    """
    return current().kit.client


def aget_client() -> AsyncClient:
    """Return the project's client for async views.

    Raises:
        ConfigError: settings.LLMKIT is wrong.
    """
    return current().kit.async_client


def stream_response(request: HttpRequest, stream: StreamManager) -> HttpResponseBase:
    """Make a response that relays a stream under WSGI: `return stream_response(request, get_client().stream(...))`.

    The stream is opened here; a failure before the first content becomes an error response. Closing the tab stops it.

    Raises:
        TypeError: the app runs under ASGI, where Django would read the stream to its end before sending it.
    """
    if isinstance(request, ASGIRequest):
        raise TypeError(
            "under ASGI, Django would read a sync stream to its end before sending it: "
            "use an async view, aget_client() and `await astream_response(...)`"
        )
    if not hasattr(stream, "__enter__"):
        raise TypeError("this is an async stream: make it with get_client()")
    if request.method == "HEAD":
        return _head()
    return relay_response(stream, current().kit)


async def astream_response(request: HttpRequest, stream: AsyncStreamManager) -> HttpResponseBase:
    """Make a response that relays a stream under ASGI: `return await astream_response(request, aget_client().stream(...))`.

    The stream is opened here; a failure before the first content becomes an error response. Closing the tab stops it.

    Raises:
        TypeError: the app runs under WSGI, where Django would read the stream to its end before sending it.
    """
    if not isinstance(request, ASGIRequest):
        raise TypeError(
            "under WSGI, Django would read an async stream to its end before sending it: "
            "use a sync view, get_client() and stream_response(...)"
        )
    if not hasattr(stream, "__aenter__"):
        raise TypeError("this is a sync stream: make it with aget_client()")
    if request.method == "HEAD":
        return _head()
    return await arelay_response(stream, current().kit)


def relay_response(
    manager: StreamManager, kit: Kit, *, taken: Callable[[], None] | None = None
) -> HttpResponseBase:
    """Open a call and make the response that relays it under WSGI; see `PullRelay`."""
    settings = kit.config.relay
    relay = PullRelay(
        manager, heartbeat=settings.heartbeat, tool_details=settings.tool_details, taken=taken
    ).open()
    return StreamingHttpResponse(relay, status=relay.status, headers=dict(relay.headers))


async def arelay_response(
    manager: AsyncStreamManager, kit: Kit, *, taken: Callable[[], Awaitable[None]] | None = None
) -> HttpResponseBase:
    """Open a call and make the response that relays it under ASGI; see `BodyRelay`."""
    settings = kit.config.relay
    body = BodyRelay(
        manager,
        heartbeat=settings.heartbeat,
        tool_details=settings.tool_details,
        tasks=kit.runtime.tasks,
        taken=taken,
    )
    await body.open()
    return StreamingHttpResponse(body, status=body.status, headers=dict(body.headers))


def to_django_response(answer: Answer, request: HttpRequest) -> HttpResponseBase:
    """Make the response for an answer of the door."""
    answer = answer.to(request.method or "")
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


def _head() -> HttpResponseBase:
    return HttpResponse(headers=dict(HEADERS))
