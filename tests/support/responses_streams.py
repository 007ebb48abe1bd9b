"""What OpenAI's Responses API sends, byte by byte, written by hand after developers.openai.com/api/docs/api-reference/responses-streaming."""

from __future__ import annotations

import json

HEAD = {"id": "resp_67c9", "object": "response", "model": "gpt-5-mini-2025-08-07"}
TEXT = "Hello, wörld 🌍\u2028\n!"
USAGE = {
    "input_tokens": 19,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 32},
    "total_tokens": 59,
}


def event(kind: str, **fields: object) -> bytes:
    """Write one event."""
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode(errors="backslashreplace")


def response(status: str, *output: object, **more: object) -> dict[str, object]:
    """Build a response."""
    return {**HEAD, "status": status, "service_tier": "default", "output": list(output), **more}


def added(index: int, **item: object) -> bytes:
    """Begin an item."""
    return event("response.output_item.added", output_index=index, item=item)


def done(index: int, **item: object) -> bytes:
    """End an item."""
    return event("response.output_item.done", output_index=index, item=item)


def text(delta: str, index: int = 0) -> bytes:
    """Write a piece of text."""
    return event("response.output_text.delta", output_index=index, content_index=0, delta=delta)


def arguments(delta: str, index: int) -> bytes:
    """Write a piece of the arguments of a call."""
    return event("response.function_call_arguments.delta", output_index=index, delta=delta)


def message(*texts: str) -> dict[str, object]:
    """Build a message."""
    content = [{"type": "output_text", "text": each, "annotations": []} for each in texts]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}


def called(name: str, said: str, call_id: str) -> dict[str, object]:
    """Build a call."""
    return {
        "type": "function_call",
        "id": "fc",
        "call_id": call_id,
        "name": name,
        "arguments": said,
    }


CREATED = event("response.created", response=response("in_progress"))
COMPLETED = event("response.completed", response=response("completed", usage=USAGE))
SAID = text("Hel") + text("lo, wörld") + text(" 🌍\u2028\n!")
STREAM = b"".join(
    [
        CREATED,
        event("response.in_progress", response=response("in_progress")),
        added(0, type="message", id="msg_1", role="assistant", content=[]),
        event(
            "response.content_part.added", output_index=0, part={"type": "output_text", "text": ""}
        ),
        SAID,
        event("response.output_text.done", output_index=0, text=TEXT),
        done(0, **message(TEXT)),
        COMPLETED,
    ]
)
SUMMARY = [
    {"type": "summary_text", "text": "Let me see…"},
    {"type": "summary_text", "text": "Aha."},
]
REASONING: dict[str, object] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": SUMMARY,
    "encrypted_content": "gAAAA",
}
THINKING_STREAM = b"".join(
    [
        CREATED,
        added(0, type="reasoning", id="rs_1", summary=[]),
        event("response.reasoning_summary_part.added", output_index=0, summary_index=0),
        event("response.reasoning_summary_text.delta", output_index=0, delta="Let me "),
        event("response.reasoning_summary_text.delta", output_index=0, delta="see…"),
        event("response.reasoning_summary_part.added", output_index=0, summary_index=1),
        event("response.reasoning_summary_text.delta", output_index=0, delta="Aha."),
        done(0, **REASONING),
        text("27", 1),
        done(1, **message("27")),
        event(
            "response.incomplete",
            response=response(
                "incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=USAGE
            ),
        ),
    ]
)
TOOL_STREAM = b"".join(
    [
        CREATED,
        done(0, type="web_search_call", id="ws_1", status="completed"),
        done(1, **REASONING),
        added(2, **called("f", "", "call_1")),
        added(3, **called("g", "", "call_2")),
        arguments('{"a": ', 2),
        arguments("{}", 3),
        arguments('"ä"}', 2),
        done(2, **called("f", '{"a": "ä"}', "call_1")),
        done(3, **called("g", "{}", "call_2")),
        event("invented.later", delta={"of": "another form"}),
        COMPLETED,
    ]
)
WHOLE_ITEMS_STREAM = b"".join(
    [
        CREATED,
        done(0, **REASONING),
        done(1, **message("Hi. ", "There.")),
        added(2, **called("f", "", "call_1")),
        done(2, **called("f", '{"a": 1}', "call_1")),
        done(3, **called("g", "{}", "call_2")),
        COMPLETED,
    ]
)
"""Of a server that sends no pieces."""
REFUSED_STREAM = b"".join(
    [
        CREATED,
        event("response.refusal.delta", output_index=0, delta="I will "),
        event("response.refusal.delta", output_index=0, delta="not."),
        done(0, type="message", content=[{"type": "refusal", "refusal": "I will not."}]),
        COMPLETED,
    ]
)
ERROR_STREAM = CREATED + text("Hel") + event("error", code="server_error", message="x", param=None)
FAILED_STREAM = b"".join(
    [
        CREATED,
        text("Hel"),
        event(
            "response.failed",
            response=response(
                "failed", error={"code": "server_error", "message": "x"}, usage=USAGE
            ),
        ),
    ]
)
DOCUMENT = json.dumps(
    response("completed", REASONING, message("Hi! ", "I am ä 🌍."), usage=USAGE),
    ensure_ascii=False,
).encode()
COMPLETE = (STREAM, THINKING_STREAM, TOOL_STREAM, WHOLE_ITEMS_STREAM, REFUSED_STREAM)
BROKEN = (ERROR_STREAM, FAILED_STREAM)
