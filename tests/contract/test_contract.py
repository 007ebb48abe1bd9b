"""What every host holds, whichever framework and server it is: one set of tests over all of them."""

from __future__ import annotations

import json
import re
import socket
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from contract.hosts import HEARTBEAT, Host
from contract.tab import JSON, Tab
from llmkit.sse import SSEDecoder
from llmkit.testing import Behaviour
from support.browser import SAY_HI, open_page
from support.canary import leaks

# What a model may say, and a browser must be told letter by letter.
HOSTILE = (
    "\r",
    "\n\n",
    "\r\n",
    "data: [DONE]\n\n",
    "event: error\n",
    "id: 1",
    ": comment\n\n",
    "\u2028\u2029\u0085",
    "</script><!--",
    "\x00\x1b[31m",
    "\ufeff",
    "é😀",
    "\\u0022\\",
    "&amp;<b>",
)


def post(host: Host, path: str = "/llm/complete", **headers: str) -> httpx.Response:
    """Post a message as user 7."""
    answer = httpx.post(host.url + path, json=SAY_HI, headers={**host.user, **headers}, timeout=30)
    assert leaks(answer.text, dict(answer.headers)) == []
    return answer


def exchange(host: Host, head: bytes, body: bytes = b"") -> bytes:
    """Send bytes as they are, and return all that comes until the server closes."""
    where = urlsplit(host.url)
    with socket.create_connection((where.hostname, where.port), timeout=30) as line:
        line.sendall(head + body)
        answer = b""
        while data := line.recv(65536):
            answer += data
    return answer


@pytest.mark.every_wire
def test_no_token_is_held_back(host: Host) -> None:
    """The emulator withholds each next token until the browser has the one before; compression is offered."""
    host.emulator.behaviour = Behaviour(tokens=4, delay=0, hold_at=2)
    with open_page(f"{host.url}/llm/stream", headers=host.user) as page:
        for words in range(1, 5):
            page.read_words(words)
            host.emulator.release()
        host.emulator.release()
        page.read_all()
        assert page.done
    headers = page.response.headers
    assert page.status == 200
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers.get("content-encoding", "identity") == "identity"
    (row,) = host.rows()
    assert (row["status"], row["user_key"], row["streamed"]) == ("finished", "7", 1)
    assert row["cost_usd"] is not None


def test_a_view_of_the_hosts_own(host: Host) -> None:
    """It streams the same, with the user that it names."""
    path = "/apoem" if host.is_django and host.is_asgi else "/poem"
    host.emulator.behaviour = Behaviour(tokens=3, delay=0, hold_at=2)
    with open_page(host.url + path) as page:
        for words in range(1, 4):
            page.read_words(words)
            host.emulator.release()
        host.emulator.release()
        page.read_all()
    assert page.done
    assert [(row["status"], row["user_key"]) for row in host.rows()] == [("finished", "9")]


@pytest.mark.every_wire
def test_a_whole_answer(host: Host) -> None:
    """One JSON object, with what it cost."""
    answer = post(host)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"text", "stop_reason", "usage", "cost_usd"}
    assert (len(body["text"].split()), body["stop_reason"]) == (6, "end")
    assert float(body["cost_usd"]) > 0
    assert [(row["status"], row["streamed"]) for row in host.rows()] == [("finished", 0)]


