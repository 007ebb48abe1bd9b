"""llmkit in an ASGI app, under a real server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    SimpleUser,
)
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from llmkit import AsyncCallNext, AsyncStream, Call, Caller, ConfigError, Kit, Outcome
from llmkit.testing import Behaviour, Emulator
from llmkit_asgi import LLMKitMiddleware, get_client, get_kit, llmkit_app, stream_response
from support.asgi_app import make_app, serving
from support.browser import SAY_HI, open_page
from support.hosts import asgi_host
from support.kits import WIRES, settings
from support.rows import database, rows

COOKIE = {"cookie": "session=1"}
# Ten thousand objects, each in the one before.
DEEP = b'{"messages": [{"role": "user", "content": %s1%s}]}' % (b'{"a":' * 10_000, b"}" * 10_000)


class Watching:
    """A user's middleware that sees everything and changes nothing."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        stream = await call_next(call)
        stream.tap(lambda events: None)
        stream.finalise(self.finish)
        return stream

    async def finish(self, outcome: Outcome) -> None:
        """Do nothing."""


def test_what_is_not_ours_is_passed_on(emulator: Emulator) -> None:
    """The host's own routes answer as before, also under the prefix."""
    with serving(emulator) as url:
        assert httpx.get(url).text == "hello"
        assert httpx.get(f"{url}/llm/nothing").status_code == 404
        assert httpx.get(f"{url}/llmother").status_code == 404


@pytest.mark.parametrize(
    ("options", "said"),
    [({"get_user": lambda scope: None}, "get_user returned None"), ({}, "set get_user to say")],
)
def test_the_log_says_why_nobody_is_logged_in(
    emulator: Emulator, options: dict[str, Any], said: str, advice: pytest.LogCaptureFixture
) -> None:
    """A get_user that is set is not told to be set."""
    with asgi_host(llmkit_app(settings(emulator), **options)) as url:
        assert httpx.post(f"{url}/complete", json=SAY_HI).status_code == 401
    assert said in advice.text


