"""Views of the host's own beside an `llmkit_app` that is mounted: they find its kit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, Router

from llmkit import AsyncClient, ConfigError, Kit
from llmkit.testing import Emulator
from llmkit_asgi import LLMKitMiddleware, get_client, llmkit_app, stream_response
from support.kits import settings

Made = tuple[Any, Any]


async def poem(request: Request) -> Response:
    """Stream from a view of the host's own."""
    return stream_response(request, get_client(request).stream("A poem"))


async def word(request: Request) -> Response:
    """Answer with a word."""
    return JSONResponse((await get_client(request).complete("A word")).text)


VIEWS = [Route("/poem", poem, methods=["POST"]), Route("/word", word)]


def in_the_same_app(ours: Any) -> Made:
    """Mount it beside the views."""
    return Starlette(routes=[Mount("/llm", ours), *VIEWS]), ""


def behind_middleware(ours: Any) -> Made:
    """Mount it with a middleware of its own, in an app with another."""
    mount = Mount("/llm", ours, middleware=[Middleware(GZipMiddleware)])
    return Starlette(routes=[mount, *VIEWS], middleware=[Middleware(GZipMiddleware)]), ""


def deeper_than_the_views(ours: Any) -> Made:
    """Mount it in a sub-app."""
    api = Starlette(routes=[Mount("/llm", ours)])
    return Starlette(routes=[Mount("/api", api), *VIEWS]), ""


def beside_the_views_app(ours: Any) -> Made:
    """Mount it in the app in which the views' app is mounted, too."""
    return Starlette(routes=[Mount("/llm", ours), Mount("/api", Starlette(routes=VIEWS))]), "/api"


def in_a_group_of_routes(ours: Any) -> Made:
    """Mount it among routes that share a path."""
    return Starlette(routes=[Mount("/api", routes=[Mount("/llm", ours), *VIEWS])]), "/api"


def in_a_router(ours: Any) -> Made:
    """Use no app at all."""
    return Router(routes=[Mount("/llm", ours), *VIEWS]), ""


def in_fastapi(ours: Any) -> Made:
    """Use FastAPI's own way to ask for the client, in a sub-app and in a router."""
    app, api, router = FastAPI(), FastAPI(), APIRouter()

    @router.get("/word")
    async def word(client: Annotated[AsyncClient, Depends(get_client)]) -> str:
        return (await client.complete("A word")).text

    router.add_api_route("/poem", poem, methods=["POST"])
    api.include_router(router)
    app.mount("/llm", ours)
    app.mount("/api", api)
    return app, "/api"


PLACES: list[Callable[[Any], Made]] = [
    in_the_same_app,
    behind_middleware,
    deeper_than_the_views,
    beside_the_views_app,
    in_a_group_of_routes,
    in_a_router,
    in_fastapi,
]


def browser(app: Any) -> httpx.AsyncClient:
    """Make a client that calls an app without a server."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x", timeout=30)


@pytest.mark.anyio
@pytest.mark.parametrize("place", PLACES)
async def test_where_it_may_be_mounted(emulator: Emulator, place: Callable[[Any], Made]) -> None:
    """A view gets the client and streams, wherever it and the mount are in the app."""
    ours = llmkit_app(settings(emulator), get_user=lambda scope: "7")
    app, prefix = place(ours)
    async with browser(app) as page:
        assert len((await page.get(f"{prefix}/word")).json().split()) == 6
        assert (await page.post(f"{prefix}/poem")).text.endswith("data: [DONE]\n\n")
    await ours.kit.aclose()


@pytest.mark.anyio
async def test_a_router_of_fastapi_that_is_included(emulator: Emulator) -> None:
    """Its mounts are the app's, where this version of FastAPI takes them over."""
    app, router, ours = FastAPI(), APIRouter(), llmkit_app(settings(emulator))
    router.mount("/llm", ours)
    router.add_api_route("/poem", poem, methods=["POST"])
    app.include_router(router)
    async with browser(app) as page:
        if (await page.get("/llm/")).status_code == 404:
            pytest.skip("this FastAPI leaves out what an included router mounts")
        assert (await page.post("/poem")).text.endswith("data: [DONE]\n\n")
    await ours.kit.aclose()


@pytest.mark.anyio
async def test_the_nearest_is_meant(emulator: Emulator) -> None:
    """The middleware around a view comes first, then what is mounted in its own app, then the rest."""
    inner, outer = Kit(settings(emulator)), Kit(settings(emulator))

    async def who(request: Request) -> Response:
        return JSONResponse(get_client(request).runtime is inner.runtime)

    views = [Route("/who", who)]
    own = Starlette(routes=[Mount("/llm", llmkit_app(kit=inner)), *views])
    around = LLMKitMiddleware(Starlette(routes=views), kit=inner)
    for app in (own, around):
        root = Starlette(routes=[Mount("/llm", llmkit_app(kit=outer)), Mount("/api", app)])
        async with browser(root) as page:
            assert json.loads((await page.get("/api/who")).text)


@pytest.mark.anyio
async def test_two_of_them(emulator: Emulator) -> None:
    """Two mounts with one kit are one llmkit; with two, nobody knows which is meant, and the error says what to do."""
    kit = Kit(settings(emulator))
    once = [Mount("/a", llmkit_app(kit=kit)), Mount("/b", llmkit_app(kit=kit)), *VIEWS]
    async with browser(Starlette(routes=once)) as page:
        assert (await page.get("/word")).status_code == 200
        with pytest.raises(ConfigError, match="mounted 2 times") as raised:
            await browser(
                Starlette(routes=[*once, Mount("/c", llmkit_app(settings(emulator)))])
            ).get("/word")
    assert "llmkit_app(kit=kit)" in str(raised.value)
    await kit.aclose()


@pytest.mark.anyio
async def test_nowhere() -> None:
    """An app without llmkit is told both ways to add it."""
    async with browser(Starlette(routes=VIEWS)) as page:
        with pytest.raises(ConfigError, match=r"add_middleware\(.*mount\("):
            await page.get("/word")
