# Generated from tests/_async/test_ends.py. Do not edit.
"""Where an answer ends: complete only if its end was there, and its connection serves again."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from llmkit import Finish, LLMKitError, ProtocolError, StreamTruncated
from llmkit.testing import Behaviour, Emulator
from support.cycles import collecting
from support.kits import TRANSPORTS, make_kit
from support.rows import database, rows
from support.streams import (
    ANTHROPIC_STREAM,
    ANTHROPIC_TEXT,
    OPENAI_DONE,
    OPENAI_SPARSE_STREAM,
    OPENAI_STREAM,
    OPENAI_TEXT,
)

STORED = {
    "openai": (OPENAI_STREAM, OPENAI_TEXT),
    "anthropic": (ANTHROPIC_STREAM, ANTHROPIC_TEXT),
}
# The first bytes after which the answer has its end, if its connection breaks: with [DONE], with message_stop.
ENDS = {
    "openai": OPENAI_STREAM.index(b"[DONE]"),
    "anthropic": ANTHROPIC_STREAM.index(b'data: {"type":"message_stop"'),
}
# And if the server ends the body: the chunk that holds the finish reason is enough.
FINISH_REASON = OPENAI_STREAM.index(b'"finish_reason":"stop"')
# How the stream ends, and at every how many bytes. The decoders themselves are cut at each: tests/unit/test_decoders.py.
ENDINGS = [("cut", 5), ("reset", 7), ("body's end", 7)]


def cut(stream: bytes, at: int, ending: str) -> Behaviour:
    """Answer with a stored stream up to a byte."""
    if ending == "body's end":
        return Behaviour(body=stream[:at], content_type="text/event-stream")
    return Behaviour(
        body=stream, content_type="text/event-stream", cut_at=at, reset=ending == "reset"
    )


# What a stream that waits for the collector keeps from being freed.
HELD_BY_A_STREAM = (
    *("llmkit._", "llmkit.transport", "llmkit.call", "llmkit.errors", "llmkit.response"),
    *("llmkit.concurrency", "llmkit.ledger.record"),
    *("httpx", "httpcore", "h11", "aiohttp"),
)
FAILURES = [
    pytest.param(Behaviour(tokens=9, delay=0, **how), id=name)  # type: ignore[arg-type]
    for name, how in {
        "status": {"status": 500},
        "hung up": {"hang_up": True},
        "cut": {"cut_at": 900},
        "reset": {"cut_at": 900, "reset": True},
        "no end": {"terminal": False},
        "an error inside": {"error_frame_at": 2},
        "not JSON": {"malformed_at": 1},
        "fell silent": {"stall_at": 1},
    }.items()
]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("ending", "step"), ENDINGS)
@pytest.mark.parametrize("wire", sorted(STORED))
def test_a_stream_cut_at_any_byte(wire: str, ending: str, step: int, transport: str) -> None:
    """An error of a type with the partial text, or a complete answer if the end was there; no connection stays open."""
    stream, whole = STORED[wire]
    with Emulator() as emulator:
        kit = make_kit(emulator, wire=wire, transport=transport, retry={"attempts": 1})
        for at in range(0, len(stream), step):
            emulator.script(cut(stream, at, ending))
            said = ""
            try:
                with kit.client.stream("Say hi") as answer:
                    for text in answer.text():
                        said += text
            except LLMKitError as error:
                assert isinstance(error, StreamTruncated)
                partial = error.response.text if error.response is not None else ""
                assert partial == said
                assert whole.startswith(said)
            else:
                is_enough = wire == "openai" and ending == "body's end"
                assert at > (FINISH_REASON if is_enough else ENDS[wire])
                assert said == whole
                assert answer.response.stop_reason == "end"
        if ending != "body's end":
            emulator.wait_for_connections(0)
        kit.close()
        emulator.wait_for_connections(0)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("pieces", [None, 40])
@pytest.mark.parametrize("wire", sorted(STORED))
def test_nothing_is_said_twice(wire: str, pieces: int | None, transport: str) -> None:
    """What comes behind the end, a second answer with an end of its own, is no part of this one."""
    stream, whole = STORED[wire]
    twice = Behaviour(body=stream + stream, content_type="text/event-stream", chunk_size=pieces)
    with Emulator(behaviour=twice) as emulator:
        kit = make_kit(emulator, wire=wire, transport=transport)
        with kit.client.stream("Say hi") as answer:
            said = [text for text in answer.text()]
        kit.close()
        assert len(emulator.requests) == 1
    assert "".join(said) == answer.response.text == whole


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("wire", sorted(STORED))
def test_a_second_answer_inside_the_first(wire: str, transport: str) -> None:
    """A proxy that asks again before the end: an error with what the first one said, and no more requests."""
    first = ANTHROPIC_STREAM[: ANTHROPIC_STREAM.index(b" \xf0\x9f")].rpartition(b"event:")[0]
    if wire == "openai":
        first = OPENAI_STREAM.removesuffix(OPENAI_DONE)
    spliced = Behaviour(body=first + STORED[wire][0], content_type="text/event-stream")
    with Emulator(behaviour=spliced) as emulator:
        kit = make_kit(emulator, wire=wire, transport=transport)
        said = ""
        with pytest.raises(ProtocolError, match="a second answer") as caught:
            with kit.client.stream("Say hi") as answer:
                for text in answer.text():
                    said += text
        kit.close()
        assert len(emulator.requests) == 1
    assert said == (OPENAI_TEXT if wire == "openai" else "Hello, wörld")
    assert caught.value.response is not None
    assert caught.value.response.text == said


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_silence_after_a_finish_reason_is_the_end(transport: str, tmp_path: Path) -> None:
    """A server that says why it stops and then nothing, with the connection open, has finished; it costs no failure."""
    body = Behaviour(body=OPENAI_SPARSE_STREAM, content_type="text/event-stream", stall_at=1)
    with Emulator(behaviour=body) as emulator:
        kit = make_kit(
            emulator, wire="openai", transport=transport, ledger={"database": database(tmp_path)}
        )
        with kit.client.stream("Say hi") as stream:
            said = [text for text in stream.text()]
        emulator.wait_for_connections(0)
        kit.close()
    assert said == ["Hi"]
    assert stream.response.stop_reason == "max_tokens"
    assert [row["status"] for row in rows(tmp_path)] == ["finished"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("ending", ["cut", "reset", "half an event", "body's end"])
def test_a_break_after_a_finish_reason(ending: str, transport: str, tmp_path: Path) -> None:
    """A connection that breaks before the end marker has cut the answer; a server that ends the body has not."""
    stored = Behaviour(body=OPENAI_SPARSE_STREAM + b": more\n\n", content_type="text/event-stream")
    broken = replace(stored, cut_at=len(OPENAI_SPARSE_STREAM), reset=ending == "reset")
    half = replace(stored, body=OPENAI_SPARSE_STREAM + b'data: {"usa', framing="close")
    behaviour = {"half an event": half, "body's end": stored}.get(ending, broken)
    with Emulator(behaviour=behaviour) as emulator:
        kit = make_kit(
            emulator,
            wire="openai",
            transport=transport,
            retry={"attempts": 1},
            ledger={"database": database(tmp_path)},
        )
        said, failure = "", None
        try:
            with kit.client.stream("Say hi") as stream:
                for text in stream.text():
                    said += text
        except StreamTruncated as error:
            failure = error
        kit.close()
    assert (failure is None) == (ending == "body's end")
    assert said in (("Hi",) if ending in ("half an event", "body's end") else ("Hi", ""))
    assert [row["status"] for row in rows(tmp_path)] == ["truncated" if failure else "finished"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "text/html"])
@pytest.mark.parametrize("wire", sorted(STORED))
def test_an_event_stream_by_another_name(
    wire: str, content_type: str, transport: str
) -> None:
    """A server that does not say that it sends an event stream is read as one all the same."""
    stream, whole = STORED[wire]
    stored = Behaviour(body=stream, content_type=content_type, chunk_size=3)
    with Emulator(behaviour=stored) as emulator:
        kit = make_kit(emulator, wire=wire, transport=transport)
        with kit.client.stream("Say hi") as answer:
            said = [text for text in answer.text()]
        kit.close()
    assert "".join(said) == whole
    assert answer.response.stop_reason == "end"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("wire", sorted(STORED))
def test_a_stream_leaves_its_connection_for_the_next(wire: str, transport: str) -> None:
    """What follows the end marker is read, so that streams one after the other go over one connection."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        kit = make_kit(emulator, wire=wire, transport=transport)
        for _ in range(3):
            with kit.client.stream("Say hi") as stream:
                for _ in stream:
                    pass
            assert emulator.open_connections == 1
        kit.close()
    assert len(emulator.requests) == 3


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_follows_the_end_is_not_read_for_ever(transport: str) -> None:
    """A server that goes on and on after its end marker is left after a while; the answer is complete."""
    flood = b"".join([OPENAI_SPARSE_STREAM, OPENAI_DONE, b": more\n\n" * 100_000])
    body = Behaviour(body=flood, content_type="text/event-stream", chunk_size=1000)
    with Emulator(behaviour=body) as emulator:
        kit = make_kit(emulator, wire="openai", transport=transport)
        with kit.client.stream("Say hi") as stream:
            said = [text for text in stream.text()]
        emulator.wait_for_connections(0)
        kit.close()
    assert said == ["Hi"]


