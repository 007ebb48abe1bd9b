"""The routes: hand the request to the door, write what comes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from llmkit.config.functions import check_get_user
from llmkit.errors import ConfigError
from llmkit.relay._async.door import AsyncDoor, async_answer_whole, async_visitor
from llmkit.relay.answer import Answer
from llmkit.relay.hooks import awaited
from llmkit.relay.pages import chat_page
from llmkit.relay.rules import Endpoint, User, check_origin, find, too_large
from llmkit_asgi.exchange import App, Receive, Scope, Send, Watch
from llmkit_asgi.responses import relay, respond

if TYPE_CHECKING:
    from llmkit.config import RelayConfig
    from llmkit.kit import Kit

# What Starlette's middleware puts into the scope, for who stands inside.
_PUT_IN = {
    "session": "SessionMiddleware",
    "user": "AuthenticationMiddleware",
    "auth": "AuthenticationMiddleware",
}

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
    """Answers the requests under the prefix.

    Raises:
        ConfigError: `get_user` does not take one argument.
    """

    def __init__(self, kit: Kit, get_user: GetUser) -> None:
        check_get_user(get_user, "the scope")
        self._door = AsyncDoor(kit)
        self._settings = kit.config.relay
        self._get_user = get_user

    def find(self, path: str, method: str) -> App | None:
        """Return what answers such a request; None if it is not one of ours."""
        if path == "":
            return _redirect
        found = find(path, method)
        if found is None:
            return None
        return partial(respond, found) if isinstance(found, Answer) else partial(self._serve, found)

    async def _serve(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        request = _Request(scope, receive, self._get_user, self._settings)
        if endpoint == "page":
            page = chat_page(user=await async_visitor(request))
            await respond(page, scope, receive, send)
            return
        if endpoint == "usage":
            await respond(await self._door.usage(request), scope, receive, send)
            return
        made = await self._door.admit(request, streaming=endpoint == "stream")
        if isinstance(made, Answer):
            await respond(made, scope, receive, send)
        elif endpoint == "stream":
            await relay(made, receive, send, self._settings)
        else:
            with Watch(receive, made.abort):
                answer = await async_answer_whole(made)
            await respond(answer, scope, receive, send)


class _Request:
    """An ASGI request, as the door sees it."""

    __slots__ = ("_get_user", "_receive", "_scope", "_settings", "headers")

    def __init__(
        self, scope: Scope, receive: Receive, get_user: GetUser, settings: RelayConfig
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._get_user = get_user
        self._settings = settings
        self.headers: Mapping[str, str] = _joined(scope["headers"])

    @property
    def has_get_user(self) -> bool:
        return self._get_user is not logged_in_user

    async def check_origin(self) -> None:
        check_origin(self.headers, self._settings.allowed_origins)

    async def user(self) -> User:
        try:
            user: User = await awaited(self._get_user(self._scope))
        except (KeyError, AssertionError) as error:
            missing = _missing(error, self._scope)
            if missing is None:
                raise
        else:
            return user
        raise _stands_outside(missing, self._scope)

    async def body(self, limit: int) -> bytes:
        body: bytes = b""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            body += message.get("body", b"")
            if len(body) > limit:
                raise too_large(limit)
            if not message.get("more_body"):
                return body


def _missing(error: Exception, scope: Scope) -> str | None:
    """Name what get_user did not find in the scope, if that is what its error says: by itself, or by way of a Starlette request."""
    for name in _PUT_IN:
        asked = error.args == (name,) or str(error).endswith(f"request.{name}")
        if asked and name not in scope:
            return name
    return None


def _stands_outside(name: str, scope: Scope) -> ConfigError:
    middleware = _PUT_IN[name]
    hint = (
        f"{middleware} puts it there. Add LLMKitMiddleware before {middleware}: Starlette puts the middleware added last on the outside, "
        "and llmkit has to be inside to see who is logged in."
    )
    if name != "session" and "session" in scope:
        hint += f' If it is a key of the session that may be missing, use scope["session"].get("{name}").'
    return ConfigError(f'get_user found no "{name}" in the scope', hint=hint)


def _joined(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by name; one that was sent more than once has all its values, so that none of them is overlooked."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _redirect(scope: Scope, receive: Receive, send: Send) -> None:
    # Starlette leaves the mount's root_path in front of the path, others do not.
    root: str = scope.get("root_path", "")
    path: str = scope["path"] if scope["path"].startswith(root) else root + scope["path"]
    await respond(Answer.of(307, {"location": f"{path}/"}), scope, receive, send)
