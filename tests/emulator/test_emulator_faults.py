"""Each fault as a client on a bare socket sees it."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator

import pytest

from llmkit.testing import Behaviour, Emulator
from support.emulator import WIRES, RawClient, answer, ask, chunks, events, parts, text_of

SOUND = Behaviour(tokens=5, delay=0)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run an emulator whose sound answers have five tokens at once."""
    with Emulator(behaviour=SOUND) as running:
        yield running


@pytest.mark.parametrize("wire", WIRES)
def test_one_chunk_for_each_event(emulator: Emulator, wire: str) -> None:
    """A stream is chunked, and each event is a chunk of its own."""
    with RawClient(emulator) as client:
        received = client.send(wire).read_until(b"\r\n0\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"transfer-encoding: chunked" in head
    assert b"connection: keep-alive" in head
    assert all(chunk.endswith(b"\n\n") for chunk in chunks(body))
    assert len(chunks(body)) == len(b"".join(chunks(body)).split(b"\n\n")) - 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
def test_cut_at_a_byte(emulator: Emulator, wire: str, stream: bool) -> None:
    """The connection ends in order after exactly so many bytes of the body."""
    whole = len(ask(emulator, wire, stream=stream)[1])
    for at in range(0, whole, 17):
        emulator.script(Behaviour(tokens=5, delay=0, cut_at=at))
        with RawClient(emulator) as client:
            received = client.send(wire, stream=stream).read_all()
        assert b"\r\n0\r\n\r\n" not in received
        assert len(parts(received)[1]) == at


def test_cut_after_the_last_byte(emulator: Emulator) -> None:
    """A cut at the very end takes only the last HTTP chunk; one beyond it is none."""
    whole = ask(emulator, "openai")[1]
    for beyond in (0, 1):
        emulator.script(Behaviour(tokens=5, delay=0, cut_at=len(whole) + beyond))
        with RawClient(emulator) as client:
            client.send("openai", headers={"connection": "close"})
            received = client.read_all()
        assert received.endswith(b"0\r\n\r\n") == bool(beyond)
        assert parts(received)[1].endswith(b"data: [DONE]\n\n")


def test_cut_by_a_reset(emulator: Emulator) -> None:
    """A cut can be a TCP reset; what was sent before it arrives."""
    emulator.script(Behaviour(tokens=5, delay=0, cut_at=400, reset=True))
    with RawClient(emulator) as client:
        with pytest.raises(ConnectionResetError):
            client.send("anthropic").read_all()
        assert len(parts(client.received)[1]) == 400


@pytest.mark.parametrize("reset", [False, True])
def test_hang_up(emulator: Emulator, reset: bool) -> None:
    """The connection ends before a byte of an answer, in order or by a reset."""
    emulator.script(Behaviour(hang_up=True, reset=reset))
    with RawClient(emulator) as client:
        client.send("openai")
        if reset:
            with pytest.raises(ConnectionResetError):
                client.read_all()
        assert reset or client.read_all() == b""
    assert emulator.requests[0].status is None
    assert emulator.requests[0].state == "finished"


def test_no_answer_at_all(emulator: Emulator) -> None:
    """A request can be taken and never answered."""
    emulator.script(Behaviour(head_delay=math.inf))
    with RawClient(emulator) as client:
        assert client.send("openai").is_silent()
        assert emulator.requests[0].state == "answering"
    assert emulator.wait_until_gone(0).tokens_sent == 0


@pytest.mark.parametrize("wire", WIRES)
def test_stall(emulator: Emulator, wire: str) -> None:
    """After so many tokens nothing more comes, and the connection stays open."""
    emulator.script(Behaviour(text="a b c", delay=0, stall_at=2))
    with RawClient(emulator) as client:
        client.send(wire).read_until(b'" b"')
        assert client.is_silent()
        assert text_of(parts(client.received)[1]) == "a b"
        assert emulator.requests[0].tokens_sent == 2
        emulator.release()
        assert client.is_silent()
    assert emulator.wait_until_gone(0).tokens_sent == 2


@pytest.mark.parametrize("stall_at", [0, 3, 9])
def test_stall_before_the_first_token_and_after_the_last(emulator: Emulator, stall_at: int) -> None:
    """A stall may come before any token, or between the last one and the end; all ends it."""
    emulator.script(Behaviour(text="a b c", delay=0, stall_at=stall_at))
    with RawClient(emulator) as client:
        client.send("anthropic").read_until(b"ping" if stall_at == 0 else b'" c"')
        assert client.is_silent()
        assert text_of(parts(client.received)[1]) == ("a b c" if stall_at else "")
        emulator.release(None)
        client.read_until(b"message_stop")
        assert text_of(parts(client.received)[1]) == "a b c"


@pytest.mark.parametrize("wire", WIRES)
def test_hold_and_release(emulator: Emulator, wire: str) -> None:
    """A withheld token comes when it is released, and the end comes with the last one."""
    emulator.script(Behaviour(text="a b c", delay=0, hold_at=2))
    with RawClient(emulator) as client:
        client.send(wire).read_until(b'"a"')
        assert client.is_silent()
        emulator.release()
        client.read_until(b'" b"')
        assert client.is_silent()
        assert emulator.requests[0].tokens_sent == 2
        emulator.release()
        assert client.read_until(b"0\r\n\r\n").endswith(b"0\r\n\r\n")
        assert text_of(parts(client.received)[1]) == "a b c"


def test_hold_the_end(emulator: Emulator) -> None:
    """One more than there are tokens withholds what follows the last."""
    emulator.script(Behaviour(text="a b", delay=0, hold_at=3))
    with RawClient(emulator) as client:
        client.send("openai").read_until(b'" b"')
        assert client.is_silent()
        assert b"stop" not in client.received
        emulator.release()
        client.read_until(b"[DONE]")


def test_release_ahead(emulator: Emulator) -> None:
    """What is released before its turn is not withheld, and one request can be meant."""
    emulator.script(*[Behaviour(text="a b c d", delay=0, hold_at=2)] * 2)
    with RawClient(emulator) as first, RawClient(emulator) as second:
        first.send("openai").read_until(b'"a"')
        second.send("openai").read_until(b'"a"')
        emulator.release(3, index=1)
        second.read_until(b"[DONE]")
        assert first.is_silent()


def test_hold_an_answer_that_is_not_streamed(emulator: Emulator) -> None:
    """A whole answer waits for its last token."""
    emulator.script(Behaviour(text="a b", delay=0, hold_at=1))
    with RawClient(emulator) as client:
        assert client.send("openai", stream=False).is_silent()
        emulator.release()
        assert client.is_silent()
        assert emulator.requests[0].tokens_sent == 0
        emulator.release()
        client.read_until(b'"a b"')
    assert emulator.wait_until_ended(0).tokens_sent == 2


def test_time_between_tokens(emulator: Emulator) -> None:
    """The first token waits for its time, and so does the next."""
    emulator.script(Behaviour(text="a b", ttft=3600), Behaviour(text="a b", delay=3600))
    with RawClient(emulator) as client:
        assert b"content_block_start" in client.send("anthropic").read_until(b"ping")
        assert client.is_silent()
    with RawClient(emulator) as client:
        client.send("anthropic").read_until(b'"a"')
        assert client.is_silent()
    with RawClient(emulator) as client:
        emulator.script(Behaviour(text="a b", delay=0.01, ttft=0.01, head_delay=0.01))
        client.send("openai").read_until(b"[DONE]")


@pytest.mark.parametrize("wire", WIRES)
def test_pings_while_silent(emulator: Emulator, wire: str) -> None:
    """A stalled stream can be kept open by pings, or by comments, which are no tokens."""
    emulator.script(Behaviour(text="a b", delay=0, stall_at=1, pings=0.005))
    ping = b"event: ping" if wire == "anthropic" else b": ping"
    with RawClient(emulator) as client:
        client.send(wire).read_until(b'"a"')
        received = len(client.received)
        while client.received[received:].count(ping) < 3:
            client.received += client.socket.recv(65536)
        assert text_of(parts(client.received)[1]) == "a"


def test_no_end_marker_ends_in_order(emulator: Emulator) -> None:
    """A stream without its terminal events still ends with the last HTTP chunk."""
    emulator.script(Behaviour(tokens=5, delay=0, terminal=False))
    with RawClient(emulator) as client:
        received = client.send("openai").read_until(b"0\r\n\r\n")
    assert b'"finish_reason":"stop"' not in received
    assert b"[DONE]" not in received


@pytest.mark.parametrize("wire", WIRES)
def test_end_by_the_connection_alone(emulator: Emulator, wire: str) -> None:
    """A stream can have no other end than that of its connection, so that a cut looks like it."""
    emulator.script(Behaviour(tokens=5, delay=0, framing="close"))
    with RawClient(emulator) as client:
        received = client.send(wire).read_all()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"content-length" not in head
    assert b"connection: close" in head
    assert len(events(body)) > 5


def test_a_byte_a_write(emulator: Emulator) -> None:
    """Each byte of the body can be a chunk and a write of its own."""
    emulator.script(Behaviour(tokens=2, delay=0, chunk_size=1, chunk_delay=0))
    with RawClient(emulator) as client:
        received = client.send("openai").read_until(b"\r\n0\r\n\r\n")
    body = received.partition(b"\r\n\r\n")[2]
    assert {len(chunk) for chunk in chunks(body)} == {1}
    assert text_of(b"".join(chunks(body))) == "Hello! This"


def test_pieces_of_a_whole_answer(emulator: Emulator) -> None:
    """A whole answer in pieces keeps its content length, and its connection stays usable."""
    emulator.script(Behaviour(tokens=2, delay=0, chunk_size=50, chunk_delay=0.0001))
    with RawClient(emulator) as client:
        received = client.send("anthropic", stream=False).read_until(b'"service_tier":"standard"}}')
        assert b"content-length: " in received
        client.received = b""
        client.send("anthropic").read_until(b"message_stop")


@pytest.mark.parametrize("wire", WIRES)
def test_gzip_is_flushed_at_every_event(emulator: Emulator, wire: str) -> None:
    """A compressed stream can be read up to the last event that was sent."""
    emulator.script(Behaviour(text="a b", delay=0, stall_at=1, encoding="gzip"))
    with RawClient(emulator) as client:
        received = client.send(wire).read_until(b"\r\n\r\n")
        while text_of(zlib.decompressobj(31).decompress(parts(received)[1])) != "a":
            received += client.socket.recv(65536)
        assert parts(received)[0]["content-encoding"] == "gzip"
        emulator.release(None)
        received = received + client.socket.recv(65536)
        while not received.endswith(b"0\r\n\r\n"):
            received += client.socket.recv(65536)
    assert text_of(gzip.decompress(parts(received)[1])) == "a b"


def test_deflate(emulator: Emulator) -> None:
    """A whole answer can be compressed too."""
    emulator.script(Behaviour(tokens=3, delay=0, encoding="deflate"))
    headers, body = ask(emulator, "openai", stream=False)
    assert headers["content-encoding"] == "deflate"
    assert b"Hello! This answer" in zlib.decompress(body)


def test_keep_alive_that_is_not_kept(emulator: Emulator) -> None:
    """The connection can end after a full answer that promised to keep it."""
    emulator.script(Behaviour(tokens=2, delay=0, keep_alive=False))
    with RawClient(emulator) as client:
        received = client.send("openai").read_all()
    assert b"connection: keep-alive" in received
    assert received.endswith(b"0\r\n\r\n")


def test_error_status(emulator: Emulator) -> None:
    """An error is one document with its length, on a connection that stays open."""
    emulator.script(Behaviour(status=529, retry_after=3))
    with RawClient(emulator) as client:
        received = client.send("anthropic").read_until(b'"}')
        assert received.startswith(b"HTTP/1.1 529 Overloaded\r\n")
        assert b"retry-after: 3\r\n" in received
        client.received = b""
        client.send("anthropic").read_until(b"message_stop")


def test_status_without_a_body(emulator: Emulator) -> None:
    """A 204 has no body and no length."""
    emulator.script(Behaviour(status=204))
    headers, body = ask(emulator, "openai")
    assert headers[":status"] == "204"
    assert "content-length" not in headers
    assert body == b""


def test_redirect(emulator: Emulator) -> None:
    """A redirect is a status with a header."""
    emulator.script(Behaviour(status=307, headers={"location": "http://127.0.0.1:9/elsewhere"}))
    headers, _ = ask(emulator, "openai")
    assert headers[":status"] == "307"
    assert headers["location"] == "http://127.0.0.1:9/elsewhere"


def test_slow_reader_holds_up_only_itself(emulator: Emulator) -> None:
    """A client that does not read stops its own answer and no other; it goes on when it reads."""
    tokens = ("x" * 60_000,) * 300
    emulator.script(Behaviour(text=tokens, delay=0))
    with RawClient(emulator) as slow, RawClient(emulator) as other:
        slow.send("openai").read_until(b"xxx")
        other.send("openai").read_until(b"[DONE]")
        assert emulator.requests[0].state == "answering"
        last = b""
        while b"[DONE]" not in last:
            last = last[-10:] + slow.socket.recv(1_000_000)
    assert emulator.requests[0].tokens_sent == 300


def test_bytes_on_the_wire_are_the_composed_ones(emulator: Emulator) -> None:
    """What the pure half composes is what the socket carries."""
    body = ask(emulator, "anthropic")[1]
    composed = answer("anthropic", SOUND).body
    assert body.replace(b"000000000001", b"000000000007") == composed
