"""The routes for an app's OpenAPI document, because FastAPI does not see routes that a middleware answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TEXT = {"type": "string"}
_COUNT = {"type": ["integer", "null"]}
_PART = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"enum": ["text"]}, "text": _TEXT},
}
_PARTS = {"type": "array", "minItems": 1, "items": {"anyOf": [_TEXT, _PART]}}
_MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "additionalProperties": False,
    "properties": {"role": {"enum": ["user", "assistant"]}, "content": {"anyOf": [_TEXT, _PARTS]}},
}
_BODY = {
    "type": "object",
    "required": ["messages"],
    "additionalProperties": False,
    "properties": {
        "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
        "model": {
            "type": ["string", "null"],
            "description": "The name of one of the models that the app offers.",
        },
    },
}
_USAGE = {
    "type": "object",
    "properties": {"input_tokens": _COUNT, "output_tokens": _COUNT},
}
_SUM = {
    "type": "object",
    "properties": {
        "calls": {"type": "integer"},
        "attempts": {"type": "integer", "description": "Requests to providers: retries count."},
        "input_tokens": {"type": "integer"},
        "output_tokens": {"type": "integer"},
        "cost_usd": {"type": "string", "description": "A decimal number: the sum of known costs."},
        "unpriced": {"type": "integer", "description": "Attempts whose cost is not known."},
        "saved_usd": {
            "type": "string",
            "description": "What answers that were given again, or shared, have cost others before.",
        },
    },
}
_AMOUNT = {
    "type": ["string", "integer"],
    "description": "Dollars are a decimal number as a string.",
}
_BUDGET = {
    "type": "object",
    "properties": {
        "per": {"type": "string", "enum": ["minute", "hour", "day", "month", "ever"]},
        "models": {"type": "array", "items": _TEXT, "description": "Which it counts; none is all."},
        "unit": {"type": "string", "enum": ["usd", "tokens", "requests"]},
        "limit": _AMOUNT,
        "used": _AMOUNT,
        "held": {**_AMOUNT, "description": "Set aside for calls that are running."},
        "left": _AMOUNT,
        "resets_at": {"type": ["string", "null"], "format": "date-time"},
    },
}
_OWN_USAGE = {
    "type": "object",
    "required": ["today", "month", "budgets"],
    "properties": {
        "today": _SUM,
        "month": _SUM,
        "budgets": {
            "type": ["array", "null"],
            "items": _BUDGET,
            "description": "The user's own; null while they cannot be asked.",
        },
    },
}
_WHOLE = {
    "type": "object",
    "required": ["text", "stop_reason", "usage", "cost_usd"],
    "properties": {
        "text": _TEXT,
        "stop_reason": _TEXT,
        "usage": _USAGE,
        "cost_usd": {"type": ["string", "null"], "description": "A decimal number."},
    },
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message", "hint"],
            "properties": {
                "type": _TEXT,
                "message": _TEXT,
                "hint": {"type": ["string", "null"]},
                "resets_at": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When a budget has room again.",
                },
            },
        }
    },
}
_FAILURES = {
    "400": "The messages are wrong, or too long for the model.",
    "401": "Nobody is logged in.",
    "402": "What may be used in this day or month is used up.",
    "403": "This user may not call, or the request comes from another site.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "Too many calls run at once, or were made in this minute or hour.",
    "502": "The language model failed.",
    "503": "The language model is busy, or the app cannot reach it.",
    "504": "The language model did not answer in time.",
}


_USAGE_FAILURES = {
    "401": "Nobody is logged in.",
    "403": "This user may not call.",
    "404": "The app does not record its calls.",
    "503": "The app's records cannot be read now.",
}


def openapi_paths(
    prefix: str = "/llm", *, security: Sequence[Mapping[str, Sequence[str]]] | None = None
) -> dict[str, Any]:
    """Return llmkit's routes for programs as `paths` of an OpenAPI 3.1 document, to add to your app's own.

    Args:
        prefix: where the routes are.
        security: how a caller logs in, as in OpenAPI: names of your document's security schemes, with their scopes, such as
            `[{"OAuth2PasswordBearer": []}]`. FastAPI names a scheme after its class. With None, the document's own default applies.
    """
    prefix = prefix.rstrip("/")
    calls = {
        f"{prefix}/stream": _call(
            "Stream an answer",
            'Server-sent events: `data: {"text": ...}` with more text, `event: reset` where the answer starts again, '
            "`event: error` where it failed, and `data: [DONE]` at the end of a complete one.",
            {"text/event-stream": {"schema": _TEXT}},
        ),
        f"{prefix}/complete": _call(
            "Answer whole",
            "The complete answer, with its tokens and its cost.",
            {"application/json": {"schema": _WHOLE}},
        ),
    }
    usage = _operation(
        "What the user's own calls come to",
        "Of today and of this month, and what their budgets have left.",
        {"application/json": {"schema": _OWN_USAGE}},
        _USAGE_FAILURES,
    )
    if security is not None:
        required = [{name: list(scopes) for name, scopes in each.items()} for each in security]
        for operation in (*calls.values(), usage):
            operation["security"] = required
    paths = {path: {"post": operation} for path, operation in calls.items()}
    return {**paths, f"{prefix}/usage": {"get": usage}}


def _call(summary: str, description: str, content: dict[str, Any]) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": _BODY}}}
    return {"requestBody": body, **_operation(summary, description, content, _FAILURES)}


def _operation(
    summary: str, description: str, content: dict[str, Any], failures: Mapping[str, str]
) -> dict[str, Any]:
    failure = {"application/json": {"schema": _ERROR}}
    return {
        "summary": summary,
        "tags": ["llmkit"],
        "responses": {
            "200": {"description": description, "content": content},
            **{
                status: {"description": words, "content": failure}
                for status, words in failures.items()
            },
        },
    }
