"""The routes: read the request, call the core, write the response."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from llmkit.call import Caller
from llmkit.errors import LLMKitError, StreamClosed
from llmkit.relay.pages import PAGES, page
from llmkit.relay.payload import Payload, check_origin, no_user, parse
from llmkit.relay.problem import CLIENT_LEFT, Refusal, problem_of
from llmkit.relay.push import PushRelay
from llmkit_asgi.exchange import App, ASGISink, Receive, Scope, Send, Watch, headers_of, read_body

if TYPE_CHECKING:
    from llmkit._async.stream import AsyncStreamManager
    from llmkit.kit import Kit

User = str | int | Caller | None
GetUser = Callable[[Scope], User | Awaitable[User]]


def logged_in_user(scope: Scope) -> User:
    """Return whoever Starlette's AuthenticationMiddleware has logged in."""
    user = scope.get("user")
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    try:
        identity: str = user.identity
    except (AttributeError, NotImplementedError):
        identity = user.display_name
    return identity


class Routes:
    """Answers the requests under the prefix."""

    def __init__(self, kit: Kit, get_user: GetUser) -> None:
        self._kit = kit
        self._get_user = get_user

    def find(self, path: str, method: str) -> App | None:
        """Return what answers such a request; None if it is not one of ours."""
        if path == "/stream":
            return self._stream if method == "POST" else partial(_refuse_method, "POST")
        if path == "/complete":
            return self._complete if method == "POST" else partial(_refuse_method, "POST")
        if path == "":
            return _redirect
        if path in PAGES:
            if method in ("GET", "HEAD"):
                return partial(_page, path)
            return partial(_refuse_method, "GET, HEAD")
        return None

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        sink = ASGISink(send)
        manager = await self._admit(scope, receive, sink, streaming=True)
        if manager is not None:
            await relay(manager, receive, sink, heartbeat=self._kit.config.relay.heartbeat)

    async def _admit(
        self, scope: Scope, receive: Receive, sink: ASGISink, *, streaming: bool
    ) -> AsyncStreamManager | None:
        """Make the call that a request asks for, or answer it with what is wrong."""
        try:
            return await self._to_llmkit_request(scope, receive, streaming=streaming)
        except LLMKitError as error:
            await _to_asgi_problem(error, sink)
        except ConnectionError:
            await sink.answer(CLIENT_LEFT, {}, b"")
        return None

    async def _to_llmkit_request(
        self, scope: Scope, receive: Receive, *, streaming: bool
    ) -> AsyncStreamManager:
        settings = self._kit.config.relay
        headers = headers_of(scope)
        check_origin(scope["method"], headers)
        caller = await self._caller(scope)
        payload: Payload = parse(await read_body(headers, receive, settings.max_body), settings)
        return self._kit.async_client.prepare(
            payload.messages, payload.options(settings, caller), streaming=streaming
        )

    async def _caller(self, scope: Scope) -> Caller:
        user = self._get_user(scope)
        if not isinstance(user, str) and inspect.isawaitable(user):
            user = await user
        if user is None:
            if not self._kit.config.relay.anonymous:
                raise no_user()
            return Caller()
        return user if isinstance(user, Caller) else Caller(user=str(user))

    async def _complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        sink = ASGISink(send)
        manager = await self._admit(scope, receive, sink, streaming=False)
        if manager is None:
            return
        try:
            with Watch(receive, manager.abort):
                async with manager as stream:
                    while await stream.read() is not None:
                        pass
                    reply = stream.response
        except StreamClosed:
            await sink.answer(CLIENT_LEFT, {}, b"")
            return
        except LLMKitError as error:
            await _to_asgi_problem(error, sink)
            return
        body = msgspec.json.encode(
            {
                "text": reply.text,
                "stop_reason": reply.stop_reason,
                "usage": reply.usage,
                "cost_usd": None if reply.cost is None else str(reply.cost),
            }
        )
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        await sink.answer(200, headers, body)


async def relay(
    manager: AsyncStreamManager, receive: Receive, sink: ASGISink, *, heartbeat: float
) -> None:
    """Relay a call to the client as server-sent events, and stop it when the client leaves."""
    push = PushRelay(manager, sink, heartbeat=heartbeat)
    with Watch(receive, push.abort):
        await push.run()


async def _to_asgi_problem(error: LLMKitError, sink: ASGISink) -> None:
    problem = problem_of(error)
    await sink.answer(problem.status, problem.headers, problem.body)


async def _page(path: str, scope: Scope, receive: Receive, send: Send) -> None:
    headers, body = page(path)
    await ASGISink(send).answer(200, headers, body, head=scope["method"] == "HEAD")


async def _refuse_method(allowed: str, scope: Scope, receive: Receive, send: Send) -> None:
    error = Refusal(
        405, "method_not_allowed", "this method is not allowed here", hint=f"Use {allowed}."
    )
    problem = problem_of(error)
    headers = {**problem.headers, "allow": allowed}
    await ASGISink(send).answer(problem.status, headers, problem.body)


async def _redirect(scope: Scope, receive: Receive, send: Send) -> None:
    target = (
        scope.get("root_path", "") if scope["path"].startswith(scope.get("root_path", "")) else ""
    )
    path = scope["path"] if target else scope.get("root_path", "") + scope["path"]
    await ASGISink(send).answer(307, {"location": f"{path}/"}, b"")
