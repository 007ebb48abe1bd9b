"""The middleware: serves llmkit's routes under a prefix, puts its kit into the scope and passes everything else on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from llmkit.config import Config, Place
from llmkit.errors import LLMKitError
from llmkit.kit import Kit
from llmkit.policy.readiness import log_missing
from llmkit.relay.rules import NOT_FOUND
from llmkit.tracebacks import forgetful
from llmkit_asgi.exchange import App, ASGISink, Message, Receive, Scope, Send
from llmkit_asgi.routes import GetUser, Routes, logged_in_user


class LLMKitMiddleware:
    """Adds llmkit to an ASGI app.

    It has to be inside the session and authentication middleware to see who is logged in. It closes its kit when the app's
    lifespan ends.

    Args:
        app: your app.
        config: the settings, as a mapping or a `Config`.
        prefix: where the routes are; the default is "/llm".
        get_user: a function, sync or async, that takes the scope and returns who calls: an id, a `Caller`, or None for nobody. The
            default is the user that Starlette's AuthenticationMiddleware has logged in.
        kit: an existing kit, instead of `config`. You close it yourself.

    Raises:
        ConfigError: the settings are wrong.
    """

    @forgetful
    def __init__(
        self,
        app: App,
        config: Mapping[str, Any] | Config | None = None,
        *,
        prefix: str = "/llm",
        get_user: GetUser = logged_in_user,
        kit: Kit | None = None,
    ) -> None:
        self.app = app
        self.kit = kit if kit is not None else _make_kit(config)
        self._owns_kit = kit is None
        self._prefix = prefix.rstrip("/")
        self._routes = Routes(self.kit, get_user)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is ours and pass on the rest."""
        if scope["type"] == "lifespan":
            with suppress(
                LLMKitError, TypeError
            ):  # the first request says it: the host's own start goes on
                self.kit.warm()
            await self.app(scope, receive, self._closing(send))
            return
        scope["llmkit"] = self.kit
        if scope["type"] == "http":
            path = _route_path(scope)
            if path.startswith(self._prefix):
                handler = self._routes.find(path[len(self._prefix) :], scope["method"])
                if handler is not None:
                    await handler(scope, receive, send)
                    return
        await self.app(scope, receive, send)

    def _closing(self, send: Send) -> Send:
        async def send_and_close(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown.") and self._owns_kit:
                await self.kit.aclose()
            await send(message)

        return send_and_close


def _make_kit(config: Mapping[str, Any] | Config | None) -> Kit:
    kit = Kit(Config.of(config, place=Place("config")).for_host())
    log_missing(kit.config, kit.runtime.routes)
    return kit


@forgetful
def llmkit_app(
    config: Mapping[str, Any] | Config | None = None, **options: Any
) -> LLMKitMiddleware:
    """Make an app with llmkit's routes only, to mount: `app.mount("/llm", llmkit_app(config=...))`.

    Views of the app it is mounted in can use `get_client` and `stream_response`, at any depth. Takes the same arguments as
    `LLMKitMiddleware`, except `app` and `prefix`. A mounted app gets no lifespan events: close its `kit` yourself
    (`await mounted.kit.aclose()`), or pass one in.
    """
    return LLMKitMiddleware(_not_found, config, prefix="", **options)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await ASGISink(send).answer(NOT_FOUND)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
    elif scope["type"] == "lifespan":
        await _idle_lifespan(receive, send)


async def _idle_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _route_path(scope: Scope) -> str:
    # Starlette and uvicorn leave the mount's root_path in front of the path.
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :]
    return path
