"""What uvicorn loads: a Starlette app with llmkit in it and the settings of the test; at /left it says what it holds."""

from __future__ import annotations

import json
import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from llmkit_asgi import LLMKitMiddleware
from support.left_over import held_by


async def left(request: Request) -> JSONResponse:
    """Say what this process holds."""
    return JSONResponse(held_by(request.scope["llmkit"]))


app = LLMKitMiddleware(
    Starlette(routes=[Route("/left", left)]),
    json.loads(os.environ["LLMKIT_TEST_CONFIG"]),
    get_user=lambda scope: "7",
)
