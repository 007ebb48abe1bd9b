"""The routes: read the request, call the core, write the response."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from llmkit.call import Caller
from llmkit.errors import LLMKitError, StreamClosed
from llmkit.relay.pages import PAGES, page
from llmkit.relay.payload import Payload, check_origin, no_user, parse
from llmkit.relay.problem import CLIENT_LEFT, Refusal, problem_of
from llmkit.relay.push import PushRelay
from llmkit_asgi.exchange import ASGISink, Receive, Scope, Send, Watch, headers_of, read_body

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

    async def answer(self, path: str, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a request; False if it is not one of ours."""
        method: str = scope["method"]
        if path in ("/stream", "/complete"):
            if method == "POST":
                await self._post(path, scope, receive, send)
            else:
                await _refuse_method(ASGISink(send), "POST")
            return True
        if path == "":
            await _redirect(scope, send)
            return True
        if path in PAGES:
            if method in ("GET", "HEAD"):
                headers, body = page(path)
                await ASGISink(send).answer(200, headers, body, head=method == "HEAD")
            else:
                await _refuse_method(ASGISink(send), "GET, HEAD")
            return True
        return False

    async def _post(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            manager = await self._to_llmkit_request(scope, receive, streaming=path == "/stream")
        except LLMKitError as error:
            await _to_asgi_problem(error, ASGISink(send))
        except ConnectionError:
            await ASGISink(send).answer(CLIENT_LEFT, {}, b"")
        else:
            if path == "/stream":
                await relay(manager, receive, send, heartbeat=self._kit.config.relay.heartbeat)
            else:
                await self._complete(manager, receive, ASGISink(send))

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
        if inspect.isawaitable(user):
            user = await user
        if user is None:
            if not self._kit.config.relay.anonymous:
                raise no_user()
            return Caller()
        return user if isinstance(user, Caller) else Caller(user=str(user))

    async def _complete(
        self, manager: AsyncStreamManager, receive: Receive, sink: ASGISink
    ) -> None:
        try:
            async with Watch(receive, manager.abort), manager as stream:
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
    manager: AsyncStreamManager, receive: Receive, send: Send, *, heartbeat: float
) -> None:
    """Relay a call to the client as server-sent events, and stop it when the client leaves."""
    push = PushRelay(manager, ASGISink(send), heartbeat=heartbeat)
    async with Watch(receive, push.abort):
        await push.run()


async def _to_asgi_problem(error: LLMKitError, sink: ASGISink) -> None:
    problem = problem_of(error)
    await sink.answer(problem.status, problem.headers, problem.body)


async def _refuse_method(sink: ASGISink, allowed: str) -> None:
    error = Refusal(
        405, "method_not_allowed", "this method is not allowed here", hint=f"Use {allowed}."
    )
    problem = problem_of(error)
    await sink.answer(problem.status, {**problem.headers, "allow": allowed}, problem.body)


async def _redirect(scope: Scope, send: Send) -> None:
    target = (
        scope.get("root_path", "") if scope["path"].startswith(scope.get("root_path", "")) else ""
    )
    path = scope["path"] if target else scope.get("root_path", "") + scope["path"]
    await ASGISink(send).answer(307, {"location": f"{path}/"}, b"")
