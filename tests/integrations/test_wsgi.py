"""The sync side of the relay in a bare WSGI app, under a real server."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmkit import Kit
from llmkit.testing import Behaviour, Emulator
from support.browser import SAY_HI, SILENCES, leave, open_page
from support.hosts import wsgi_host
from support.kits import WIRES, make_kit
from support.left_over import threads
from support.rows import database, rows
from support.wsgi_app import Watching, WSGIApp


def close(kit: Kit) -> None:
    kit.close()
    assert [name for name in threads() if name in ("llmkit-reader", "llmkit-opener")] == []


@pytest.mark.parametrize("wire", WIRES)
def test_a_stream_reaches_the_browser(wire: str, tmp_path: Path) -> None:
    """Text frames, [DONE] last, and a finished row."""
    with Emulator(behaviour=Behaviour(tokens=6, delay=0)) as emulator:
        kit = make_kit(emulator, wire=wire, ledger={"database": database(tmp_path)})
        with wsgi_host(WSGIApp(kit)) as url, open_page(f"{url}/stream") as page:
            page.read_all()
        close(kit)
    assert page.done
    assert len(page.text.split()) == 6
    assert [row["status"] for row in rows(tmp_path)] == ["finished"]


@pytest.mark.parametrize("wire", WIRES)
def test_no_token_is_held_back(wire: str) -> None:
    """The emulator withholds each next token until the browser has the one before; three middlewares look on."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator, wire=wire, middleware=[Watching(), Watching(), Watching()])
        with wsgi_host(WSGIApp(kit)) as url, open_page(f"{url}/stream") as page:
            for words in range(1, 6):
                page.read_words(words)
                emulator.release()
            emulator.release()
            page.read_all()
            assert page.done
        close(kit)


