"""What Ollama's own API sends, line by line, written by hand after docs/api.md and server/routes.go of github.com/ollama/ollama."""

from __future__ import annotations

import json

TEXT = "Hello, wörld 🌍\u2028!"
COUNTS = {
    "total_duration": 174560334,
    "load_duration": 101397084,
    "prompt_eval_count": 11,
    "prompt_eval_duration": 13074791,
    "eval_count": 18,
    "eval_duration": 52479709,
}


def line(content: str = "", *, done: bool = False, **more: object) -> bytes:
    """Write one line; what belongs to the message is given as `message_...`."""
    message = {"role": "assistant", "content": content}
    message |= {  # type: ignore[assignment]
        name.removeprefix("message_"): value
        for name, value in more.items()
        if name.startswith("message_")
    }
    rest = {name: value for name, value in more.items() if not name.startswith("message_")}
    head = {"model": "smollm2:135m", "created_at": "2026-11-01T12:00:00.123456Z"}
    document = {**head, "message": message, "done": done, **rest}
    return json.dumps(document, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def called(name: str, arguments: object, **more: object) -> dict[str, object]:
    """Write a call."""
    return {**more, "function": {"name": name, "arguments": arguments}}


DONE = line(done=True, done_reason="stop", **COUNTS)
STREAM = line("Hel") + line("lo, wörld") + line(" 🌍\u2028!") + DONE
THINKING_STREAM = b"".join(
    [
        line(message_thinking="Let me "),
        line(message_thinking="see…"),
        line("27"),
        line(done=True, done_reason="length", **COUNTS),
    ]
)
TOOL_STREAM = b"".join(
    [
        line("Let me look."),
        line(message_tool_calls=[called("f", {"a": "ä"}), called("f", {})]),
        line(message_tool_calls=[called("g", {"b": [1]}, id="call_x1")]),
        line(done=True, done_reason="stop", eval_count=18),
    ]
)
# Of an older server: no reason, and no count of a prompt that it had read before.
SPARSE_STREAM = line("Hi") + line(done=True, eval_count=2)
ERROR_STREAM = (
    line("Hel") + b'{"error":"an error was encountered while running the model: CUDA error"}\n'
)
DOCUMENT = line(
    "Hi! I am ä 🌍.", done=True, message_thinking="Hm.", done_reason="stop", **COUNTS
).rstrip()
COMPLETE = (STREAM, THINKING_STREAM, TOOL_STREAM, SPARSE_STREAM)
BROKEN = (ERROR_STREAM,)