def test_a_user_sees_their_own_usage(host: Host) -> None:
    """Of today and of this month, of nobody else; HEAD and other methods as usual."""
    url = f"{host.url}/llm/usage"
    before = httpx.get(url, headers=host.user, timeout=30).json()["month"]
    post(host)
    with open_page(host.url + ("/apoem" if host.is_django and host.is_asgi else "/poem")) as page:
        page.read_all()
    assert [row["user_key"] for row in host.rows()] == ["7", "9"]
    answer = httpx.get(url, headers=host.user, timeout=30)
    body = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert set(body) == {"today", "month", "budgets"}
    more = {name: Decimal(body["month"][name]) - Decimal(before[name]) for name in before}
    assert (more["calls"], more["attempts"], more["output_tokens"]) == (1, 1, 6)
    assert more["cost_usd"] > 0
    assert isinstance(body["month"]["cost_usd"], str)
    head = httpx.head(url, headers=host.user, timeout=30)
    assert (head.status_code, head.content) == (200, b"")
    assert httpx.get(url, timeout=30).status_code == 401
    refused = httpx.post(url, headers=host.user, json={}, timeout=30)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("model", "status", "users"),
    [("one-an-hour", 429, ("71", "72")), ("one-a-month", 402, ("73", "74"))],
    ids=["hour", "month"],
)
def test_a_budget_is_used_up(host: Host, model: str, status: int, users: tuple[str, str]) -> None:
    """Before anything is sent, with the time to come again; of whoever has used it, and of nobody else."""
    user, other = ({"x-user": name} for name in users)
    body = {**SAY_HI, "model": model}
    for path, expected in (("stream", 200), ("complete", status), ("stream", status)):
        answer = httpx.post(f"{host.url}/llm/{path}", json=body, headers=user, timeout=30)
        assert answer.status_code == expected
    error = answer.json()["error"]
    assert (error["type"], answer.headers["content-type"]) == (
        "budget_exceeded",
        "application/json",
    )
    resets = datetime.fromisoformat(error["resets_at"])
    assert resets > datetime.now(UTC)
    if status == 429:
        assert 1 <= int(answer.headers["retry-after"]) <= 3600
    else:
        assert (resets.day, "retry-after" in answer.headers) == (1, False)
    assert len(host.emulator.requests) == 1
    assert [row["status"] for row in host.rows()] == ["finished", "refused", "refused"]
    usage = httpx.get(f"{host.url}/llm/usage", headers=user, timeout=30).json()
    (budget,) = (each for each in usage["budgets"] if each["models"] == [model])
    assert [budget[name] for name in ("unit", "limit", "used", "held", "left")] == [
        *("requests", 1, 1, 0, 0),
    ]
    assert datetime.fromisoformat(budget["resets_at"]) == resets
    url = f"{host.url}/llm/complete"
    assert httpx.post(url, json=body, headers=other, timeout=30).status_code == 200


@pytest.mark.every_wire
def test_text_comes_exactly(host: Host) -> None:
    """Whatever a model says, the browser gets it and nothing else."""
    for text in HOSTILE:
        host.emulator.behaviour = Behaviour(text=("a", text, "b" + text), delay=0)
        with open_page(f"{host.url}/llm/stream", headers=host.user) as page:
            page.read_all()
        assert page.text == f"a{text}b{text}"
        assert page.done
        assert page.error is None
        assert {event.event for event in page.events} == {"message"}
        assert post(host).json()["text"] == page.text


SILENCES = {
    "before the answer": (Behaviour(head_delay=60), None),
    "before the text": (Behaviour(hold_at=1, delay=0), b": \n\n"),
    "within the text": (Behaviour(hold_at=3, delay=0), b'"text"'),
    "while text flows": (Behaviour(tokens=100_000, delay=0.01), b'"text"'),
}


@pytest.mark.every_wire
@pytest.mark.parametrize("silence", SILENCES)
def test_a_closed_tab_stops_the_model(host: Host, silence: str) -> None:
    """The provider sees its connection go: under ASGI at once, under WSGI within two heartbeats and a second."""
    behaviour, seen = SILENCES[silence]
    host.emulator.behaviour = behaviour
    tab = Tab(host)
    host.emulator.wait_for_requests(1)
    if seen is not None:
        tab.read_until(seen)
    tab.close()
    host.emulator.wait_until_gone(0, timeout=2 * HEARTBEAT + 1 + 4)  # and what a slow machine takes
    (row,) = host.wait_for_rows("cancelled")
    assert row["output_source"] in ("reported", "estimated")
    assert row["finished_at"] is not None


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_closed_tab_stops_a_plain_answer(host: Host, how: str) -> None:
    """There is nothing to write by which a WSGI server would notice: it is looked whether the browser is still there."""
    host.emulator.behaviour = Behaviour(head_delay=60)
    tab = Tab(host, "/llm/complete")
    host.emulator.wait_for_requests(1)
    tab.close(reset=how == "reset")
    host.emulator.wait_until_gone(0, timeout=2 * HEARTBEAT + 1 + 4)
    (row,) = host.wait_for_rows("cancelled")
    assert row["streamed"] == 0
    assert row["finished_at"] is not None


def test_a_next_request_is_no_closed_tab(host: Host) -> None:
    """A browser that has sent its next request already waits for the answer to its first."""
    host.emulator.script(Behaviour(tokens=6, delay=0, head_delay=3 * HEARTBEAT))
    body = json.dumps(SAY_HI).encode()
    head = (
        b"POST /llm/complete HTTP/1.1\r\nHost: x\r\nX-User: 7\r\nContent-Type: application/json\r\n"
    )
    head += b"Content-Length: %d\r\n" % len(body)
    answers = exchange(host, head + b"\r\n" + body + head + b"Connection: close\r\n\r\n", body)
    assert b" 200 " in answers.splitlines()[0]
    host.wait_for_rows(*["finished"] * answers.count(b"HTTP/1.1 200"))


