"""How large an answer may be, streamed and whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmkit import AnswerTooLarge
from llmkit.testing import Behaviour, Emulator
from support.kits import ASYNC_TRANSPORTS, make_kit
from support.rows import database, rows

MIB = 2**20


def streamed(size: int) -> Behaviour:
    """Stream so many MiB of text, a MiB at a time, and end."""
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * MIB}}
    usage = {"input_tokens": 1, "output_tokens": 1}
    events = [
        {"type": "message_start", "message": {"id": "m", "model": "m", "usage": usage}},
        *[delta] * size,
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    ]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return Behaviour(body=body.encode(), content_type="text/event-stream")


def whole(size: int) -> Behaviour:
    """Answer at once, with so many bytes of JSON."""
    answer = {
        "type": "message",
        "id": "m",
        "model": "m",
        "content": [{"type": "text", "text": ""}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    body = json.dumps(answer).encode()
    return Behaviour(body=body + b" " * (size - len(body)), content_type="application/json")


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_a_stream(tmp_path: Path, transport: str) -> None:
    """16 Mi characters are an answer; when more have come it is given up, with the text so far."""
    with Emulator() as emulator:
        books = {"database": database(tmp_path)}
        kit = make_kit(emulator, transport=transport, retry={"attempts": 1}, ledger=books)
        emulator.script(streamed(16), streamed(18))
        async with kit.async_client.stream("Say hi") as stream:
            assert sum([len(text) async for text in stream.text()]) == 16 * MIB
        with pytest.raises(
            AnswerTooLarge, match="the answer has more than 16,777,216 characters"
        ) as caught:
            async with kit.async_client.stream("Say hi") as stream:
                async for _ in stream:
                    pass
        await kit.aclose()
    assert caught.value.limit == 16 * MIB
    assert caught.value.response is not None
    assert len(caught.value.response.text) >= 16 * MIB
    _, row = rows(tmp_path)
    assert row["status"] == "failed"
    # What no model writes, none bills.
    assert (row["input_tokens"], row["output_tokens"], row["cost_usd"]) == (1, None, None)


def look(city: str) -> int:
    """Look at the thermometer."""
    return len(city)


@pytest.mark.anyio
async def test_what_is_held_back_counts() -> None:
    """Text beside the call of a tool may turn out to be none of the answer, and nobody is told of it before that."""
    piece = json.dumps({"message": {"role": "assistant", "content": "x" * MIB}, "done": False})
    body = (piece + "\n").encode() * 18 + b'{"message": {"content": ""}, "done": true}\n'
    with Emulator(behaviour=Behaviour(body=body, content_type="application/x-ndjson")) as emulator:
        kit = make_kit(emulator, wire="ollama", retry={"attempts": 1})
        with pytest.raises(AnswerTooLarge):
            async with kit.async_client.stream("Hi", tools=[look], output_type=list[int]) as stream:
                async for _ in stream:
                    pass
        await kit.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_a_whole_one(tmp_path: Path, transport: str) -> None:
    """32 MiB are an answer, and one byte more is given up."""
    with Emulator() as emulator:
        books = {"database": database(tmp_path)}
        kit = make_kit(emulator, transport=transport, retry={"attempts": 1}, ledger=books)
        emulator.script(whole(32 * MIB), whole(32 * MIB + 1))
        assert (await kit.async_client.complete("Say hi")).stop_reason == "end"
        with pytest.raises(
            AnswerTooLarge, match="the answer has more than 33,554,432 bytes"
        ) as caught:
            await kit.async_client.complete("Say hi")
        await kit.aclose()
    assert caught.value.limit == 32 * MIB
    assert [row["status"] for row in rows(tmp_path)] == ["finished", "failed"]
