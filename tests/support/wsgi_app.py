"""A small adapter for bare WSGI: all that an adapter has to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http.client import responses
from typing import Any

from llmkit import Call, CallNext, Event, Kit, Outcome, Stream
from llmkit.relay._sync.door import Door, visitor
from llmkit.relay.answer import Answer
from llmkit.relay.pages import chat_page
from llmkit.relay.presence import answer_while_present
from llmkit.relay.pull import PullRelay
from llmkit.relay.rules import NOT_FOUND, check_origin, find, too_large

Environ = dict[str, Any]


class WSGIApp:
    """Answers what llmkit answers, for a user whom the app names."""

    def __init__(self, kit: Kit, get_user: Callable[[Environ], str | None] = lambda _: "7") -> None:
        self.kit = kit
        self.get_user = get_user
        self.relays: list[PullRelay] = []

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        method, heartbeat = environ["REQUEST_METHOD"], self.kit.config.relay.heartbeat
        found: Any = find(environ["PATH_INFO"], method) or NOT_FOUND
        request = _Request(environ, self)
        if found == "page":
            found = chat_page(user=visitor(request))
        elif found == "usage":
            found = Door(self.kit).usage(request)
        elif not isinstance(found, Answer):
            endpoint, found = found, Door(self.kit).admit(request, streaming=found == "stream")
            if not isinstance(found, Answer) and endpoint == "stream":
                relay = PullRelay(found, heartbeat=heartbeat).open()
                self.relays.append(relay)
                start_response(_line(relay.status), list(relay.headers.items()))
                return relay
            if not isinstance(found, Answer):
                found = answer_while_present(found, environ, heartbeat=heartbeat)
        answer = found.to(method)
        start_response(_line(answer.status), list(answer.headers.items()))
        return [answer.body]


class _Request:
    """A request, as the door asks for it."""

    has_get_user = True

    def __init__(self, environ: Environ, app: WSGIApp) -> None:
        self._environ = environ
        self._app = app
        names = {
            f"HTTP_{name}": name for name in (key[5:] for key in environ if key[:5] == "HTTP_")
        }
        names |= {name: name for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(name)}
        self.headers = {
            name.replace("_", "-").lower(): str(environ[key]) for key, name in names.items()
        }

    def check_origin(self) -> None:
        """Let nobody in who may be another site."""
        check_origin(self.headers, self._app.kit.config.relay.allowed_origins)

    def user(self) -> str | None:
        """Say who calls."""
        return self._app.get_user(self._environ)

    def body(self, limit: int) -> bytes:
        """Read the body."""
        size = int(self.headers.get("content-length", 0))
        data: bytes = self._environ["wsgi.input"].read(min(limit + 1, size))
        if len(data) > limit:
            raise too_large(limit)
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
    return f"{status} {responses.get(status, 'Closed')}"