def test_heartbeats_while_the_model_is_silent() -> None:
    """Comments flow before the head of the answer and between its tokens, also past the provider's own pings."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0, hold_at=2, pings=0.02)) as emulator:
        kit = make_kit(emulator, relay={"heartbeat": 0.05})
        emulator.script(Behaviour(tokens=3, delay=0, head_delay=2))
        with wsgi_host(WSGIApp(kit)) as url:
            with open_page(f"{url}/stream") as page:
                page.read_all()
            assert page.raw.startswith(b": \n\n")
            assert page.done
            with open_page(f"{url}/stream") as page:
                page.read_words(1)
                while page.raw.count(b": \n\n") < 2:
                    page.read()
                emulator.release(10)
                page.read_all()
            assert page.done
        close(kit)


@pytest.mark.parametrize("silent", sorted(SILENCES))
def test_a_closed_tab_stops_the_model(tmp_path: Path, silent: str) -> None:
    """The next heartbeats find nobody; the provider sees its connection go; the row says cancelled."""
    with Emulator(behaviour=SILENCES[silent]) as emulator:
        kit = make_kit(emulator, relay={"heartbeat": 0.05}, ledger={"database": database(tmp_path)})
        with wsgi_host(WSGIApp(kit)) as url:
            leave(f"{url}/stream", emulator, reading=silent == "later")
        close(kit)
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]
    assert kit.limit.running == 0


@pytest.mark.parametrize(
    ("behaviour", "timeouts", "status", "type_"),
    [
        (Behaviour(status=401), {}, 502, "authentication_failed"),
        (Behaviour(status=529), {}, 503, "overloaded"),
        (Behaviour(head_delay=60), {"first_content": 0.2}, 504, "timeout"),
        (Behaviour(ttft=60, pings=0.02), {"first_content": 0.2}, 504, "timeout"),
    ],
)
def test_failures_before_content_are_statuses(
    behaviour: Behaviour, timeouts: dict[str, Any], status: int, type_: str
) -> None:
    """Until something was sent, a failure is a real status with the JSON error body."""
    with Emulator(behaviour=behaviour) as emulator:
        kit = make_kit(emulator, retry={"attempts": 1}, timeouts=timeouts)
        with wsgi_host(WSGIApp(kit)) as url, open_page(f"{url}/stream") as page:
            page.response.read()
        close(kit)
    assert page.status == status
    assert page.response.json()["error"]["type"] == type_


@pytest.mark.parametrize(
    ("behaviour", "timeouts", "type_"),
    [
        (Behaviour(tokens=5, delay=0, terminal=False), {}, "stream_truncated"),
        (Behaviour(tokens=9, delay=0, stall_at=3, pings=0.02), {"idle": 0.2}, "timeout"),
        (Behaviour(tokens=9999, delay=0.01), {"total": 2}, "timeout"),
    ],
)
def test_failures_after_content_are_events(
    behaviour: Behaviour, timeouts: dict[str, Any], type_: str
) -> None:
    """Once text was sent a failure is the last event, and there is no [DONE]."""
    with Emulator(behaviour=behaviour) as emulator:
        kit = make_kit(emulator, timeouts=timeouts)
        with wsgi_host(WSGIApp(kit)) as url, open_page(f"{url}/stream") as page:
            page.read_all()
        close(kit)
    assert page.status == 200
    assert page.text
    assert page.error is not None
    assert page.error["type"] == type_
    assert not page.done


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/llmkit.js", {}, 200),
        ("HEAD", "/", {}, 200),
        ("POST", "/complete", {}, 200),
        ("POST", "/stream", {}, 200),
        ("POST", "/complete", {"content-type": "text/plain"}, 415),
        ("POST", "/complete", {"cookie": "a=b", "origin": "https://elsewhere.example"}, 403),
        ("GET", "/complete", {}, 405),
        ("GET", "/nothing", {}, 404),
    ],
)
def test_a_whole_adapter_in_fifty_lines(
    method: str, path: str, more: dict[str, str], status: int
) -> None:
    """What every adapter answers, by the door's rules; that of the tests, too, is copied by somebody."""
    with Emulator(behaviour=Behaviour(tokens=2, delay=0)) as emulator:
        kit = make_kit(emulator)
        with wsgi_host(WSGIApp(kit)) as url:
            headers = {"content-type": "application/json", **more}
            answer = httpx.request(
                method, url + path, headers=headers, content=json.dumps(SAY_HI), timeout=30
            )
        close(kit)
    assert answer.status_code == status
    assert (answer.content == b"") == (method == "HEAD")


@pytest.mark.parametrize(
    ("user", "size", "status"), [(None, 10, 401), ("7", 2000, 413), ("7", 10, 200)]
)
def test_it_asks_who_calls_and_how_much(user: str | None, size: int, status: int) -> None:
    """A call without a user, or with too long a conversation, is refused."""
    with Emulator(behaviour=Behaviour(tokens=2, delay=0)) as emulator:
        kit = make_kit(emulator, relay={"max_body": 1000})
        said = {"messages": [{"role": "user", "content": "x" * size}]}
        with wsgi_host(WSGIApp(kit, lambda _: user)) as url:
            answer = httpx.post(url + "/complete", json=said, timeout=30)
        close(kit)
    assert answer.status_code == status


def test_a_relay_that_is_never_iterated_leaves_nothing(tmp_path: Path) -> None:
    """A host may ask for the body and close it unread, as for HEAD; closing twice, from two threads, is fine."""
    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        app = WSGIApp(kit)
        body = json.dumps(SAY_HI).encode()
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/stream",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": _Input(body),
        }
        relay: Any = app(environ, lambda status, headers: None)
        other = threading.Thread(target=relay.close)
        other.start()
        relay.close()
        other.join()
        relay.close()
        assert list(relay) == []
        emulator.wait_until_gone(0)
        close(kit)
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]


class _Input:
    def __init__(self, body: bytes) -> None:
        self.read = lambda size: body[:size]
