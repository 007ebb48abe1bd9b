"""Anthropic Messages, as its API speaks: POST /v1/messages.

Source: platform.claude.com/docs/en/api (Messages, Streaming, Errors, Rate limits).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from llmkit.testing.emulator.answer import Answer, Ask
from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.checks.anthropic import VERTEX, check
from llmkit.testing.emulator.wires.base import (
    EVENT_STREAM,
    MODELS,
    Failure,
    Frames,
    Script,
    Stamp,
    as_json,
    quoted,
    to_json,
)

_STOP_REASONS = {"end": "end_turn", "pause": "pause_turn", "content_filter": "refusal"}
_ERROR_TYPES = {
    400: ("invalid_request_error", "The request is not valid."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "There is a problem with your billing information."),
    403: ("permission_error", "Your API key may not use this resource."),
    404: ("not_found_error", "The requested resource could not be found."),
    409: ("conflict_error", "The request conflicts with another."),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your account's rate limit."),
    504: ("timeout_error", "The request timed out."),
    529: ("overloaded_error", "Overloaded"),
}
# What message_delta repeats of the usage.
_DELTA_USAGE = frozenset(
    (
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
        "output_tokens_details",
        "server_tool_use",
    )
)
_SIGNATURE = "ZW11bGF0b3I="


class AnthropicWire:
    """The Messages API."""

    name = "anthropic"
    stream_type = EVENT_STREAM
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    broken = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n'

    def answers_at(self, path: str) -> bool:
        """Whether a model answers there."""
        return path == "/v1/messages" or VERTEX.fullmatch(path) is not None

    def lists_at(self, path: str) -> bool:
        """Whether the models are listed there; OpenAI lists its own at the same path."""
        return path == "/v1/models"

    def is_meant(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request was meant for this vendor: it has its version."""
        return "anthropic-version" in headers

    def check(
        self, headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str = ""
    ) -> Ask | Failure:
        """Say what the request asks for, or why the vendor would refuse it."""
        return check(headers, body, require_key=require_key, target=target)

    def stream(self, ask: Ask, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> Script:
        """Write message_start, the blocks, message_delta and message_stop."""
        usage = _usage(answer, behaviour)
        message = _message(answer, stamp) | {"stop_reason": None}
        if usage is not None:
            # The vendor's count of output is a placeholder at this point.
            message["usage"] = usage | {
                "output_tokens": usage["output_tokens"] and min(1, usage["output_tokens"])
            }
        opening = [_event("message_start", {"message": message})]
        tokens: list[Frames] = []
        closing: list[bytes] = []
        for index, block in enumerate(_blocks(answer, stamp)):
            (closing if tokens else opening).append(_block_start(index, block))
            deltas = _deltas(index, block)
            tokens += [(*closing, next(deltas))]
            tokens += [(delta,) for delta in deltas]
            closing = [_block_signature(index)] if block.kind == "thinking" else []
            closing.append(_event("content_block_stop", {"index": index}))
        delta: dict[str, Any] = {
            "delta": {
                "stop_reason": _stop_reason(answer),
                "stop_sequence": answer.stop_sequence,
            }
        }
        if usage is not None:
            delta["usage"] = {name: usage[name] for name in usage if name in _DELTA_USAGE}
        closing += [_event("message_delta", delta), _event("message_stop", {})]
        return Script((*opening, self.ping), tokens, tuple(closing))

    def whole(self, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> bytes:
        """Write a Message."""
        content = [_whole_block(block) for block in _blocks(answer, stamp)]
        message = _message(answer, stamp) | {
            "content": content,
            "stop_reason": _stop_reason(answer) if behaviour.terminal else None,
            "stop_sequence": answer.stop_sequence,
        }
        usage = _usage(answer, behaviour)
        return to_json(message if usage is None else message | {"usage": usage})

    def failure(self, status: int, behaviour: Behaviour) -> Failure:
        """Describe a failure that the behaviour asks for."""
        default = ("api_error", "Internal server error")
        if status < 300:  # inside a stream
            status = 529
        elif status < 500:
            default = _ERROR_TYPES[400]
        kind, message = _ERROR_TYPES.get(status, default)
        return Failure(
            status,
            behaviour.error_type or kind,
            message if behaviour.message is None else behaviour.message,
            behaviour.error_code,
        )

    def error_body(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write an error body."""
        error: dict[str, Any] = {"type": failure.type, "message": failure.message}
        if failure.code is not None:
            error["details"] = {"error_code": failure.code}
        return to_json({"type": "error", "error": error, "request_id": stamp.request_id})

    def error_frame(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write an error event."""
        return b"event: error\ndata: " + self.error_body(failure, stamp) + b"\n\n"

    def headers(self, status: int, input_tokens: int, stamp: Stamp) -> dict[str, str]:
        """Name the ids and rate limits; the limits' resets are RFC 3339 times."""
        headers = {
            "request-id": stamp.request_id,
            "anthropic-organization-id": "00000000-0000-4000-8000-00000000e301",
        }
        if status >= 400:
            headers["x-should-retry"] = (
                "true" if status in (408, 409, 429) or status >= 500 else "false"
            )
        if status not in (200, 429):
            return headers
        moment = datetime.fromtimestamp(stamp.now + 1, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        limits = {
            "requests": (4000, 1),
            "input-tokens": (400_000, input_tokens),
            "output-tokens": (80_000, 0),
        }
        limits["tokens"] = (480_000, input_tokens)
        for name, (limit, used) in limits.items():
            prefix = f"anthropic-ratelimit-{name}"
            headers[f"{prefix}-limit"] = str(limit)
            headers[f"{prefix}-remaining"] = str(max(0, limit - used) if status == 200 else 0)
            headers[f"{prefix}-reset"] = moment
        return headers

    def models(self) -> bytes:
        """Write the list of models."""
        names = MODELS["anthropic"]
        data = [
            {
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": "2025-09-29T00:00:00Z",
            }
            for name in names
        ]
        return to_json(
            {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}
        )


def _event(name: str, fields: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: ".encode() + to_json({"type": name, **fields}) + b"\n\n"


class _Block(NamedTuple):
    """A block of an answer: its kind, what stands in its head, and its pieces."""

    kind: str
    pieces: tuple[str, ...]
    head: dict[str, Any]


def _blocks(answer: Answer, stamp: Stamp) -> Iterator[_Block]:
    if answer.thinking:
        yield _Block("thinking", answer.thinking, {"thinking": "", "signature": ""})
    if answer.text:
        yield _Block("text", answer.text, {"text": ""})
    for number, call in enumerate(answer.calls):
        name = f"toolu_emulator{stamp.serial:012d}{number}" if call.id is None else call.id
        yield _Block("tool_use", call.pieces, {"id": name, "name": call.name, "input": {}})


def _whole_block(block: _Block) -> dict[str, Any]:
    whole = "".join(block.pieces)
    if block.kind == "tool_use":
        return {"type": block.kind, **block.head, "input": as_json(whole)}
    signed = {"signature": _SIGNATURE} if block.kind == "thinking" else {}
    return {"type": block.kind, block.kind: whole, **signed}


def _block_start(index: int, block: _Block) -> bytes:
    content = {"type": block.kind, **block.head}
    return _event("content_block_start", {"index": index, "content_block": content})


def _block_signature(index: int) -> bytes:
    delta = {"type": "signature_delta", "signature": _SIGNATURE}
    return _event("content_block_delta", {"index": index, "delta": delta})


def _deltas(index: int, block: _Block) -> Iterator[bytes]:
    kind, name = f"{block.kind}_delta", block.kind
    if block.kind == "tool_use":
        kind, name = "input_json_delta", "partial_json"
    head = (
        'event: content_block_delta\ndata: {"type":"content_block_delta",'
        f'"index":{index},"delta":{{"type":"{kind}","{name}":'
    ).encode()
    for piece in block.pieces:
        yield b"%b%b}}\n\n" % (head, quoted(piece))


def _message(answer: Answer, stamp: Stamp) -> dict[str, Any]:
    return {
        "model": answer.model,
        "id": f"msg_emulator{stamp.serial:012d}",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _usage(answer: Answer, behaviour: Behaviour) -> dict[str, Any] | None:
    if behaviour.usage is False:
        return None
    usage: dict[str, Any] = {
        "input_tokens": answer.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answer.output_tokens,
        "service_tier": "standard",
    }
    return usage | dict(behaviour.usage) if isinstance(behaviour.usage, Mapping) else usage


def _stop_reason(answer: Answer) -> str:
    return _STOP_REASONS.get(answer.stop_reason, answer.stop_reason)
