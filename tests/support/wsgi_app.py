"""A bare WSGI app on the sync side of the relay: what an adapter for a WSGI framework has to do, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from llmkit import Call, CallNext, Event, Kit, Outcome, Stream
from llmkit.relay._sync.door import Door
from llmkit.relay.answer import Answer
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
        made = Door(self.kit).admit(_Request(environ), streaming=True)
        if isinstance(made, Answer):
            start_response(_line(made.status), list(made.headers.items()))
            return [made.body]
        relay = PullRelay(made, heartbeat=self.kit.config.relay.heartbeat).open()
        self.relays.append(relay)
        start_response(_line(relay.status), list(relay.headers.items()))
        return relay


class _Request:
    """A request from user 7."""

    has_get_user = True

    def __init__(self, environ: dict[str, Any]) -> None:
        self._environ = environ
        self.headers = {"content-type": environ.get("CONTENT_TYPE", "")}

    def check_origin(self) -> None:
        """Let everybody in."""

    def user(self) -> str:
        """Say who calls."""
        return "7"

    def body(self, limit: int) -> bytes:
        """Read the body."""
        data: bytes = self._environ["wsgi.input"].read(
            min(limit, int(self._environ["CONTENT_LENGTH"]))
        )
        return data


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
