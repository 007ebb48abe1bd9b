"""Streams with calls of tools, changed anyhow: no call twice, and none with a half of its arguments."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.decoding import decode, stream_decoder
from support.streams import (
    ANTHROPIC_START,
    ANTHROPIC_STOP,
    OPENAI_DONE,
    anthropic_event,
    openai_chunk,
    openai_delta,
)

# How many changed streams are tried for each wire.
BY_HAND = "LLMKIT_TEST_MUTATIONS" in os.environ
MUTATIONS = int(os.environ.get("LLMKIT_TEST_MUTATIONS", "1000"))
PIECES = (
    ('{"city": "K', 'öln 🌍", "days', '": [1, 2]}'),
    ("{", "}"),
    ('{"text": "', 'He said: \\"{}\\""', "}"),
)


def openai() -> bytes:
    """Write three calls as OpenAI does, two of them interleaved."""
    heads = [
        {
            "index": at,
            "id": f"c{at}",
            "type": "function",
            "function": {"name": f"f{at}", "arguments": ""},
        }
        for at in range(3)
    ]
    said: list[dict[str, Any]] = []
    for head, pieces in zip(heads, PIECES, strict=True):
        said += [
            head,
            *({"index": head["index"], "function": {"arguments": text}} for text in pieces),
        ]
    said[2], said[4] = said[4], said[2]
    chunks = [openai_chunk(openai_delta(tool_calls=[each])) for each in said]
    return b"".join(
        [
            openai_chunk(openai_delta(content="Let me see.")),
            *chunks,
            openai_chunk(openai_delta("tool_calls")),
            OPENAI_DONE,
        ]
    )


def anthropic() -> bytes:
    """Write three calls as Anthropic does, behind thinking."""
    events = [ANTHROPIC_START]
    for at, pieces in enumerate(PIECES):
        start = {"type": "tool_use", "id": f"c{at}", "name": f"f{at}", "input": {}}
        events.append(anthropic_event("content_block_start", index=at, content_block=start))
        for text in pieces:
            delta = {"type": "input_json_delta", "partial_json": text}
            events.append(anthropic_event("content_block_delta", index=at, delta=delta))
        events.append(anthropic_event("content_block_stop", index=at))
    return b"".join(
        [
            *events,
            anthropic_event("message_delta", delta={"stop_reason": "tool_use"}),
            ANTHROPIC_STOP,
        ]
    )


WIRES = {"openai": openai(), "anthropic": anthropic()}


@st.composite
def changed(draw: st.DrawFn, data: bytes) -> bytes:
    """Change, lose, double or move a few bytes, or whole lines, or lose the end."""
    for _ in range(draw(st.integers(1, 3))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(1, 12))
        lines = data.splitlines(keepends=True)
        line = draw(st.integers(0, len(lines) - 1)) if lines else 0
        match draw(
            st.sampled_from(
                ["byte", "lose", "double", "end", "lose line", "double line", "move line"]
            )
        ):
            case "byte":
                data = data[:at] + draw(st.binary(min_size=1, max_size=1)) + data[at + 1 :]
            case "lose":
                data = data[:at] + data[at + length :]
            case "double":
                data = data[: at + length] + data[at:]
            case "end":
                data = data[:at]
            case "lose line":
                data = b"".join(lines[:line] + lines[line + 1 :])
            case "double line":
                data = b"".join(lines[: line + 1] + lines[line:])
            case _:
                data = b"".join(lines[line:] + lines[:line])
    return data


def written(data: bytes) -> Iterator[Any]:
    """Read what stands in the lines up to the end of the answer, without a thought for what they mean."""
    for line in data.splitlines():
        said = line.partition(b"data:")[2].strip()
        if said in (b"[DONE]", b'{"type":"message_stop"}'):
            return
        with suppress(ValueError):
            yield json.loads(said.decode(errors="replace"))


def arguments_in(data: bytes) -> Iterator[object]:
    """Put pieces of arguments together by what they say they belong to, or by what came last."""
    texts: dict[object, str] = {}
    at: object = None
    for event in written(data):
        with suppress(AttributeError, KeyError, TypeError, IndexError):
            if "choices" in event:
                for each in event["choices"][0]["delta"]["tool_calls"]:
                    at = each.get("index", at)
                    texts[at] = texts.get(at, "") + each["function"]["arguments"]
            elif "content_block" in event:
                at = event.get("index", 0)
                texts.setdefault(at, "")
            else:
                texts[event.get("index", at)] += event["delta"]["partial_json"]
    for text in texts.values():
        with suppress(ValueError):
            yield json.loads(text or "{}")


@pytest.mark.parametrize("wire", WIRES)
def test_mutations(wire: str) -> None:
    """Whatever happens to a stream."""

    @settings(
        max_examples=MUTATIONS,
        derandomize=not BY_HAND,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=changed(WIRES[wire]))
    def holds(data: bytes) -> None:
        outcome = decode(stream_decoder(wire), [data])
        ids = [call.id for call in outcome.calls]
        assert len(set(ids)) == len(ids)
        assert outcome.finish is not None or not outcome.calls
        said = list(arguments_in(data))
        for call in outcome.calls:
            assert call.name
            assert call.arguments in said

    holds()
