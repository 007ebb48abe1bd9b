"""The emulator as an HTTP server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from llmkit import Client
from llmkit.errors import ConnectionFailed
from llmkit.testing import Behaviour, Emulator
from llmkit.testing.emulator.http import RequestError, RequestParser
from support.emulator import KEYS, PATHS, RawClient, ask, body_of, parts
from support.kits import settings


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run an emulator whose answers have three tokens at once."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as running:
        yield running


def test_connections_are_kept(emulator: Emulator) -> None:
    """One connection carries one request after the other, of both wires."""
    with RawClient(emulator) as client:
        for wire, end in (("anthropic", b"message_stop"), ("openai", b"[DONE]")) * 2:
            client.received = b""
            client.send(wire).read_until(end)
            client.read_until(b"\r\n0\r\n\r\n")
    assert [request.connection for request in emulator.requests] == [0] * 4


def test_requests_sent_ahead_are_answered_in_order(emulator: Emulator) -> None:
    """A second request that comes before the first is answered waits its turn."""
    with RawClient(emulator) as client:
        client.send("anthropic").send("openai")
        received = client.read_until(b"[DONE]")
    assert received.index(b"message_stop") < received.index(b"chat.completion.chunk")


def test_connection_close_is_honoured(emulator: Emulator) -> None:
    """A client that asks for it gets its connection closed, and is told so."""
    headers, _ = ask(emulator, "openai", stream=False)
    assert headers["connection"] == "close"


def test_http_1_0(emulator: Emulator) -> None:
    """An HTTP/1.0 client gets its answer and the end of the connection."""
    with RawClient(emulator) as client:
        client.socket.sendall(b"GET /v1/models HTTP/1.0\r\n\r\n")
        assert b"connection: close" in client.read_all()


def test_a_client_that_speaks_tls(emulator: Emulator) -> None:
    """It gets the end of the connection at once: to wait for the rest of its request would be to wait for ever."""
    with RawClient(emulator) as client:
        client.socket.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert client.read_all() == b""
    config = settings(emulator, retry={"attempts": 1})
    config["providers"]["anthropic"]["base_url"] = emulator.base_url.replace("http:", "https:")
    with (
        Client.from_config(config) as caller,
        pytest.raises(ConnectionFailed, match="could not connect"),
    ):
        caller.complete("hi")


def test_expect_100_continue(emulator: Emulator) -> None:
    """A client that waits for leave to send its body gets it, once."""
    document = json.dumps(body_of("openai")).encode()
    with RawClient(emulator) as client:
        head = (
            f"POST {PATHS['openai']} HTTP/1.1\r\nexpect: 100-continue\r\n"
            f"authorization: Bearer k\r\ncontent-length: {len(document)}\r\n\r\n"
        )
        client.socket.sendall(head.encode())
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.socket.sendall(document[:10])
        client.socket.sendall(document[10:])
        received = client.read_until(b"[DONE]")
    assert received.count(b"100 Continue") == 1


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"400 Bad Request"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"411 Length Required"),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", b"413 "),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 70_000, b"431 "),
    ],
    ids=["line", "length", "chunked", "body", "head"],
)
def test_bad_requests(emulator: Emulator, request_bytes: bytes, status: bytes) -> None:
    """What cannot be read is refused with the reason, and the connection ends."""
    with RawClient(emulator) as client:
        client.socket.sendall(request_bytes)
        received = client.read_all()
    assert received.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in received


def test_unknown_paths_and_methods(emulator: Emulator) -> None:
    """An unknown path is a 404 and a wrong method a 405, with the vendor's error body."""
    with RawClient(emulator) as client:
        received = client.request("GET", "/v2/x", headers=KEYS["anthropic"]).read_until(b"req_")
        assert received.startswith(b"HTTP/1.1 404 Not Found")
        assert b'"type":"not_found_error"' in received
    with RawClient(emulator) as client:
        received = client.request("POST", "/v2/x").read_until(b"}}")
        assert b'"type":"invalid_request_error"' in received
    with RawClient(emulator) as client:
        assert b" 405 " in client.request("GET", PATHS["openai"]).read_until(b"}}")
    with RawClient(emulator) as client:
        client.request("HEAD", PATHS["openai"], headers={"connection": "close"})
        headers, body = parts(client.read_all())
        assert (headers[":status"], body) == ("405", b"")


def test_models(emulator: Emulator) -> None:
    """Both vendors' lists of models are there, told apart by Anthropic's version header."""
    with RawClient(emulator) as client:
        client.request("GET", "/v1/models?limit=5", headers={"connection": "close"})
        assert json.loads(parts(client.read_all())[1])["object"] == "list"
    with RawClient(emulator) as client:
        headers = {"connection": "close", "anthropic-version": "2023-06-01"}
        client.request("GET", "/v1/models", headers=headers)
        assert json.loads(parts(client.read_all())[1])["has_more"] is False


def test_refusals_use_no_behaviour(emulator: Emulator) -> None:
    """A request that the vendor would refuse is refused, and the script waits for a sound one."""
    emulator.script(Behaviour(status=503))
    assert ask(emulator, "anthropic", max_tokens=0)[0][":status"] == "400"
    assert ask(emulator, "anthropic")[0][":status"] == "503"
    assert ask(emulator, "anthropic")[0][":status"] == "200"


def test_no_key_needed() -> None:
    """An emulator can stand for a local server that wants no key."""
    with Emulator(require_key=False) as emulator, RawClient(emulator) as client:
        document = json.dumps(body_of("openai")).encode()
        client.request("POST", PATHS["openai"], document).read_until(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_parser_at_every_split(size: int) -> None:
    """Requests are read the same however their bytes are split."""
    request = b"POST /a?b=c HTTP/1.1\r\nX-Y: z\r\ncontent-length: 3\r\n\r\nabc"
    data = request + b"\r\n" + request
    parser, found = RequestParser(), []
    for at in range(0, len(data), size):
        parser.feed(data[at : at + size])
        while (each := parser.next()) is not None:
            found.append(each)
    assert [(each.path, dict(each.headers)["x-y"], each.body) for each in found] == [
        ("/a", "z", b"abc")
    ] * 2


def test_parser_errors_say_which_status() -> None:
    """The parser raises with the status to answer with."""
    parser = RequestParser()
    parser.feed(b"GET\r\n\r\n")
    with pytest.raises(RequestError) as raised:
        parser.next()
    assert raised.value.status == 400
