"""Ollama's own API, as its server speaks: POST /api/chat.

Source: github.com/ollama/ollama, docs/api.md, api/types.go and server/routes.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llmkit.testing.emulator.answer import Answer, Ask, ToolUse
from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.checks.ollama import check
from llmkit.testing.emulator.wires.base import (
    MODELS,
    Failure,
    Frames,
    Script,
    Stamp,
    as_json,
    to_json,
)

_STOP_REASONS = {
    "end": "stop",
    "pause": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "stop",
    "refusal": "stop",
    "content_filter": "stop",
}
_ERRORS = {
    400: "invalid request",
    401: "unauthorized",
    404: "model 'a-model' not found",
    429: "too many requests",
    503: "server busy, please try again. maximum pending requests exceeded",
}


class OllamaWire:
    """The chat API: a document a line, of which the last says that it is done. It has no keepalive."""

    name = "ollama"
    stream_type = "application/x-ndjson"
    ping = None
    broken = b'{"model":"m","message":{"role":"assistant","con\n'

    def answers_at(self, path: str) -> bool:
        """Whether a model answers there."""
        return path == "/api/chat"

    def lists_at(self, path: str) -> bool:
        """Whether the models are listed there."""
        return path == "/api/tags"

    def is_meant(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request was meant for this vendor."""
        return path.startswith("/api/")

    def check(
        self, headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str = ""
    ) -> Ask | Failure:
        """Say what the request asks for, or why the vendor would refuse it. It asks for no key."""
        return check(body)

    def stream(self, ask: Ask, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> Script:
        """Write a line for each token, a call whole with its last one, and the line that is done."""
        tokens: list[Frames] = [
            (_line(answer, stamp, {"content": "" if thinks else piece, **thought}, done=False),)
            for thinks, piece in (
                *((True, piece) for piece in answer.thinking),
                *((False, piece) for piece in answer.text),
            )
            for thought in ({"thinking": piece} if thinks else {},)
        ]
        for number, call in enumerate(answer.calls):
            tokens += [()] * (len(call.pieces) - 1)
            said = {"content": "", "tool_calls": [_call(call, number)]}
            tokens.append((_line(answer, stamp, said, done=False),))
        last = _line(answer, stamp, {"content": ""}, done=True, **_ending(answer, behaviour))
        return Script((), tokens, (last,))

    def whole(self, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> bytes:
        """Write a ChatResponse."""
        message: dict[str, Any] = {"content": "".join(answer.text)}
        if answer.thinking:
            message["thinking"] = "".join(answer.thinking)
        if answer.calls:
            message["tool_calls"] = [_call(call, at) for at, call in enumerate(answer.calls)]
        if not behaviour.terminal:
            return _line(answer, stamp, message, done=False)
        return _line(answer, stamp, message, done=True, **_ending(answer, behaviour))

    def failure(self, status: int, behaviour: Behaviour) -> Failure:
        """Describe a failure that the behaviour asks for: a sentence is all that there is of it."""
        message = _ERRORS.get(
            status,
            "invalid request" if 300 <= status < 500 else "llama runner process has terminated",
        )
        return Failure(status, "", message if behaviour.message is None else behaviour.message)

    def error_body(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write an error body."""
        return to_json({"error": failure.message})

    def error_frame(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write an error inside a stream."""
        return self.error_body(failure, stamp) + b"\n"

    def headers(self, status: int, input_tokens: int, stamp: Stamp) -> dict[str, str]:
        """Name the headers that the vendor adds: none."""
        return {}

    def models(self) -> bytes:
        """Write the list of models."""
        data = [
            {
                "name": name,
                "model": name,
                "modified_at": "2026-01-31T12:00:00Z",
                "size": 91_739_413,
                "details": {"family": "llama", "parameter_size": "135M"},
            }
            for name in MODELS["ollama"]
        ]
        return to_json({"models": data})


def _line(answer: Answer, stamp: Stamp, said: dict[str, Any], *, done: bool, **more: Any) -> bytes:
    at = datetime.fromtimestamp(stamp.now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    message = {"role": "assistant", **said}
    head = {"model": answer.model, "created_at": at, "message": message, "done": done}
    return to_json({**head, **more}) + b"\n"


def _call(call: ToolUse, number: int) -> dict[str, Any]:
    given = {} if call.id is None else {"id": call.id}
    arguments = as_json("".join(call.pieces) or "{}")
    return {**given, "function": {"index": number, "name": call.name, "arguments": arguments}}


def _ending(answer: Answer, behaviour: Behaviour) -> dict[str, Any]:
    """Write the reason, how long it took, and the counts: one that is 0 is left out."""
    ending: dict[str, Any] = {
        "done_reason": _STOP_REASONS.get(answer.stop_reason, answer.stop_reason),
        "total_duration": 174_560_334,
        "load_duration": 101_397_084,
    }
    if behaviour.usage is False:
        return ending
    counts = {"prompt_eval_count": answer.input_tokens, "eval_count": answer.output_tokens}
    if isinstance(behaviour.usage, Mapping):
        counts |= behaviour.usage
    return ending | {name: count for name, count in counts.items() if count}
