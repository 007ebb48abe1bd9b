"""Steering the emulator and seeing what it received, in the process and over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from llmkit.testing import Behaviour, Emulator
from support.emulator import RawClient, ask, parts


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run an emulator whose answers have three tokens at once."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as running:
        yield running


def control(emulator: Emulator, method: str, name: str, document: Any = None) -> tuple[str, Any]:
    """Use one of the emulator's own routes; return the status and the JSON."""
    body = b"" if document is None else json.dumps(document).encode()
    with RawClient(emulator) as client:
        headers = {"connection": "close", "content-type": "application/json"}
        client.request(method, f"/_emulator/{name}", body, headers)
        headers, answer = parts(client.read_all())
    return headers[":status"], json.loads(answer)


def test_script_is_used_in_order(emulator: Emulator) -> None:
    """The scripted behaviours serve the next requests in order; then the default serves."""
    emulator.script(Behaviour(status=429), Behaviour(status=500))
    emulator.script(Behaviour(text="third"))
    statuses = [ask(emulator, "openai")[0][":status"] for _ in range(2)]
    assert statuses == ["429", "500"]
    assert b"third" in ask(emulator, "openai")[1]
    assert b"Hello!" in ask(emulator, "openai")[1]
    emulator.behaviour = Behaviour(text="new default", delay=0)
    assert b" default" in ask(emulator, "openai")[1]


def test_a_script_is_of_behaviours(emulator: Emulator) -> None:
    """A list of them is refused where it is given, not in the next request."""
    with pytest.raises(TypeError, match=r"^script\(\) takes Behaviours, not a list$"):
        emulator.script([Behaviour()])  # type: ignore[arg-type]


def test_what_was_received(emulator: Emulator) -> None:
    """A request is kept with its body and headers, without keys, and shows no prompt in its repr."""
    headers = {"cookie": "session=canary", "x-app": "1", "connection": "close"}
    with RawClient(emulator) as client:
        client.send("openai", headers=headers, user="u1").read_all()
    (request,) = emulator.requests
    assert (request.index, request.method, request.path) == (0, "POST", "/v1/chat/completions")
    assert request.body["user"] == "u1"
    assert request.headers["x-app"] == "1"
    assert (request.status, request.state, request.tokens_sent) == (200, "finished", 3)
    assert "canary" not in repr(request) + str(dict(request.headers))
    assert "Hello" not in repr(request)


def test_a_client_that_leaves_is_noticed(emulator: Emulator) -> None:
    """The answer stops when its client leaves, and says how far it had come."""
    emulator.script(Behaviour(tokens=100_000, delay=0.001))
    with RawClient(emulator) as client:
        client.send("anthropic", max_tokens=100_000)
        assert emulator.wait_for_tokens(5).state == "answering"
    request = emulator.wait_until_gone(0)
    assert 5 <= request.tokens_sent < 100_000
    emulator.wait_for_connections(0)
    assert emulator.requests == [request]


def test_half_a_goodbye_is_one(emulator: Emulator) -> None:
    """A client that closes its sending half counts as gone, at once."""
    emulator.script(Behaviour(stall_at=1, delay=0))
    with RawClient(emulator) as client:
        client.send("openai").read_until(b"Hello!")
        client.socket.shutdown(1)
        assert emulator.wait_until_gone(0).tokens_sent == 1


def test_waiting_is_woken_from_another_thread(emulator: Emulator) -> None:
    """Who waits for a request wakes when it comes."""
    seen: list[int] = []
    waiter = threading.Thread(target=lambda: seen.append(len(emulator.wait_for_requests(2))))
    waiter.start()
    ask(emulator, "openai")
    ask(emulator, "openai")
    waiter.join(5)
    assert seen == [2]


def test_waiting_in_vain(emulator: Emulator) -> None:
    """A wait that ends without its event says what it waited for, and what there was instead."""
    ask(emulator, "openai")
    with pytest.raises(
        TimeoutError, match=r"0\.01 s for 2 requests.*#0 finished \(3 tokens sent\)"
    ):
        emulator.wait_for_requests(2, timeout=0.01)
    with pytest.raises(TimeoutError, match="client of request 0 to leave"):
        emulator.wait_until_gone(0, timeout=0.01)
    with pytest.raises(TimeoutError, match="end of request 5"):
        emulator.wait_until_ended(5, timeout=0.01)
    with pytest.raises(TimeoutError, match="9 tokens of request 0"):
        emulator.wait_for_tokens(9, timeout=0.01)
    with pytest.raises(TimeoutError, match="7 open connections"):
        emulator.wait_for_connections(7, timeout=0.01)


def test_open_connections(emulator: Emulator) -> None:
    """Connections are counted while they are open."""
    assert emulator.open_connections == 0
    with RawClient(emulator), RawClient(emulator):
        emulator.wait_for_connections(2)
    emulator.wait_for_connections(0)


def test_reset(emulator: Emulator) -> None:
    """A reset drops script, requests and answers under way, and restores the first default."""
    emulator.behaviour = Behaviour(stall_at=0)
    emulator.script(Behaviour(stall_at=0), Behaviour(status=500))
    with RawClient(emulator) as client:
        client.send("openai").read_until(b"assistant")
        emulator.reset()
        assert emulator.requests == []
        assert not client.is_silent(5)
    assert ask(emulator, "openai")[0][":status"] == "200"
    assert emulator.requests[0].index == 0


