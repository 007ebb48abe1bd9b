"""What the Starlette and the FastAPI app share: a login that a test can say in a header, and middleware around it."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response

from llmkit_asgi import LLMKitMiddleware, get_client, stream_response

config = json.loads(os.environ["LLMKIT_TEST_CONFIG"])
if os.environ.get("LLMKIT_TEST_NO_COLLECTOR"):
    gc.disable()


class LookOn(BaseHTTPMiddleware):
    """Sees everything and changes nothing."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Pass it on."""
        return await call_next(request)


class HoldOn(BaseHTTPMiddleware):
    """Holds the response back when it is asked to: longer than a test waits for the model to be stopped."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Pass it on, and sit on what comes back."""
        response = await call_next(request)
        if "x-hold" in request.headers:
            await asyncio.sleep(5)
        return response


def user(scope: Any) -> str | None:
    """Say who calls, by header, once the session's middleware has been here."""
    assert "session" in scope
    return next((value.decode() for name, value in scope["headers"] if name == b"x-user"), None)


async def poem(request: Request) -> Response:
    """Stream a poem from a view of the host's own."""
    return stream_response(request, get_client(request).stream("A poem", user="9"))


middleware = [
    Middleware(GZipMiddleware, minimum_size=1),
    Middleware(CORSMiddleware, allow_origins=["https://friend.example"], allow_methods=["POST"]),
    Middleware(HoldOn),
    Middleware(LookOn),
    Middleware(LookOn),
    Middleware(SessionMiddleware, secret_key=os.urandom(8).hex()),
    Middleware(LLMKitMiddleware, config=config, get_user=user),
]
