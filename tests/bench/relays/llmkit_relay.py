"""llmkit, mounted as its README says; with LEDGER set, with its books in that database."""

from __future__ import annotations

import os

from llmkit_asgi import LLMKitMiddleware
from relays import UPSTREAM, Receive, Scope, Send, measured


async def host(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the app that exists already."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})


database = os.environ.get("LEDGER")
app = measured(
    LLMKitMiddleware(
        host,
        {
            "providers": {"anthropic": {"base_url": UPSTREAM, "api_key": "any"}},
            "models": {"default": "anthropic:claude-sonnet-4-5"},
            "ledger": {"database": database} if database else False,
        },
        prefix="",
        get_user=lambda scope: "bench",
    )
)