def test_only_the_newest_requests_are_kept() -> None:
    """Old requests are forgotten, so that an emulator may run for days; indexes go on."""
    with Emulator(behaviour=Behaviour(tokens=1, delay=0), keep_requests=2) as emulator:
        for _ in range(3):
            ask(emulator, "openai")
        assert [request.index for request in emulator.requests] == [1, 2]
        assert emulator.wait_until_ended(2).state == "finished"
        assert len(emulator.wait_for_requests(3)) == 2


def test_start_and_stop() -> None:
    """An emulator starts and stops again and again, twice each if need be, and frees its port."""
    emulator = Emulator(behaviour=Behaviour(delay=0))
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.base_url
    with emulator:
        address = emulator.base_url
        assert emulator.openai_base_url == f"{address}/v1"
        with pytest.raises(RuntimeError, match="already running"):
            emulator.start()
        assert ask(emulator, "openai")[0][":status"] == "200"
    emulator.stop()
    with emulator.start() as again:
        assert again.base_url == address
    assert not [each for each in threading.enumerate() if each.name == "llmkit-emulator"]


def test_stop_ends_what_is_under_way(emulator: Emulator) -> None:
    """Stopping closes all connections, in whatever state they are."""
    emulator.script(Behaviour(stall_at=0), Behaviour(head_delay=3600))
    with RawClient(emulator) as idle, RawClient(emulator) as silent, RawClient(emulator) as stalled:
        emulator.wait_for_connections(3)
        stalled.send("openai").read_until(b"assistant")
        silent.send("openai")
        emulator.wait_for_requests(2)
        emulator.stop()
        for client in (idle, silent, stalled):
            assert not client.is_silent(5)
    assert emulator.open_connections == 0


def test_ipv6() -> None:
    """The address may be an IPv6 one; the URL has it in brackets."""
    try:
        emulator = Emulator(host="::1").start()
    except OSError:
        pytest.skip("no IPv6 here")
    with emulator:
        assert emulator.base_url.startswith("http://[::1]:")


def test_control_over_http(emulator: Emulator) -> None:
    """Another process scripts, releases, looks and resets as a test does."""
    script = [{"text": "a b", "delay": 0, "hold_at": 2}, {"status": 529}]
    assert control(emulator, "POST", "script", script) == ("200", {"scripted": 2})
    with RawClient(emulator) as client:
        client.send("openai").read_until(b'"a"')
        assert client.is_silent()
        assert control(emulator, "POST", "release", {"n": 1})[0] == "200"
        client.read_until(b"[DONE]")
    assert ask(emulator, "anthropic")[0][":status"] == "529"
    status, requests = control(emulator, "GET", "requests")
    assert status == "200"
    assert [each["state"] for each in requests] == ["finished", "finished"]
    assert [each["tokens_sent"] for each in requests] == [2, 0]
    assert requests[1]["headers"]["x-api-key"] == "[redacted]"
    assert control(emulator, "POST", "script", {"status": 500})[1] == {"scripted": 1}
    assert control(emulator, "POST", "reset") == ("200", {"reset": True})
    assert control(emulator, "GET", "requests")[1] == []
    assert ask(emulator, "openai")[0][":status"] == "200"


@pytest.mark.parametrize(
    ("method", "name", "document", "status", "words"),
    [
        ("POST", "script", [{"tokenz": 1}], "400", "there is no setting 'tokenz'"),
        ("POST", "script", [{"status": 429}, {"delay": -1}], "400", "delay must be"),
        ("POST", "script", "x", "400", "a JSON object"),
        ("POST", "release", {"n": "all"}, "400", "whole numbers"),
        ("GET", "script", None, "404", "POST /_emulator/script"),
    ],
)
def test_control_errors(
    emulator: Emulator, method: str, name: str, document: Any, status: str, words: str
) -> None:
    """A wrong use of the controls is refused with the reason, and changes nothing."""
    answer = control(emulator, method, name, document)
    assert answer[0] == status
    assert words in answer[1]["error"]["message"]
    assert ask(emulator, "openai")[0][":status"] == "200"


@pytest.mark.parametrize("name", ["script", "release", "reset"])
@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "text/json"]
)
def test_no_page_of_the_web_steers_it(
    emulator: Emulator, name: str, content_type: str | None
) -> None:
    """What a browser sends to any address without asking first changes nothing."""
    emulator.script(Behaviour(status=500))
    headers = {"connection": "close"} | ({"content-type": content_type} if content_type else {})
    with RawClient(emulator) as client:
        client.request("POST", f"/_emulator/{name}", b'{"status": 429}', headers)
        answer, body = parts(client.read_all())
    assert answer[":status"] == "415"
    assert b"application/json" in body
    assert ask(emulator, "openai")[0][":status"] == "500"


@pytest.mark.parametrize("path", ["/_emulator/requests", "/v1/models"])
def test_it_answers_to_its_own_name_alone(emulator: Emulator, path: str) -> None:
    """A page that points its own name at this address is told that it is wrong here."""
    for host, status in (("127.0.0.1:1", "200"), ("localhost", "200"), ("evil.example", "421")):
        with RawClient(emulator) as client:
            client.request("GET", path, b"", {"connection": "close", "host": host})
            assert parts(client.read_all())[0][":status"] == status
