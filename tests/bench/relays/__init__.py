"""The apps that are compared: each answers POST /stream and POST /complete, and says at GET /cpu what it has cost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UPSTREAM = os.environ.get("UPSTREAM", "")
MODEL = "claude-sonnet-4-5"
MAX_TOKENS = 4096


async def read_json(receive: Receive) -> Any:
    """Read a request's body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return json.loads(body)


async def send_whole(send: Send, body: bytes) -> None:
    """Send a JSON answer."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def measured(app: App) -> App:
    """Let an app say at /cpu how many seconds of a processor its process has used."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/cpu":
            await send_whole(send, json.dumps(time.process_time()).encode())
        else:
            await app(scope, receive, send)

    return answer