def test_what_has_finished_is_on_the_books(tmp_path: Path) -> None:
    """When Finish is handed on the row is closed; the text before it does not wait for that."""
    with Emulator(behaviour=Behaviour(text="Hi", delay=0)) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        seen = []
        with kit.client.stream("Say hi") as stream:
            for event in stream:
                (row,) = rows(tmp_path)
                seen.append((type(event) is Finish, row["status"]))
        kit.close()
    assert seen == [(False, "started"), (True, "finished")]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_stream_is_not_held_back(encoding: str, transport: str) -> None:
    """A provider or a proxy that compresses all the same: each token is there before the next is sent."""
    whole = Behaviour(tokens=3, delay=0, encoding=encoding)  # type: ignore[arg-type]
    with Emulator(behaviour=whole) as emulator:
        emulator.script(replace(whole, hold_at=2))
        kit = make_kit(emulator, transport=transport)
        said = []
        with kit.client.stream("Say hi") as stream:
            for text in stream.text():
                said.append(text)
                emulator.release()
        reply = kit.client.complete("Say hi")
        kit.close()
    assert len(said) == 3
    assert reply.text == "".join(said)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("how", ["to the end", "left early"])
def test_nothing_waits_for_the_collector(transport: str, how: str) -> None:
    """A stream that is over is freed at once: neither we nor the library below leave a cycle of references."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        kit = make_kit(emulator, transport=transport)

        def stream() -> None:
            with kit.client.stream("Say hi") as stream:
                while stream.read() is not None and how == "to the end":
                    pass

        stream()  # what is made once
        with collecting() as found:
            stream()
        kit.close()
    assert [name for name in found if name.startswith(HELD_BY_A_STREAM)] == []


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("failure", FAILURES)
def test_no_failure_waits_for_the_collector(transport: str, failure: Behaviour) -> None:
    """Nor does an error that was handled: its traceback knows the stream, and the stream does not know it any more."""
    with Emulator(behaviour=failure) as emulator:
        limits = {"retry": {"attempts": 1}, "timeouts": {"idle": 0.1, "total": 0.5}}
        kit = make_kit(emulator, transport=transport, **limits)

        def fail() -> None:
            with contextlib.suppress(LLMKitError):
                with kit.client.stream("Say hi") as stream:
                    for _ in stream:
                        pass
            with contextlib.suppress(LLMKitError):
                kit.client.complete("Say hi")

        fail()  # what is made once
        with collecting() as found:
            fail()
        kit.close()
    assert [name for name in found if name.startswith(HELD_BY_A_STREAM)] == []
