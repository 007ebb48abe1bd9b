"""The views: hand requests to the door, and back what comes of them; one object for both kinds of server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from asgiref.sync import async_to_sync, markcoroutinefunction
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, HttpResponseBase

from llmkit.errors import ConfigError
from llmkit.relay._async.door import AsyncDoor, async_answer_whole, async_visitor
from llmkit.relay._sync.door import Door, visitor
from llmkit.relay.answer import Answer
from llmkit.relay.presence import answer_while_present
from llmkit.relay.problem import problem_of
from llmkit.relay.rules import find
from llmkit_django.conf import current
from llmkit_django.connections import agive_back, give_back
from llmkit_django.requests import AsyncDjangoRequest, DjangoRequest, page_for
from llmkit_django.responses import arelay_response, relay_response, to_django_response

# What marks a coroutine function on this Python: the name of an attribute, and its value.
_MARK = vars(markcoroutinefunction(lambda: None))


class LLMKitView:
    """Answers one path under the prefix: in a thread under WSGI, in the event loop under ASGI.

    Django asks each view whether it is a coroutine function when a request comes; this one says yes inside a running loop.
    """

    csrf_exempt = True  # the check is run here, so that what it says is JSON
    login_required = False  # the same for LoginRequiredMiddleware: nobody logged in is our 401

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def _non_atomic_requests(self) -> set[str]:
        # Not even ATOMIC_REQUESTS holds a transaction open while tokens stream.
        return set(connections.settings)

    def __getattr__(self, name: str) -> object:
        """Be marked as a coroutine function inside a running loop."""
        if name in _MARK and _in_loop():
            return _MARK[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Coroutine[Any, Any, HttpResponseBase]:
        """Answer a request."""
        if not isinstance(request, ASGIRequest):
            return self._answer(request)
        if _in_loop():
            return self._aanswer(request)
        # A decorator of the host's has put the view into a thread; the stream still belongs to the server's loop.
        response: HttpResponseBase = async_to_sync(self._aanswer)(request)
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        found = self._find(request)
        if isinstance(found, Answer):
            return to_django_response(found, request)
        conf = current()
        asked = DjangoRequest(request, conf)
        if found == "page":
            return to_django_response(page_for(request, visitor(asked)), request)
        try:
            kit = conf.kit
        except ConfigError as error:
            return to_django_response(problem_of(error).answer, request)
        if found == "usage":
            return to_django_response(Door(kit).usage(asked), request)
        made = Door(kit).admit(asked, streaming=found == "stream")
        if isinstance(made, Answer):
            return to_django_response(made, request)
        if found == "stream":
            return relay_response(made, kit, taken=give_back)
        heartbeat = conf.config.relay.heartbeat
        whole = answer_while_present(made, request.META, heartbeat=heartbeat)
        return to_django_response(whole, request)

    async def _aanswer(self, request: HttpRequest) -> HttpResponseBase:
        found = self._find(request)
        if isinstance(found, Answer):
            return to_django_response(found, request)
        conf = current()
        asked = AsyncDjangoRequest(request, conf)
        if found == "page":
            return to_django_response(page_for(request, await async_visitor(asked)), request)
        try:
            kit = conf.kit
        except ConfigError as error:
            return to_django_response(problem_of(error).answer, request)
        if found == "usage":
            return to_django_response(await AsyncDoor(kit).usage(asked), request)
        made = await AsyncDoor(kit).admit(asked, streaming=found == "stream")
        if isinstance(made, Answer):
            return to_django_response(made, request)
        if found == "stream":
            return await arelay_response(made, kit, taken=agive_back)
        return to_django_response(await async_answer_whole(made), request)

    def _find(self, request: HttpRequest) -> Answer | str:
        found = find(self._path, request.method or "")
        assert found is not None  # noqa: S101  # the path is one of PATHS
        return found


def _in_loop() -> bool:
    return asyncio._get_running_loop() is not None  # noqa: SLF001  # documented; get_running_loop() would raise
