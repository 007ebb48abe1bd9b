"""What a careful user writes by hand: the anthropic SDK, sse-starlette and Starlette."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from anthropic import AsyncAnthropic
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from relays import MAX_TOKENS, MODEL, UPSTREAM, measured

client = AsyncAnthropic(api_key="any", base_url=UPSTREAM)


async def stream(request: Request) -> Response:
    """Stream the text."""
    messages: Any = (await request.json())["messages"]

    async def events() -> AsyncIterator[dict[str, str]]:
        async with client.messages.stream(
            model=MODEL, max_tokens=MAX_TOKENS, messages=messages
        ) as answer:
            async for text in answer.text_stream:
                yield {"data": json.dumps({"text": text})}
        yield {"data": "[DONE]"}

    return EventSourceResponse(events())


async def complete(request: Request) -> Response:
    """Answer whole."""
    answer = await client.messages.create(
        model=MODEL, max_tokens=MAX_TOKENS, messages=(await request.json())["messages"]
    )
    text = "".join(block.text for block in answer.content if block.type == "text")
    return JSONResponse({"text": text, "usage": answer.usage.model_dump()})


app = measured(
    Starlette(
        routes=[
            Route("/stream", stream, methods=["POST"]),
            Route("/complete", complete, methods=["POST"]),
        ]
    )
)
