"""For your own views: the client, and a response that relays a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flask
from flask import Response

from llmkit.relay.dialects.text import HEADERS
from llmkit.relay.pull import PullRelay
from llmkit_flask.state import current_state

if TYPE_CHECKING:
    from llmkit._sync.client import Client
    from llmkit._sync.stream import StreamManager
    from llmkit.config import RelayConfig
    from llmkit.kit import Kit
    from llmkit.relay.answer import Answer


def get_kit() -> Kit:
    """Return the current app's kit: its client, and `get_kit().cost_tracker`.

    Raises:
        ConfigError: llmkit is not installed in this app.
    """
    return current_state().kit


def get_client() -> Client:
    """Return the current app's client.

    Raises:
        ConfigError: llmkit is not installed in this app.
    """
    return current_state().kit.client


def stream_response(request: flask.Request, stream: StreamManager) -> Response:
    """Make a response that relays a stream to the browser: `return stream_response(request, client.stream(...))`.

    The stream is opened here; a failure before the first content becomes an error response. Closing the tab stops it.
    """
    if request.method == "HEAD":
        return Response(headers=dict(HEADERS))
    return relay_response(stream, current_state().kit.config.relay)


def relay_response(manager: StreamManager, settings: RelayConfig) -> Response:
    """Open a call and make the response that relays it."""
    relay = PullRelay(
        manager, heartbeat=settings.heartbeat, tool_details=settings.tool_details
    ).open()
    return Response(relay, relay.status, dict(relay.headers))


def to_flask_response(answer: Answer) -> Response:
    """Make the response for an answer of the door."""
    return Response(answer.body, answer.status, dict(answer.headers))
