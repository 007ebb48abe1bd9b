"""Gemini, as its API speaks: POST /v1beta/models/{model}:generateContent and :streamGenerateContent?alt=sse.

Sources: ai.google.dev/api/generate-content, ai.google.dev/gemini-api/docs/thought-signatures, and the types of the google-genai SDK.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmkit.testing.emulator.answer import Answer, Ask, ToolUse
from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.checks.gemini import PATH, check
from llmkit.testing.emulator.wires.base import (
    EVENT_STREAM,
    MODELS,
    Failure,
    Frames,
    Script,
    Stamp,
    as_json,
    to_json,
)

_STOP_REASONS = {
    "end": "STOP",
    "pause": "CONTINUATION",
    "stop_sequence": "STOP",
    "max_tokens": "MAX_TOKENS",
    "tool_use": "STOP",
    "refusal": "PROHIBITED_CONTENT",
    "content_filter": "SAFETY",
}
# The status word of google.rpc.Code and the message.
_ERRORS = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "The caller does not have permission"),
    404: ("NOT_FOUND", "Requested entity was not found."),
    429: ("RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    499: ("CANCELLED", "The operation was cancelled."),
    500: ("INTERNAL", "An internal error has occurred."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The request timed out. Please try again."),
}
_SIGNATURE = "ZW11bGF0b3I="
_TYPE = "type.googleapis.com/google.rpc."


class GeminiWire:
    """The generateContent API. It has no keepalive, and no end marker: its last event has the finish reason."""

    name = "gemini"
    stream_type = EVENT_STREAM
    ping = None
    broken = b'data: {"candidates": [{"content": {"parts": [{"te\n\n'

    def answers_at(self, path: str) -> bool:
        """Whether a model answers there."""
        return PATH.fullmatch(path) is not None

    def lists_at(self, path: str) -> bool:
        """Whether the models are listed there."""
        return path == "/v1beta/models"

    def is_meant(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request was meant for this vendor."""
        return path.startswith("/v1beta/")

    def check(
        self, headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str = ""
    ) -> Ask | Failure:
        """Say what the request asks for, or why the vendor would refuse it."""
        return check(headers, body, require_key=require_key, target=target)

    def stream(self, ask: Ask, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> Script:
        """Write a document for each token, a call whole with its last one, and the finish reason with the counts in the last document."""
        head = _head(answer, stamp)
        counts = _usage(answer, behaviour)
        # Each document counts what there is by then.
        prompt = {} if counts is None else {"usageMetadata": _begun(counts)}
        parts: list[tuple[dict[str, Any], ...]] = [
            *((_thought(piece),) for piece in answer.thinking),
            *(({"text": piece},) for piece in answer.text),
        ]
        for number, call in enumerate(answer.calls):
            signed = _signed(answer, number)
            if ask.streams_calls:
                parts += _growing_call(call, signed)
            else:
                parts += [()] * (len(call.pieces) - 1)
                parts.append(({"functionCall": _call(call), **signed},))
        tokens: list[Frames] = [
            tuple(_frame({"candidates": [_candidate([each])], **prompt, **head}) for each in some)
            for some in parts
        ]
        last = _candidate([_last_part(answer)], finishReason=_stop_reason(answer))
        ending = {"candidates": [last], **({} if counts is None else {"usageMetadata": counts})}
        return Script((), tokens, (_frame({**ending, **head}),))

    def whole(self, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> bytes:
        """Write a GenerateContentResponse."""
        parts: list[dict[str, Any]] = []
        if answer.thinking:
            parts.append(_thought("".join(answer.thinking)))
        if answer.text:
            parts.append({"text": "".join(answer.text), **_text_signature(answer)})
        parts += (
            {"functionCall": _call(call), **_signed(answer, number)}
            for number, call in enumerate(answer.calls)
        )
        finish = {"finishReason": _stop_reason(answer)} if behaviour.terminal else {}
        counts = _usage(answer, behaviour)
        usage = {} if counts is None else {"usageMetadata": counts}
        return to_json(
            {"candidates": [_candidate(parts, **finish)], **usage, **_head(answer, stamp)}
        )

    def failure(self, status: int, behaviour: Behaviour) -> Failure:
        """Describe a failure that the behaviour asks for."""
        status = 503 if status < 300 else status  # inside of a stream
        kind, message = _ERRORS.get(status, _ERRORS[400 if status < 500 else 500])
        return Failure(
            status,
            behaviour.error_type or kind,
            message if behaviour.message is None else behaviour.message,
            behaviour.error_code,
            None if behaviour.retry_after is None else str(behaviour.retry_after),
        )

    def error_body(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write an error body. Its details say how long to wait (`param`), and which reason or quota it was (`code`)."""
        details: list[dict[str, Any]] = []
        if failure.code is not None and failure.status == 429:
            violations = [{"quotaId": failure.code}]
            details.append({"@type": f"{_TYPE}QuotaFailure", "violations": violations})
        elif failure.code is not None:
            details.append(
                {
                    "@type": f"{_TYPE}ErrorInfo",
                    "reason": failure.code,
                    "domain": "googleapis.com",
                }
            )
        if failure.param is not None:
            details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{failure.param}s"})
        error = {"code": failure.status, "message": failure.message, "status": failure.type}
        return to_json({"error": error | ({"details": details} if details else {})})

    def error_frame(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write an error inside a stream."""
        return b"data: " + self.error_body(failure, stamp) + b"\n\n"

    def headers(self, status: int, input_tokens: int, stamp: Stamp) -> dict[str, str]:
        """Name the headers: none of them tells of ids or limits."""
        return {"vary": "Origin, X-Origin, Referer", "server-timing": "gfet4t7; dur=12"}

    def models(self) -> bytes:
        """Write the list of models."""
        data = [
            {
                "name": f"models/{name}",
                "displayName": name,
                "inputTokenLimit": 1_048_576,
                "outputTokenLimit": 65_536,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            }
            for name in MODELS["gemini"]
        ]
        return to_json({"models": data})


def _head(answer: Answer, stamp: Stamp) -> dict[str, Any]:
    return {"modelVersion": answer.model, "responseId": f"emulator{stamp.serial:012d}"}


def _frame(document: dict[str, Any]) -> bytes:
    return b"data: " + to_json(document) + b"\n\n"


def _candidate(parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"content": {"parts": parts, "role": "model"}, "index": 0, **more}


def _thought(text: str) -> dict[str, Any]:
    return {"text": text, "thought": True}


def _signs(answer: Answer) -> bool:
    """Whether it is a model that signs what it has thought: all from the third on."""
    return bool(answer.thinking) or answer.model.startswith("gemini-3")


def _text_signature(answer: Answer) -> dict[str, Any]:
    return {"thoughtSignature": _SIGNATURE} if _signs(answer) and not answer.calls else {}


def _last_part(answer: Answer) -> dict[str, Any]:
    """Write the part of the last document, which may have nothing but the signature of a text."""
    return {"text": "", **_text_signature(answer)}


def _signed(answer: Answer, number: int) -> dict[str, Any]:
    """Sign a call: of several in one answer the first one."""
    return {"thoughtSignature": _SIGNATURE} if _signs(answer) and not number else {}


def _call(call: ToolUse) -> dict[str, Any]:
    given = {} if call.id is None else {"id": call.id}
    return {**given, "name": call.name, "args": as_json("".join(call.pieces) or "{}")}


def _growing_call(call: ToolUse, signed: dict[str, Any]) -> Iterator[tuple[dict[str, Any], ...]]:
    """Write a call in pieces: its name, its arguments by where they stand, and its end; the last token has what is left."""
    arguments = as_json("".join(call.pieces) or "{}")
    pieces = list(_leaves("$", arguments)) if isinstance(arguments, dict) else []
    given = {} if call.id is None else {"id": call.id}
    parts: list[dict[str, Any]] = [
        {"functionCall": {**given, "name": call.name, "willContinue": True}, **signed},
        *({"functionCall": {"partialArgs": [each], "willContinue": True}} for each in pieces),
        {"functionCall": {}},
    ]
    count = len(call.pieces)
    for at in range(count):
        yield tuple(parts[at : at + 1] if at < count - 1 else parts[at:])


def _leaves(path: str, value: Any) -> Iterator[dict[str, Any]]:
    """Write a value, each of its leaves with its place; a text in pieces."""
    if isinstance(value, dict):
        for name, each in value.items():
            step = f".{name}" if name.isidentifier() else f"[{to_json(name).decode()}]"
            yield from _leaves(path + step, each)
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _leaves(f"{path}[{at}]", each)
    elif isinstance(value, str):
        for at in range(0, len(value), 8):
            yield {"jsonPath": path, "stringValue": value[at : at + 8], "willContinue": True}
        yield {"jsonPath": path, "stringValue": ""}
    elif isinstance(value, bool):
        yield {"jsonPath": path, "boolValue": value}
    elif value is None:
        yield {"jsonPath": path, "nullValue": None}
    else:
        yield {"jsonPath": path, "numberValue": value}


def _usage(answer: Answer, behaviour: Behaviour) -> dict[str, Any] | None:
    if behaviour.usage is False:
        return None
    thoughts = len(answer.thinking)
    said = answer.output_tokens - thoughts
    counts = {
        "promptTokenCount": answer.input_tokens,
        "candidatesTokenCount": said,
        "totalTokenCount": answer.input_tokens + answer.output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": answer.input_tokens}],
        "thoughtsTokenCount": thoughts,
    }
    # As all of the vendor's JSON, it leaves out what is 0.
    usage: dict[str, Any] = {name: value for name, value in counts.items() if value}
    return usage | dict(behaviour.usage) if isinstance(behaviour.usage, Mapping) else usage


def _begun(counts: dict[str, Any]) -> dict[str, Any]:
    prompt = counts.get("promptTokenCount", 0)
    return counts | {"candidatesTokenCount": 1, "totalTokenCount": prompt + 1}


def _stop_reason(answer: Answer) -> str:
    return _STOP_REASONS.get(answer.stop_reason, answer.stop_reason)
