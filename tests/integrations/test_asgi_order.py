"""The order of middleware in an ASGI app: llmkit has to stand inside what says who is logged in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection

from llmkit.testing import Emulator
from llmkit_asgi import LLMKitMiddleware
from support.browser import SAY_HI
from support.kits import settings


class Everybody(AuthenticationBackend):
    """Logs in whoever comes."""

    async def authenticate(self, conn: HTTPConnection) -> Any:
        """Say yes."""
        return AuthCredentials(["writer"]), SimpleUser("7")


def from_the_session(scope: Any) -> Any:
    """Ask the scope, as the README does."""
    return scope["session"].get("user", "7")


async def from_a_requests_session(scope: Any) -> Any:
    """Ask by way of Starlette's request, in a coroutine."""
    return HTTPConnection(scope).session.get("user", "7")


def from_the_scopes_user(scope: Any) -> Any:
    """Ask for the user."""
    return scope["user"].display_name


def from_the_credentials(scope: Any) -> Any:
    """Ask what the user may."""
    return "7" if "writer" in HTTPConnection(scope).auth.scopes else None


ASKED: dict[Callable[[Any], Any], tuple[str, str]] = {
    from_the_session: ("session", "SessionMiddleware"),
    from_a_requests_session: ("session", "SessionMiddleware"),
    from_the_scopes_user: ("user", "AuthenticationMiddleware"),
    from_the_credentials: ("auth", "AuthenticationMiddleware"),
}


def make_app(emulator: Emulator, get_user: Any, *, inside: bool) -> Starlette:
    """Make an app with a session and a login, and llmkit inside or outside of them."""
    app = Starlette()
    if inside:
        app.add_middleware(LLMKitMiddleware, config=settings(emulator), get_user=get_user)
    app.add_middleware(AuthenticationMiddleware, backend=Everybody())
    app.add_middleware(SessionMiddleware, secret_key="x" * 32)
    if not inside:
        app.add_middleware(LLMKitMiddleware, config=settings(emulator), get_user=get_user)
    return app


async def ask(app: Starlette) -> int:
    """Post as a browser does; return the status."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=30) as browser:
        return (await browser.post("/llm/complete", json=SAY_HI)).status_code


@pytest.mark.anyio
@pytest.mark.parametrize("get_user", ASKED)
async def test_inside(emulator: Emulator, get_user: Any) -> None:
    """There it sees the session and the user."""
    assert await ask(make_app(emulator, get_user, inside=True)) == 200


@pytest.mark.anyio
@pytest.mark.parametrize("get_user", ASKED)
async def test_outside(emulator: Emulator, get_user: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what get_user did not find, who puts it there, and the order that works."""
    name, middleware = ASKED[get_user]
    assert await ask(make_app(emulator, get_user, inside=False)) == 503
    assert f'get_user found no "{name}" in the scope' in caplog.text
    assert f"Add LLMKitMiddleware before {middleware}" in caplog.text
    assert emulator.requests == []


@pytest.mark.anyio
async def test_a_key_of_the_session(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """A session without a user raises the same error, and the log says that, too."""
    app = Starlette()
    app.add_middleware(
        LLMKitMiddleware,
        config=settings(emulator),
        get_user=lambda scope: scope["session"]["user"],
    )
    app.add_middleware(SessionMiddleware, secret_key="x" * 32)
    assert await ask(app) == 503
    assert 'scope["session"].get("user")' in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize("error", [KeyError("name"), AssertionError("no"), KeyError("session")])
async def test_other_errors_are_the_apps_own(emulator: Emulator, error: Exception) -> None:
    """They reach the app's own handlers, also those of something that is there."""

    def fail(scope: Any) -> Any:
        raise error

    with pytest.raises(type(error)) as raised:
        await ask(make_app(emulator, fail, inside=True))
    assert raised.value is error
