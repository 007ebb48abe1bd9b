"""The least that a relay can do: the provider's bytes, unread, over aiohttp."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from relays import (
    MAX_TOKENS,
    MODEL,
    UPSTREAM,
    Receive,
    Scope,
    Send,
    measured,
    read_json,
    send_whole,
)

HEADERS = {
    "x-api-key": "any",
    "anthropic-version": "2023-06-01",
    "content-type": "application/json",
}
sessions: list[aiohttp.ClientSession] = []


def session() -> aiohttp.ClientSession:
    """Return the one session, made in the server's loop."""
    if not sessions:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
        sessions.append(aiohttp.ClientSession(connector=connector, auto_decompress=False))
    return sessions[0]


async def relay(scope: Scope, receive: Receive, send: Send) -> None:
    """Relay one answer."""
    if scope["type"] != "http":
        return
    streaming = scope["path"] == "/stream"
    body: dict[str, Any] = {"model": MODEL, "max_tokens": MAX_TOKENS, "stream": streaming}
    body["messages"] = (await read_json(receive))["messages"]
    request = session().post(f"{UPSTREAM}/v1/messages", data=json.dumps(body), headers=HEADERS)
    async with request as answer:
        if not streaming:
            await send_whole(send, await answer.read())
            return
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while chunk := await answer.content.readany():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})


app = measured(relay)
