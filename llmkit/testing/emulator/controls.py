"""The emulator's own routes, under /_emulator/, for other processes. A POST is application/json, also without a body.

* POST script: a list of behaviours, or one, for the next requests: `[{"status": 529}, {"tokens": 5}]`
* POST release: release withheld tokens: `{"n": 1}`; `{"n": null}` releases everything; `{"index": 0}` names one request
* GET requests: the requests received
* POST reset: drop the script and the requests, close connections that are being answered
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.http import Request
from llmkit.testing.emulator.received import ReceivedRequest
from llmkit.testing.emulator.wires.base import parse, to_json

PREFIX = "/_emulator/"


class Controlled(Protocol):
    """What the routes act on."""

    @property
    def requests(self) -> list[ReceivedRequest]:
        """What was received."""

    def script(self, *behaviours: Behaviour) -> None:
        """Use these for the next requests."""

    def release(self, n: int | None = 1, *, index: int | None = None) -> None:
        """Let withheld tokens go."""

    def reset(self) -> None:
        """Forget everything."""


def control(emulator: Controlled, request: Request) -> tuple[int, bytes] | None:
    """Do what such a request says; return status and JSON, or None if it is none of these."""
    if not request.path.startswith(PREFIX):
        return None
    route = _ROUTES.get((request.method, request.path.removeprefix(PREFIX)))
    if route is None:
        known = ", ".join(f"{method} {PREFIX}{name}" for method, name in _ROUTES)
        return 404, _error(f"no such route; the routes are {known}")
    if request.method == "POST" and not _is_json(request):
        return 415, _error("send the header Content-Type: application/json")
    try:
        document = parse(request.body) if request.body else None
        return 200, to_json(route(emulator, document))
    except ValueError as error:
        return 400, _error(str(error))


def _is_json(request: Request) -> bool:
    # What a page of the web could send without asking first is not taken, whether or not it has a body.
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json"


def _script(emulator: Controlled, document: Any) -> Any:
    items = document if isinstance(document, list) else [document]
    behaviours = [Behaviour.from_json(item) for item in items]
    emulator.script(*behaviours)
    return {"scripted": len(behaviours)}


def _release(emulator: Controlled, document: Any) -> Any:
    options = {"n": 1, "index": None} | (document if isinstance(document, dict) else {})
    n, index = options["n"], options["index"]
    if type(n) not in (int, type(None)) or type(index) not in (int, type(None)):
        raise ValueError("n and index must be whole numbers or null")
    emulator.release(n, index=index)
    return {"released": n}


def _requests(emulator: Controlled, _: Any) -> Any:
    return [dataclasses.asdict(request) for request in emulator.requests]


def _reset(emulator: Controlled, _: Any) -> Any:
    emulator.reset()
    return {"reset": True}


def _error(message: str) -> bytes:
    return to_json({"error": {"type": "emulator", "message": message}})


_ROUTES: dict[tuple[str, str], Callable[[Controlled, Any], Any]] = {
    ("POST", "script"): _script,
    ("POST", "release"): _release,
    ("GET", "requests"): _requests,
    ("POST", "reset"): _reset,
}
