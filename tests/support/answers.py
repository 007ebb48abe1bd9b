"""Short answers on both wires, streamed and whole, with whatever a test puts into them."""

from __future__ import annotations

import json

from support.decoding import Outcome, decode, stream_decoder, whole_decoder
from support.streams import (
    ANTHROPIC_STOP,
    OPENAI_DONE,
    anthropic_event,
    openai_chunk,
    openai_data,
    openai_delta,
)

FORMS = [(wire, how) for wire in ("anthropic", "openai") for how in ("streamed", "whole")]


def frames(wire: str, *texts: str, usage: object = None, thinking: bool = False) -> list[bytes]:
    """Write the events of an answer, a delta for each text."""
    if wire == "openai":
        field = "reasoning" if thinking else "content"
        said = [openai_chunk(openai_delta(**{field: text})) for text in texts]
        return [*said, openai_chunk(openai_delta("stop")), openai_chunk(usage=usage), OPENAI_DONE]
    field = "thinking" if thinking else "text"
    said = [
        anthropic_event("content_block_delta", delta={"type": f"{field}_delta", field: text})
        for text in texts
    ]
    message = {"id": "msg_1", "model": "c", "usage": usage}
    end = anthropic_event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
    return [anthropic_event("message_start", message=message), *said, end, ANTHROPIC_STOP]


def document(wire: str, *texts: str, usage: object = None) -> dict[str, object]:
    """Build a whole answer, a part for each text."""
    content = [{"type": "text", "text": text} for text in texts]
    head = {"id": "a_1", "model": "m-1", "usage": usage}
    if wire == "openai":
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {**head, "object": "chat.completion", "choices": [choice]}
    return {**head, "type": "message", "content": content, "stop_reason": "end_turn"}


def answer(wire: str, how: str, *texts: str, usage: object = None) -> Outcome:
    """Decode an answer of one form."""
    if how == "streamed":
        return decode(stream_decoder(wire), frames(wire, *texts, usage=usage))
    body = json.dumps(document(wire, *texts, usage=usage)).encode()
    return decode(whole_decoder(wire), [body])


def data(value: object) -> bytes:
    """Write an event without a name."""
    return openai_data(value)