def test_a_tab_closed_while_a_middleware_holds_the_response(host: Host) -> None:
    """A slow async middleware has the response, nobody reads it, and the browser leaves: the model is stopped all the same."""
    if not host.is_asgi:
        pytest.skip("a WSGI server runs nothing while a middleware waits")
    host.emulator.behaviour = Behaviour(hold_at=3, delay=0)
    tab = Tab(host, **{"x-hold": "1"})
    host.emulator.wait_for_tokens(2)
    tab.close()
    host.emulator.wait_until_gone(0, timeout=4)
    host.wait_for_rows("cancelled")


@pytest.mark.every_wire
def test_an_early_failure_is_a_status(host: Host) -> None:
    """The status waits for the first content; what the provider said stays behind."""
    host.emulator.behaviour = Behaviour(status=500)
    for path in ("/llm/stream", "/llm/complete"):
        answer = post(host, path)
        assert answer.status_code == 502
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()["error"]) == {"type", "message", "hint"}
        assert leaks(answer.text) == []
    assert [row["status"] for row in host.rows()] == ["failed"] * 2


@pytest.mark.every_wire
def test_a_late_failure_is_an_event(host: Host) -> None:
    """After the first content the answer ends with an error event, and without [DONE]."""
    host.emulator.behaviour = Behaviour(tokens=3, delay=0, terminal=False)
    with open_page(f"{host.url}/llm/stream", headers=host.user) as page:
        page.read_all()
    assert page.status == 200
    assert page.error is not None
    assert page.error["type"] == "stream_truncated"
    assert not page.done
    assert [row["status"] for row in host.rows()] == ["truncated"]


def test_the_status_waits_for_one_heartbeat_at_most(host: Host) -> None:
    """A model that is silent is a 200 with comments, until it speaks; one that fails then is an event."""
    host.emulator.script(
        Behaviour(hold_at=1, delay=0, tokens=2),
        Behaviour(hold_at=1, delay=0, tokens=2, error_frame_at=0),
    )
    with open_page(f"{host.url}/llm/stream", headers=host.user) as page:
        while page.raw.count(b": \n\n") < 2:
            assert page.read()
        assert page.status == 200
        host.emulator.wait_for_requests(1, 30)
        host.emulator.release(None)
        page.read_all()
        assert page.done
        assert len(page.text.split()) == 2
    with open_page(f"{host.url}/llm/stream", headers=host.user) as page:
        while b": \n\n" not in page.raw:
            assert page.read()
        assert page.status == 200
        host.emulator.wait_for_requests(2, 30)
        host.emulator.release(None)
        page.read_all()
    assert page.error is not None
    assert page.error["type"] in ("overloaded", "server_failed")  # in the words of the wire
    assert page.text == ""
    assert not page.done
    assert [row["status"] for row in host.wait_for_rows("finished", "failed")] == [
        "finished",
        "failed",
    ]


def test_a_browser_that_does_not_read(host: Host) -> None:
    """Its model has to wait, others go on beside it, and when it leaves its row says so."""
    host.emulator.script(Behaviour(text=("x" * 10_000,) * 20_000, delay=0))
    tab = Tab(host)
    tab.read_until(b'"text"')
    for _ in range(3):
        assert post(host).status_code == 200
    assert host.emulator.requests[0].tokens_sent < 20_000
    tab.close()
    host.wait_for_rows("cancelled", "finished", "finished", "finished")


def test_the_pages(host: Host) -> None:
    """The chat page and the client, and their heads."""
    page = httpx.get(f"{host.url}/llm/")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    script = httpx.get(f"{host.url}/llm/llmkit.js")
    assert script.headers["content-type"].startswith("text/javascript")
    head = httpx.head(f"{host.url}/llm/llmkit.js")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == script.headers["content-type"]
    assert httpx.get(f"{host.url}/llm/nothing").status_code == 404


def test_head_of_a_stream_asks_nobody(host: Host) -> None:
    """HEAD is told the headers; no model is asked."""
    assert httpx.head(f"{host.url}/llm/stream", headers=host.user).status_code == 405
    path = "/apoem" if host.is_django and host.is_asgi else "/poem"
    answer = httpx.head(host.url + path)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert host.emulator.requests == []


def test_an_old_browser(host: Host) -> None:
    """HTTP/1.0 gets the answer to its end, which is the connection's."""
    body = json.dumps(SAY_HI).encode()
    answer = exchange(
        host,
        b"POST /llm/stream HTTP/1.0\r\nHost: x\r\nX-User: 7\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body),
        body,
    )
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    if b"chunked" in head.lower():  # uvicorn over httptools does not look at the version
        assert host.is_asgi
        rest = b"".join(rest.split(b"\r\n")[1::2])
    events = SSEDecoder().feed(rest)
    assert events[-1].data == "[DONE]"
    assert [row["status"] for row in host.rows()] == ["finished"]