def test_what_the_settings_lack_is_logged_once(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app may start without a key or a model, and is warned in the words of Django's check; once for a kit."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    llmkit_app({"models": {"default": "openai:m"}, "ledger": False})
    make_app({"ledger": False})
    llmkit_app(settings(emulator))
    llmkit_app(kit=Kit({"ledger": False}))
    said = [record.getMessage() for record in caplog.records if record.name == "llmkit.config"]
    assert said == [
        (
            "'default': there is no API key for openai. "
            "Set the environment variable OPENAI_API_KEY, or providers.openai.api_key."
        ),
        'config names no model. Name one: config = {"models": {"default": "anthropic:claude-sonnet-4-5"}}.',
    ]
    with pytest.raises(ConfigError, match="config is not set"):
        llmkit_app()


@pytest.mark.parametrize("wire", WIRES)
def test_a_stream_reaches_the_browser(emulator: Emulator, wire: str, tmp_path: Path) -> None:
    """Text frames with ids, [DONE] last, headers that no proxy buffers; and a row with its cost."""
    with serving(emulator, wire=wire, ledger={"database": database(tmp_path)}) as url:
        with open_page(f"{url}/llm/stream") as page:
            page.read_all()
        assert page.status == 200
        headers = page.response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert "connection" not in headers
    assert page.done
    assert len(page.text.split()) == 6
    (row,) = rows(tmp_path)
    assert (row["status"], row["user_key"]) == ("finished", "7")
    assert row["cost_usd"] is not None
    ordinals = [int(event.id.rpartition(":")[2]) for event in page.events if event.id]
    assert ordinals == sorted(set(ordinals))
    assert {event.id.rpartition(":")[0] for event in page.events if event.id} == {row["call_id"]}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("transport", ["httpx", "aiohttp", "native"])
def test_no_token_is_held_back(wire: str, transport: str) -> None:
    """The emulator withholds each next token until the browser has the one before; three middlewares look on."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0, hold_at=2)) as emulator:
        config = settings(emulator, wire=wire, transport=transport)
        kit = Kit(config, middleware=[Watching(), Watching(), Watching()])

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            yield
            await kit.aclose()

        app = make_app(config, kit=kit, lifespan=lifespan)
        wrapped = GZipMiddleware(TrustedHostMiddleware(app, ["*"]), minimum_size=1)
        with asgi_host(wrapped) as url, open_page(f"{url}/llm/stream") as page:
            for words in range(1, 6):
                page.read_words(words)
                emulator.release()
            emulator.release()
            page.read_all()
            assert page.done


def test_complete_answers_whole(emulator: Emulator) -> None:
    """The whole answer with its usage and cost, in one JSON object."""
    with serving(emulator) as url:
        answer = httpx.post(f"{url}/llm/complete", json=SAY_HI)
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"text", "stop_reason", "usage", "cost_usd"}
    assert body["usage"]["output_tokens"] == 6
    assert float(body["cost_usd"]) > 0


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"not json", {}, 400, "not JSON"),
        (b"[]", {}, 400, "does not have the expected form"),
        (b'{"messages": []}', {}, 400, "no messages"),
        (b'{"messages": [{"role": "system", "content": "x"}]}', {}, 400, "role system"),
        (b'{"messages": [{"role": "wizard", "content": "x"}]}', {}, 400, "role"),
        (b'{"messages": [{"role": "user", "content": 3}]}', {}, 400, "content"),
        (json.dumps({**SAY_HI, "system": "x"}).encode(), {}, 400, "system"),
        (json.dumps({**SAY_HI, "max_tokens": 9}).encode(), {}, 400, "max_tokens"),
        (json.dumps({**SAY_HI, "model": "openai:gpt-5"}).encode(), {}, 400, "not offered"),
        (DEEP, {}, 400, "nested too deeply"),
        (b"[" * 10_000, {}, 400, "does not have the expected form"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', {}, 400, "not JSON"),
        (b"\xff\xfe", {}, 400, "not JSON"),
        (b"x" * 200_000, {}, 413, "larger than 100000 bytes"),
        (json.dumps(SAY_HI).encode(), {"content-type": "text/plain"}, 415, "application/json"),
        (json.dumps(SAY_HI).encode(), {**COOKIE, "origin": "http://x"}, 403, "another site"),
        (
            json.dumps(SAY_HI).encode(),
            {**COOKIE, "sec-fetch-site": "cross-site"},
            403,
            "another site",
        ),
        (json.dumps(SAY_HI).encode(), COOKIE, 403, "which page it comes from"),
    ],
)
@pytest.mark.parametrize("path", ["stream", "complete"])
def test_bad_requests_are_explained_and_go_no_further(
    emulator: Emulator, path: str, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    """What a browser may not ask is refused with a status, a reason and a remedy; nothing is sent upstream."""
    with serving(emulator, relay={"max_body": 100_000}) as url:
        answer = httpx.post(
            f"{url}/llm/{path}",
            content=body,
            headers={"content-type": "application/json", **headers},
        )
    error = answer.json()["error"]
    assert answer.status_code == status
    assert said in error["message"]
    assert error["hint"]
    assert "Traceback" not in answer.text
    assert emulator.requests == []


def test_a_large_body_without_a_length_is_refused(emulator: Emulator) -> None:
    """A body is counted as it comes, whatever its headers say."""
    with serving(emulator, relay={"max_body": 1000}) as url:
        answer = httpx.post(
            f"{url}/llm/stream",
            content=iter([b"x" * 600] * 4),
            headers={"content-type": "application/json"},
        )
    assert answer.status_code == 413
    assert emulator.requests == []


def test_same_origin_with_cookies_is_welcome(emulator: Emulator) -> None:
    """A page of the app itself may send its cookies."""
    with serving(emulator) as url:
        for proof in ({"sec-fetch-site": "same-origin"}, {"origin": url}):
            answer = httpx.post(
                f"{url}/llm/complete", json=SAY_HI, headers={"cookie": "session=1", **proof}
            )
            assert answer.status_code == 200


def test_a_page_of_another_origin(emulator: Emulator) -> None:
    """With a bearer token it may call; with cookies where the settings name it, and the refusal says so."""
    page = {"origin": "http://localhost:3000", "sec-fetch-site": "same-site"}
    bearer = {"authorization": "Bearer x"}
    with serving(emulator) as url:
        answer = httpx.post(f"{url}/llm/complete", json=SAY_HI, headers={**page, **bearer})
        assert answer.status_code == 200
        refused = httpx.post(f"{url}/llm/complete", json=SAY_HI, headers={**page, **COOKIE})
        assert refused.status_code == 403
        assert "relay.allowed_origins" in refused.json()["error"]["hint"]
    with serving(emulator, relay={"allowed_origins": "http://localhost:3000"}) as url:
        answer = httpx.post(f"{url}/llm/complete", json=SAY_HI, headers={**page, **COOKIE})
        assert answer.status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_other_methods_are_refused(emulator: Emulator, method: str) -> None:
    """A stream is opened by POST alone."""
    with serving(emulator) as url:
        answer = httpx.request(method, f"{url}/llm/stream")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert emulator.requests == []


def test_a_host_must_say_where_the_rows_go(emulator: Emulator) -> None:
    """The middleware and the mounted app refuse to start without a database; False keeps no books."""
    config = {**settings(emulator), "ledger": {}}
    for make in (lambda: LLMKitMiddleware(Starlette(), config), lambda: llmkit_app(config)):
        with pytest.raises(ConfigError, match=r"ledger\.database is not set"):
            make()
    assert llmkit_app(settings(emulator, ledger=False)).kit.ledger is None


def test_an_app_may_let_everybody_in(emulator: Emulator, tmp_path: Path) -> None:
    """With relay.anonymous who is not logged in may call too; the row has no user."""
    books = {"database": database(tmp_path)}
    app = make_app(
        settings(emulator, relay={"anonymous": True}, ledger=books), get_user=lambda scope: None
    )
    with asgi_host(app) as url:
        assert httpx.post(f"{url}/llm/complete", json=SAY_HI).status_code == 200
    assert [row["user_key"] for row in rows(tmp_path)] == [None]


def test_nobody_logged_in_is_401(emulator: Emulator) -> None:
    """Without a user nothing is sent."""
    with asgi_host(make_app(settings(emulator), get_user=lambda scope: None)) as url:
        answer = httpx.post(f"{url}/llm/stream", json=SAY_HI)
    assert answer.status_code == 401
    assert answer.json()["error"]["hint"]
    assert emulator.requests == []


class Backend(AuthenticationBackend):
    """Logs in whoever says a name."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        name = conn.headers.get("x-name")
        return (AuthCredentials(), SimpleUser(name)) if name else None


def test_the_hosts_login_decides(emulator: Emulator, tmp_path: Path) -> None:
    """Without get_user, whoever the authentication middleware has logged in is who calls."""
    config = settings(emulator, ledger={"database": database(tmp_path)})
    app = Starlette(
        middleware=[
            StarletteMiddleware(AuthenticationMiddleware, backend=Backend()),
            StarletteMiddleware(LLMKitMiddleware, config=config),
        ],
    )
    with asgi_host(app) as url:
        assert httpx.post(f"{url}/llm/complete", json=SAY_HI).status_code == 401
        answer = httpx.post(f"{url}/llm/complete", json=SAY_HI, headers={"x-name": "ann"})
        assert answer.status_code == 200
    assert [row["user_key"] for row in rows(tmp_path)] == ["ann"]


async def _nobody(scope: Any) -> str | None:
    return None


async def _forgot_to_await(scope: Any) -> Any:
    return _nobody(scope)


@pytest.mark.parametrize(
    ("who", "status"),
    [
        (lambda scope: _nobody(scope), 401),
        (functools.partial(_nobody), 401),
        (_forgot_to_await, 401),
        (lambda scope: False, 401),
        (lambda scope: "", 401),
        (lambda scope: Caller(tenant="acme"), 401),
        (lambda scope: True, 503),
        (lambda scope: _nobody, 503),
    ],
)
def test_what_get_user_gives_is_looked_at(emulator: Emulator, who: Any, status: int) -> None:
    """None, False and an empty id are nobody, however they come; what is no id is a mistake."""
    with asgi_host(make_app(settings(emulator), get_user=who)) as url:
        assert httpx.post(f"{url}/llm/complete", json=SAY_HI).status_code == status
    assert emulator.requests == []


class Careless:
    """A middleware of the app's own that stumbles over a file."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        raise FileNotFoundError("prompts/summary.txt")


def _no_directory(scope: Any) -> str:
    raise ConnectionRefusedError("the LDAP server")


@pytest.mark.parametrize("path", ["stream", "complete"])
def test_the_apps_own_oserror_is_no_browser_that_left(emulator: Emulator, path: str) -> None:
    """A get_user that cannot reach its directory and a middleware that misses a file are errors of the app: 500."""
    config = settings(emulator)
    kit = Kit(config, middleware=[Careless()])
    for app in (make_app(config, get_user=_no_directory), make_app(config, kit=kit)):
        with asgi_host(app) as url:
            assert httpx.post(f"{url}/llm/{path}", json=SAY_HI).status_code == 500
    assert emulator.requests == []


def test_get_user_may_be_async_and_say_more(emulator: Emulator, tmp_path: Path) -> None:
    """An async get_user may give a Caller, whose tenant and tags are on the row."""

    async def who(scope: Any) -> Caller:
        return Caller(user="7", tenant="acme", tags={"plan": "pro"})

    config = settings(emulator, ledger={"database": database(tmp_path)})
    with asgi_host(make_app(config, get_user=who)) as url:
        httpx.post(f"{url}/llm/complete", json=SAY_HI).raise_for_status()
    (row,) = rows(tmp_path)
    assert (row["user_key"], row["tenant"], row["tags"]) == ("7", "acme", '{"plan": "pro"}')


def test_the_app_decides_what_is_asked(emulator: Emulator) -> None:
    """System prompt and max_tokens are the app's; an offered alias is the browser's choice."""
    config = settings(emulator, relay={"system": "Be brief", "max_tokens": 5, "models": ["fast"]})
    config["models"]["fast"] = "anthropic:claude-haiku-4-5"
    with asgi_host(make_app(config)) as url:
        httpx.post(f"{url}/llm/complete", json={**SAY_HI, "model": "fast"}).raise_for_status()
    body = emulator.requests[0].body
    assert body is not None
    assert (body["system"], body["max_tokens"]) == ("Be brief", 5)
    assert body["model"] == "claude-haiku-4-5"


def test_the_pages_are_served(emulator: Emulator) -> None:
    """The chat page, its script and its style come from the package, with a policy that runs nothing else."""
    with serving(emulator) as url:
        moved = httpx.get(f"{url}/llm")
        page = httpx.get(f"{url}/llm/")
        head = httpx.head(f"{url}/llm/")
        script = httpx.get(f"{url}/llm/llmkit.js")
        put = httpx.put(f"{url}/llm/")
    assert (moved.status_code, moved.headers["location"]) == (307, "/llm/")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(page.content))
    assert script.headers["content-type"].startswith("text/javascript")
    assert put.status_code == 405


def test_a_mounted_app(emulator: Emulator) -> None:
    """`llmkit_app` answers under the mount's path, and says 404 to the rest."""
    mounted = llmkit_app(settings(emulator), get_user=lambda scope: "7")

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await mounted.kit.aclose()

    app = Starlette(routes=[Mount("/ai", mounted)], lifespan=lifespan)
    with asgi_host(app) as url:
        assert httpx.post(f"{url}/ai/complete", json=SAY_HI).status_code == 200
        assert httpx.get(f"{url}/ai/").status_code == 200
        assert httpx.get(f"{url}/ai/nothing").json()["error"]["type"] == "not_found"


def test_views_of_the_hosts_own(emulator: Emulator) -> None:
    """A view may take the client, and return a stream as its response."""

    async def poem(request: Request) -> Response:
        return stream_response(request, get_client(request).stream("A poem", user="9"))

    async def word(request: Request) -> Response:
        assert get_kit(request).async_client is get_client(request)
        reply = await get_client(request).complete("A word")
        return JSONResponse({"word": reply.text})

    app = LLMKitMiddleware(
        Starlette(routes=[Route("/poem", poem, methods=["POST"]), Route("/word", word)]),
        settings(emulator),
    )
    with asgi_host(app) as url:
        with open_page(f"{url}/poem") as page:
            page.read_all()
        assert page.done
        assert httpx.get(f"{url}/word").json()["word"]


def test_a_view_without_the_middleware_is_told(emulator: Emulator) -> None:
    """`get_client` in an app without llmkit says what to add."""
    from llmkit import ConfigError

    request = HTTPConnection({"type": "http", "headers": []})
    with pytest.raises(ConfigError, match="add_middleware"):
        get_client(request)


STARTING = """
import asyncio, sys
from llmkit_asgi import LLMKitMiddleware

async def host(scope, receive, send):
    print("httptools" in sys.modules)

async def main():
    app = LLMKitMiddleware(host, {"ledger": False})
    print("httptools" in sys.modules)
    await app({"type": "lifespan"}, None, None)
    await app.kit.aclose()

asyncio.run(main())
"""


def test_the_host_starts_with_what_its_first_request_needs() -> None:
    """The HTTP library is loaded when the host starts, and not by the first browser."""
    run = subprocess.run(
        [sys.executable, "-c", STARTING], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False", "True"]


def test_a_fault_of_ours_leaves_the_host_its_start() -> None:
    """A server takes an exception there for a host without a lifespan, and would not run the host's own."""
    started: list[str] = []

    async def host(scope: Any, receive: Any, send: Any) -> None:
        started.append(scope["type"])

    app = LLMKitMiddleware(host, kit=Kit({"ledger": False}, middleware=[object()]))
    asyncio.run(app({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert started == ["lifespan"]
