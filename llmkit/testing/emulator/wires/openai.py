"""OpenAI chat completions, as its API speaks: POST /v1/chat/completions; and Azure, at paths of its own.

Source: developers.openai.com/api/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmkit.testing.emulator.answer import Answer, Ask, ToolUse
from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.checks.azure import is_place
from llmkit.testing.emulator.checks.openai import check
from llmkit.testing.emulator.wires.base import (
    EVENT_STREAM,
    MODELS,
    Failure,
    Script,
    Stamp,
    quoted,
    to_json,
)

_STOP_REASONS = {
    "end": "stop",
    "pause": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# Type, code and message.
_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", None, "You may not use this resource."),
    404: ("invalid_request_error", None, "The requested resource could not be found."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
    503: ("service_unavailable_error", None, "The engine is currently overloaded."),
}
_SERVER_ERROR = ("server_error", None, "The server had an error while processing your request.")
_DONE = b"data: [DONE]\n\n"


class OpenAIWire:
    """The chat completions API."""

    name = "openai"
    stream_type = EVENT_STREAM
    ping = b": ping\n\n"
    broken = b'data: {"id":"chatcmpl-emulator","object":"chat.completion.chunk","choi\n\n'

    def answers_at(self, path: str) -> bool:
        """Whether a model answers there."""
        return is_place(path, "chat/completions")

    def lists_at(self, path: str) -> bool:
        """Whether the models are listed there."""
        return is_place(path, "models")

    def is_meant(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request was meant for this vendor: each that is not meant for another."""
        return True

    def check(
        self, headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str = ""
    ) -> Ask | Failure:
        """Say what the request asks for, or why the vendor would refuse it."""
        return check(headers, body, require_key=require_key, target=target)

    def stream(self, ask: Ask, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> Script:
        """Write the role, the deltas, the finish reason, the usage if asked for, and [DONE]."""
        usage = _usage(answer, behaviour)
        if not ask.include_usage and behaviour.usage is not True:
            usage = None
        own, every = behaviour.usage_in == "own", behaviour.usage_in == "every"
        head = _head(answer, stamp, "chat.completion.chunk")
        # Once usage is asked for, each chunk before the last has it as null.
        null = {} if usage is None else {"usage": usage if every else None}
        role = {"role": "assistant", "content": "", "refusal": None}
        last = null if usage is None or own else {"usage": usage}
        closing = [_chunk(head, {}, last, finish_reason=_stop_reason(answer))]
        if usage is not None and own:
            closing.append(_frame({**head, "choices": [], "usage": usage}))
        return Script(
            opening=(_chunk(head, role, null),),
            tokens=[
                (delta,)
                for name, pieces in (
                    ("reasoning_content", answer.thinking),
                    ("content", answer.text),
                )
                for delta in _deltas(head, name, pieces, null)
            ]
            + [
                frames
                for number, call in enumerate(answer.calls)
                for frames in _call_frames(head, _Numbered(call, number, behaviour, stamp), null)
            ],
            closing=(*closing, _DONE),
        )

    def whole(self, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> bytes:
        """Write a ChatCompletion."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(answer.text),
            "refusal": None,
            "annotations": [],
        }
        if answer.thinking:
            message["reasoning_content"] = "".join(answer.thinking)
        if answer.calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = [
                {
                    "id": _Numbered(call, number, behaviour, stamp).id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.pieces)},
                }
                for number, call in enumerate(answer.calls)
            ]
        completion: dict[str, Any] = {
            **_head(answer, stamp, "chat.completion"),
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": _stop_reason(answer) if behaviour.terminal else None,
                }
            ],
        }
        usage = _usage(answer, behaviour)
        return to_json(completion if usage is None else completion | {"usage": usage})

    def failure(self, status: int, behaviour: Behaviour) -> Failure:
        """Describe a failure that the behaviour asks for."""
        default = _ERRORS[400] if 300 <= status < 500 else _SERVER_ERROR
        kind, code, message = _ERRORS.get(status, default)
        if behaviour.error_type is not None:
            # An empty account is the one failure whose code repeats its type.
            kind = behaviour.error_type
            code = kind if kind == "insufficient_quota" else None
        return Failure(
            status,
            kind,
            message if behaviour.message is None else behaviour.message,
            behaviour.error_code or code,
        )

    def error_body(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write an error body."""
        return to_json(_error(failure))

    def error_frame(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write a chunk that has an error and nothing else."""
        return _frame(_error(failure))

    def headers(self, status: int, input_tokens: int, stamp: Stamp) -> dict[str, str]:
        """Name the ids and rate limits; the limits' resets are Go durations."""
        headers = {
            "access-control-expose-headers": "X-Request-ID",
            "openai-organization": "org-emulator",
            "openai-processing-ms": "12",
            "openai-version": "2020-10-01",
            "x-request-id": stamp.request_id,
        }
        if status not in (200, 429):
            return headers
        for name, limit, used, reset in (
            ("requests", 10_000, 1, "6ms"),
            ("tokens", 2_000_000, input_tokens, "1m0.5s"),
        ):
            headers[f"x-ratelimit-limit-{name}"] = str(limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(
                max(0, limit - used) if status == 200 else 0
            )
            headers[f"x-ratelimit-reset-{name}"] = reset
        return headers

    def models(self) -> bytes:
        """Write the list of models."""
        data = [
            {"id": name, "object": "model", "created": 1_735_689_600, "owned_by": "emulator"}
            for name in MODELS["openai"]
        ]
        return to_json({"object": "list", "data": data})


def _error(failure: Failure) -> dict[str, Any]:
    return {
        "error": {
            "message": failure.message,
            "type": failure.type,
            "param": failure.param,
            "code": failure.code,
        }
    }


def _head(answer: Answer, stamp: Stamp, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-emulator{stamp.serial:012d}",
        "object": kind,
        "created": int(stamp.now),
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_emulator",
    }


def _frame(fields: dict[str, Any]) -> bytes:
    return b"data: " + to_json(fields) + b"\n\n"


def _chunk(
    head: dict[str, Any],
    delta: dict[str, Any],
    usage: dict[str, Any],
    *,
    finish_reason: str | None = None,
) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _frame({**head, "choices": [choice], **usage})


def _deltas(
    head: dict[str, Any], name: str, pieces: tuple[str, ...], usage: dict[str, Any]
) -> Iterator[bytes]:
    before, after = _chunk(head, {name: "\0"}, usage).rsplit(b'"\\u0000"', 1)
    for piece in pieces:
        yield b"%b%b%b" % (before, quoted(piece), after)


class _Numbered:
    """A call with its index and its id."""

    def __init__(self, call: ToolUse, number: int, behaviour: Behaviour, stamp: Stamp) -> None:
        self.call = call
        self.id = f"call_emulator{stamp.serial:012d}{number}" if call.id is None else call.id
        first = behaviour.first_index
        self.index = {} if first is None else {"index": first + number}


def _call_frames(
    head: dict[str, Any], numbered: _Numbered, usage: dict[str, Any]
) -> Iterator[tuple[bytes, ...]]:
    """Write a call: its id and name, then a piece of its arguments in each chunk."""
    call = numbered.call
    named = {
        "id": numbered.id,
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    before: tuple[bytes, ...] = (
        _chunk(head, {"tool_calls": [{**numbered.index, **named}]}, usage),
    )
    for piece in call.pieces:
        said = {**numbered.index, "function": {"arguments": piece}}
        yield (*before, _chunk(head, {"tool_calls": [said]}, usage))
        before = ()


def _usage(answer: Answer, behaviour: Behaviour) -> dict[str, Any] | None:
    if behaviour.usage is False:
        return None
    usage: dict[str, Any] = {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": len(answer.thinking),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return usage | dict(behaviour.usage) if isinstance(behaviour.usage, Mapping) else usage


def _stop_reason(answer: Answer) -> str:
    return _STOP_REASONS.get(answer.stop_reason, answer.stop_reason)
