"""What Gemini sends, byte by byte, written by hand after its documents.

Sources: ai.google.dev/api/generate-content, ai.google.dev/gemini-api/docs/thought-signatures, and issues of the google-genai SDK.
"""

from __future__ import annotations

import json

HEAD = {"modelVersion": "gemini-3-flash-preview", "responseId": "mAQYacvSPcTA"}
TEXT = "Hello, wörld 🌍\u2028\n!"


def gemini_data(value: object) -> bytes:
    """Write one event."""
    data = json.dumps(value, ensure_ascii=False)
    return f"data: {data}\n\n".encode(errors="backslashreplace")


def gemini_chunk(
    *parts: object, finish: object = None, usage: object = None, **more: object
) -> bytes:
    """Write one response of a stream."""
    candidate: dict[str, object] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    counts = {} if usage is None else {"usageMetadata": usage}
    return gemini_data({"candidates": [candidate | more], **counts, **HEAD})


def says(text: str, **more: object) -> dict[str, object]:
    """Write a part of text."""
    return {"text": text, **more}


USAGE = {
    "promptTokenCount": 19,
    "candidatesTokenCount": 8,
    "totalTokenCount": 59,
    "cachedContentTokenCount": 8,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 19}],
    "thoughtsTokenCount": 32,
}
BEGUN = {"promptTokenCount": 19, "totalTokenCount": 19}
STREAM = b"".join(
    [
        gemini_chunk(says("Hel"), usage=BEGUN),
        gemini_chunk(says("lo, wörld"), usage=BEGUN),
        gemini_chunk(says(" 🌍\u2028\n!"), usage=BEGUN),
        gemini_chunk(says(""), finish="STOP", usage=USAGE),
    ]
)
THINKING_STREAM = b"".join(
    [
        gemini_chunk(says("Let me ", thought=True), usage=BEGUN),
        gemini_chunk(says("see…", thought=True)),
        gemini_chunk(says("27")),
        gemini_chunk(says("", thoughtSignature="EqQB"), finish="STOP", usage=USAGE),
    ]
)
TOOL_STREAM = b"".join(
    [
        gemini_chunk(says("Let me look.")),
        gemini_chunk(
            {"functionCall": {"name": "f", "args": {"a": "ä"}}, "thoughtSignature": "EqQB"},
            {"functionCall": {"name": "f", "args": {}}},
        ),
        gemini_chunk({"functionCall": {"name": "g"}}, finish="STOP", usage=USAGE),
    ]
)


def growing(*pieces: object, more: bool = True, **head: object) -> dict[str, object]:
    """Write a part with a piece of a call."""
    said: dict[str, object] = {**head}
    if pieces:
        said["partialArgs"] = list(pieces)
    if more:
        said["willContinue"] = True
    return {"functionCall": said}


PARTIAL_STREAM = b"".join(
    [
        gemini_chunk(growing(name="trip", id="c1") | {"thoughtSignature": "EqQB"}),
        gemini_chunk(
            growing({"jsonPath": "$.city", "stringValue": "Kö", "willContinue": True}),
        ),
        gemini_chunk(growing({"jsonPath": "$.city", "stringValue": "ln 🌍"})),
        gemini_chunk(
            growing(
                {"jsonPath": "$.days[0]", "numberValue": 1},
                {"jsonPath": "$.days[1]", "numberValue": 2.5},
                {"jsonPath": "$['by car']", "boolValue": False},
                {"jsonPath": "$.who[0].name", "nullValue": "NULL_VALUE"},
            )
        ),
        gemini_chunk(growing(more=False)),
        gemini_chunk({"functionCall": {"name": "now", "args": {}}}),
        gemini_chunk(says(""), finish="STOP", usage=USAGE),
    ]
)
BLOCKED_STREAM = gemini_data(
    {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": BEGUN, **HEAD}
)
"""The prompt is refused: there is no candidate."""
THOUGHT_ONLY_STREAM = gemini_data(
    {
        "candidates": [{"finishReason": "MAX_TOKENS", "content": {"role": "model"}, "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 9,
            "thoughtsTokenCount": 100,
            "totalTokenCount": 109,
        },
        **HEAD,
    }
)
"""The limit was reached before anything was said: the content has no parts."""
SAFETY_STREAM = gemini_chunk(says("Once upon")) + gemini_data(
    {"candidates": [{"finishReason": "SAFETY", "index": 0, "safetyRatings": []}], **HEAD}
)
ERROR = {
    "code": 503,
    "message": "The model is overloaded. Please try again later.",
    "status": "UNAVAILABLE",
}
INTERNAL = {"code": 500, "message": "An internal error has occurred.", "status": "INTERNAL"}
ERROR_STREAM = gemini_chunk(says("Hel")) + gemini_data({"error": INTERNAL})
BARE_ERROR_STREAM = gemini_chunk(says("Hel")) + json.dumps({"error": ERROR}, indent=2).encode()
"""The report of the failure is no event, and has many lines."""
LISTED_ERROR_STREAM = gemini_chunk(says("Hel")) + gemini_data([{"error": ERROR}])
MALFORMED_CALL_STREAM = gemini_chunk(says("Hel")) + gemini_chunk(
    finish="MALFORMED_FUNCTION_CALL", finishMessage="Malformed function call: print(f("
)

DOCUMENT = json.dumps(
    {
        "candidates": [
            {
                "content": {
                    "parts": [
                        says("Hm.", thought=True),
                        says("Hi! "),
                        says("I am ä 🌍.", thoughtSignature="EqQB"),
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        **HEAD,
        "usageMetadata": USAGE,
    },
    ensure_ascii=False,
).encode()

COMPLETE = (
    STREAM,
    THINKING_STREAM,
    TOOL_STREAM,
    PARTIAL_STREAM,
    BLOCKED_STREAM,
    THOUGHT_ONLY_STREAM,
    SAFETY_STREAM,
)
BROKEN = (ERROR_STREAM, BARE_ERROR_STREAM, LISTED_ERROR_STREAM, MALFORMED_CALL_STREAM)
