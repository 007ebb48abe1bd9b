"""A Starlette app with llmkit in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from llmkit.testing import Emulator
from llmkit_asgi import LLMKitMiddleware
from support.hosts import asgi_host
from support.kits import settings


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


def make_app(config: dict[str, Any], *, lifespan: Any = None, **options: Any) -> LLMKitMiddleware:
    options.setdefault("get_user", lambda scope: "7")
    app = Starlette(routes=[Route("/", hello)], lifespan=lifespan)
    return LLMKitMiddleware(app, config, **options)


@contextlib.contextmanager
def serving(emulator: Emulator, **more: Any) -> Iterator[str]:
    with asgi_host(make_app(settings(emulator, **more))) as url:
        yield url
