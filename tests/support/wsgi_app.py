"""A bare WSGI app on the sync side of the relay: what an adapter for a WSGI framework has to do, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from llmkit import Call, Caller, CallNext, Event, Kit, LLMKitError, Outcome, Stream
from llmkit.relay.payload import check_origin, parse
from llmkit.relay.problem import problem_of
from llmkit.relay.pull import PullRelay


class WSGIApp:
    """Answers POST /stream."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.relays: list[PullRelay] = []

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request."""
        settings = self.kit.config.relay
        try:
            check_origin(
                environ["REQUEST_METHOD"], {"content-type": environ.get("CONTENT_TYPE", "")}
            )
            payload = parse(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])), settings)
            options = payload.options(settings, Caller(user="7"))
            manager = self.kit.client.prepare(payload.messages, options, streaming=True)
        except LLMKitError as error:
            problem = problem_of(error)
            start_response(_line(problem.status), list(problem.headers.items()))
            return [problem.body]
        relay = PullRelay(manager, heartbeat=settings.heartbeat)
        self.relays.append(relay)
        start_response(_line(relay.status), list(relay.headers.items()))
        return relay


class Watching:
    """A user's middleware that sees everything and changes nothing."""

    def handle(self, call: Call, call_next: CallNext) -> Stream:
        """Pass the call on."""
        stream = call_next(call)
        stream.tap(self.look)
        stream.finalise(self.finish)
        return stream

    def look(self, events: list[Event]) -> None:
        """Do nothing."""

    def finish(self, outcome: Outcome) -> None:
        """Do nothing."""


def _line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"