BAD: list[tuple[str, bytes, dict[str, str], int]] = [
    ("text", json.dumps(SAY_HI).encode(), {"content-type": "text/plain"}, 415),
    ("a form", b"messages=hi", {"content-type": "application/x-www-form-urlencoded"}, 415),
    ("no type", json.dumps(SAY_HI).encode(), {"content-type": ""}, 415),
    ("nobody", json.dumps(SAY_HI).encode(), {"x-user": ""}, 401),
    ("not json", b"not json", {}, 400),
    ("a raw model id", json.dumps({**SAY_HI, "model": "openai:gpt-5"}).encode(), {}, 400),
    ("a system prompt", json.dumps({**SAY_HI, "system": "x"}).encode(), {}, 400),
    ("too long", b"x" * 200_000, {}, 413),
    (
        "another site",
        json.dumps(SAY_HI).encode(),
        {"cookie": "a=b", "origin": "https://evil.example"},
        403,
    ),
    (
        "a wrong token",
        json.dumps(SAY_HI).encode(),
        {"cookie": f"csrftoken={'a' * 32}", "x-csrftoken": "b" * 32},
        403,
    ),
    ("no proof", json.dumps(SAY_HI).encode(), {"cookie": "a=b"}, 403),
]


@pytest.mark.parametrize(
    ("body", "headers", "status"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD]
)
@pytest.mark.parametrize("path", ["/llm/stream", "/llm/complete"])
def test_what_is_not_let_in(
    host: Host, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    """A status, a reason and a remedy in JSON; no model is asked."""
    sent = {**JSON, **host.user, **headers}
    answer = httpx.post(
        host.url + path,
        content=body,
        headers={name: value for name, value in sent.items() if value},
    )
    assert answer.status_code == status, answer.text
    assert leaks(answer.text, dict(answer.headers)) == []
    error: dict[str, Any] = answer.json()["error"]
    assert error["message"]
    assert error["hint"]
    assert host.emulator.requests == []


STRANGE = {
    "an origin that is no address": "Host: x\r\nOrigin: http://[\r\nCookie: a=b\r\n",
    "an origin of nowhere": "Host: \r\nOrigin: null\r\nCookie: a=b\r\n",
    "two origins": "Host: x\r\nOrigin: http://evil.example\r\nOrigin: http://x\r\nCookie: a=b\r\n",
    "two content types": "Host: x\r\nContent-Type: text/plain\r\n",
}


@pytest.mark.parametrize("strange", STRANGE)
def test_what_no_browser_sends(host: Host, strange: str) -> None:
    """Headers that make no sense are refused, by the server or by us, and nothing fails on them."""
    if strange == "two content types" and not host.is_asgi:
        pytest.skip("an old gunicorn shows the app one of them")
    body = json.dumps(SAY_HI).encode()
    answer = exchange(
        host,
        b"POST /llm/complete HTTP/1.1\r\nX-User: 7\r\nConnection: close\r\n"
        + STRANGE[strange].encode()
        + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body),
        body,
    )
    assert answer.split(b" ", 2)[1] in (b"400", b"403", b"415"), answer
    assert host.emulator.requests == []


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods(host: Host, method: str) -> None:
    """A stream is opened by POST alone."""
    answer = httpx.request(method, f"{host.url}/llm/stream", headers=host.user)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["type"] == "method_not_allowed"


def test_the_page_knows_its_visitor(host: Host) -> None:
    """By a hash, which is another for each user, and none for nobody; no cache may show it to others."""
    visitors = []
    for user in ("7", "7", "8", None):
        page = httpx.get(f"{host.url}/llm/", headers={"x-user": user} if user else {})
        assert page.status_code == 200
        assert "private" in page.headers["cache-control"]
        assert "cookie" in page.headers["vary"].lower()
        visitors.append(re.findall(r'<meta name="visitor" content="(\w+)">', page.text))
    seven, again, eight, nobody = visitors
    assert seven == again != eight
    assert [len(seven), len(eight), len(nobody)] == [1, 1, 0]


def test_users_are_told_apart(host: Host) -> None:
    """Each call is on the books of who made it."""
    for user in ("7", "8", "7"):
        assert post(host, **{"x-user": user}).status_code == 200
    assert [row["user_key"] for row in host.rows()] == ["7", "8", "7"]
