"""llmkit, mounted as its README says, over the wire format WIRE; with LEDGER set, with its books in that database."""

from __future__ import annotations

import os

from llmkit_asgi import LLMKitMiddleware
from relays import MODEL, UPSTREAM, Receive, Scope, Send, measured

MODELS = {
    "anthropic": MODEL,
    "openai": "gpt-4.1-mini",
    "gemini": "gemini-2.5-flash",
    "ollama": "llama3.2",
    "openai-responses": "gpt-4.1-mini",
}


async def host(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the app that exists already."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})


database = os.environ.get("LEDGER")
wire = os.environ.get("WIRE", "anthropic")
address = f"{UPSTREAM}/v1" if wire.startswith("openai") else UPSTREAM
app = measured(
    LLMKitMiddleware(
        host,
        {
            "providers": {wire: {"wire": wire, "base_url": address, "api_key": "any"}},
            "models": {"default": f"{wire}:{MODELS[wire]}"},
            "ledger": {"database": database} if database else False,
        },
        prefix="",
        get_user=lambda scope: "bench",
    )
)
