"""How a relayed answer ends in an ASGI app: failures, silence, closed tabs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from llmkit.testing import Behaviour, Emulator
from llmkit_asgi import LLMKitMiddleware
from support.asgi_app import make_app, serving
from support.browser import SILENCES, leave, open_page
from support.hosts import asgi_host, uvicorn_host
from support.kits import settings
from support.rows import database, rows
from support.waits import wait_for


@pytest.mark.parametrize(
    ("behaviour", "status", "type_"),
    [
        (Behaviour(status=401), 502, "authentication_failed"),
        (Behaviour(status=429, retry_after=7), 503, "rate_limited"),
        (Behaviour(status=500), 502, "server_failed"),
        (Behaviour(status=429), 503, "rate_limited"),
        (Behaviour(status=529), 503, "overloaded"),
        (Behaviour(status=402), 503, "quota_exhausted"),
        (Behaviour(tokens=3, error_frame_at=0, error_type="overloaded_error"), 503, "overloaded"),
        (Behaviour(status=413), 400, "prompt_too_long"),
        (Behaviour(status=400), 502, "request_rejected"),
        (Behaviour(status=404), 502, "request_rejected"),
        (Behaviour(tokens=3, cut_at=1), 502, "stream_truncated"),
        (Behaviour(head_delay=60), 504, "timeout"),
        (Behaviour(hang_up=True), 502, "connection_failed"),
    ],
)
def test_failures_before_content_are_statuses(
    emulator: Emulator, behaviour: Behaviour, status: int, type_: str
) -> None:
    """Until something was sent, a failure is a real status with the JSON error body."""
    emulator.behaviour = behaviour
    timeouts = {"first_content": 0.2} if type_ == "timeout" else {}
    more = {"retry": {"attempts": 1}, "timeouts": timeouts}
    with serving(emulator, **more) as url, open_page(f"{url}/llm/stream") as page:
        answer = page.response
        answer.read()
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == type_
    assert answer.headers["content-type"] == "application/json"
    if status == 503:
        # Its own word, else when the limit that is used up begins anew, else ours.
        wait = {7: "7", None: "1" if behaviour.status == 429 else "5"}[behaviour.retry_after]  # type: ignore[index]
        assert answer.headers["retry-after"] == wait
    assert "anthropic" not in answer.text  # in words of our own, and nobody's name


def test_failures_after_content_are_events(emulator: Emulator) -> None:
    """Once text was sent a failure is the last event, and there is no [DONE]."""
    emulator.behaviour = Behaviour(tokens=5, delay=0.001, terminal=False)
    with serving(emulator) as url, open_page(f"{url}/llm/stream") as page:
        page.read_all()
    assert page.status == 200
    assert page.text
    assert page.error is not None
    assert page.error["type"] == "stream_truncated"
    assert not any(event.data == "[DONE]" for event in page.events)


def test_heartbeats_while_the_model_is_silent(emulator: Emulator) -> None:
    """After the first heartbeat the status is 200 and comments flow; a later failure is an event."""
    emulator.behaviour = Behaviour(tokens=3, delay=0, hold_at=1)
    with (
        serving(emulator, relay={"heartbeat": 0.05}) as url,
        open_page(f"{url}/llm/stream") as page,
    ):
        while page.raw.count(b": \n\n") < 3:
            page.read()
        assert page.events == []
        emulator.wait_for_requests(1, 30)
        emulator.release(10)
        page.read_all()
    assert page.done


def test_a_failure_after_a_heartbeat_is_an_event(emulator: Emulator) -> None:
    """The status cannot be taken back, so the error comes as an event."""
    emulator.behaviour = Behaviour(head_delay=60)
    more = {
        "retry": {"attempts": 1},
        "timeouts": {"first_content": 0.3},
        "relay": {"heartbeat": 0.05},
    }
    with serving(emulator, **more) as url, open_page(f"{url}/llm/stream") as page:
        page.read_all()
    assert page.status == 200
    assert page.error is not None
    assert page.error["type"] == "timeout"


@pytest.mark.parametrize("transport", ["httpx", "aiohttp", "native"])
@pytest.mark.parametrize("silent", sorted(SILENCES))
def test_a_closed_tab_stops_the_model(
    emulator: Emulator, tmp_path: Path, transport: str, silent: str
) -> None:
    """The browser leaves; the provider sees its connection go; the row says cancelled."""
    emulator.behaviour = SILENCES[silent]
    app = make_app(settings(emulator, transport=transport, ledger={"database": database(tmp_path)}))
    with asgi_host(app) as url:
        leave(f"{url}/llm/stream", emulator, reading=silent == "later")
    (row,) = rows(tmp_path)
    assert row["status"] == "cancelled"
    assert (row["input_source"], row["output_source"]) != ("unknown", "unknown")
    assert app.kit.limit.running == 0
    assert not app.kit.runtime.tasks


class Statuses(BaseHTTPMiddleware):
    """A middleware of the host's that looks at every response, as many do."""

    seen: ClassVar[list[int]] = []

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        self.seen.append(response.status_code)
        return response


@pytest.mark.parametrize("path", ["stream", "complete"])
def test_the_hosts_middleware_sees_an_end(emulator: Emulator, path: str) -> None:
    """A browser that leaves before the answer begins gets a 499; without it this middleware raises."""
    emulator.behaviour = Behaviour(head_delay=60)
    app = Starlette(
        middleware=[
            StarletteMiddleware(Statuses),
            StarletteMiddleware(
                LLMKitMiddleware, config=settings(emulator), get_user=lambda scope: "7"
            ),
        ],
    )
    Statuses.seen.clear()
    with asgi_host(app) as url:
        leave(f"{url}/llm/{path}", emulator)
    assert Statuses.seen == [499]


@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_rows_are_marked_as_lost_under_uvicorn(
    emulator: Emulator, tmp_path: Path, lifespan: str
) -> None:
    """Uvicorn sets its own handler of SIGTERM when it has loaded the app; the ledger is told all the same, and an end corrects it."""
    emulator.behaviour = Behaviour(tokens=5, delay=0, hold_at=2)
    config = settings(emulator, ledger={"database": database(tmp_path)})
    with (
        uvicorn_host(config, "--lifespan", lifespan) as (url, process),
        open_page(f"{url}/llm/stream") as page,
    ):
        page.read_words(1)
        process.terminate()
        wait_for(lambda: [row["status"] for row in rows(tmp_path)], ["lost"])
        emulator.release(None)
        page.read_all()
        assert page.done
    assert [row["status"] for row in rows(tmp_path)] == ["finished"]
