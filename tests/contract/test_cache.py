"""Kept answers on every host: a hit is the same HTTP as the answer was."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from contract.hosts import HEARTBEAT, HOSTS, Host, running
from llmkit.sse import SSEDecoder
from llmkit.testing import Behaviour
from support.canary import leaks

# It keeps its connections, and asks again as soon as it has read an answer.
BROWSER = httpx.Client()
# What each answer has of its own, or the server says of the moment.
_OWN = {
    "date",
    "x-llmkit-call-id",
    "x-request-id",
    "set-cookie",
    "transfer-encoding",
    "content-length",
}


@pytest.fixture(scope="module", params=HOSTS)
def running_host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """Start each host with a cache."""
    relay = {"heartbeat": HEARTBEAT}
    cache = {"when": "always"}
    folder = tmp_path_factory.mktemp(request.param)
    with running(request.param, folder, relay=relay, cache=cache, budgets=[]) as host:
        yield host


@pytest.fixture
def host(running_host: Host) -> Host:
    """Begin a test."""
    running_host.reset()
    return running_host


def ask(host: Host, path: str, question: str, user: str = "7") -> httpx.Response:
    """Ask as a user."""
    body = {"messages": [{"role": "user", "content": question}]}
    headers = {"x-user": user} if user else {}
    BROWSER.cookies.clear()  # a browser with a cookie would have to say which page it comes from
    answer = BROWSER.post(host.url + path, json=body, headers=headers, timeout=30)
    assert leaks(answer.text, dict(answer.headers)) == []
    return answer


def heads(answer: httpx.Response) -> dict[str, Any]:
    """Return what two answers have in common."""
    named = {name: value for name, value in answer.headers.items() if name not in _OWN}
    return {"status": answer.status_code, **named}


def said(answer: httpx.Response) -> tuple[str, list[str | None], str]:
    """Return the text of an event stream, its kinds of events, and the last one."""
    events = SSEDecoder().feed(answer.content)
    pieces = [json.loads(event.data) for event in events[:-1]]
    text = "".join(piece.get("text", "") for piece in pieces)
    return text, sorted({event.event for event in events}), events[-1].data


def test_a_hit_is_a_stream(host: Host) -> None:
    """With the same head and text, and its end; in the books it cost nothing."""
    first, again = (ask(host, "/llm/stream", "Stream it") for _ in range(2))
    assert heads(again) == heads(first)
    assert again.headers["content-type"].startswith("text/event-stream")
    assert said(again) == said(first)
    assert said(again)[2] == "[DONE]"
    assert len(host.emulator.requests) == 1
    paid, cached = host.wait_for_rows("finished", "cached")
    assert (cached["attempt"], float(cached["cost_usd"]), cached["user_key"]) == (0, 0, "7")
    assert float(cached["saved_usd"]) == float(paid["cost_usd"])


def test_a_hit_is_a_whole_answer(host: Host) -> None:
    """The same JSON, but for what it is about: the call, and its cost."""
    first, again = (ask(host, "/llm/complete", "Complete it") for _ in range(2))
    assert heads(again) == heads(first)
    one, other = first.json(), again.json()
    assert {name for name in one if one[name] != other[name]} <= {"call_id", "id", "cost_usd"}
    assert one["text"] == other["text"]
    assert len(host.emulator.requests) == 1
    host.wait_for_rows("finished", "cached")


def test_whose_it_is(host: Host) -> None:
    """Another user gets no answer of this one's."""
    for user in ("7", "8"):
        assert said(ask(host, "/llm/stream", "Whose?", user))[2] == "[DONE]"
    assert len(host.emulator.requests) == 2
    host.wait_for_rows("finished", "finished")


def test_many_tabs_at_once(host: Host) -> None:
    """They are one request; each has the whole text."""
    host.emulator.behaviour = Behaviour(tokens=20, delay=0.02, hold_at=2)
    arrived = threading.Semaphore(0)

    def read(_: int) -> str:
        body = {"messages": [{"role": "user", "content": "At once"}]}
        with httpx.stream(
            "POST", host.url + "/llm/stream", json=body, headers=host.user, timeout=30
        ) as answer:
            data = b""
            for piece in answer.iter_raw():
                if b"text" not in data and b"text" in data + piece:
                    arrived.release()
                data += piece
        events = SSEDecoder().feed(data)
        assert events[-1].data == "[DONE]"
        return "".join(json.loads(event.data).get("text", "") for event in events[:-1])

    with ThreadPoolExecutor(5) as tabs:
        texts = tabs.map(read, range(5))
        for _ in range(5):
            assert arrived.acquire(timeout=30)
        host.emulator.release(None)
        assert {len(text.split()) for text in texts} == {20}
    assert len(host.emulator.requests) == 1
    booked = host.wait_for_rows("finished", *["shared"] * 4)
    assert Counter(row["status"] for row in booked) == {"finished": 1, "shared": 4}
