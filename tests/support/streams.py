"""What providers send, byte by byte, written by hand after their documents.

Sources: platform.claude.com/docs/en/build-with-claude/streaming and developers.openai.com, "Chat
streaming" and "Chat completion chunk object". Each stream holds text outside ASCII and a U+2028,
which is no line end.
"""

from __future__ import annotations

import json

from support import gemini_streams as gemini
from support import ollama_streams as ollama
from support import responses_streams as responses

HALVES = "backslashreplace"
"""How half of a surrogate pair is written, which UTF-8 cannot say: as JSON does."""


def anthropic_event(name: str, **fields: object) -> bytes:
    """Write one event as Anthropic does: a name, and the same name as the type inside the data."""
    data = json.dumps({"type": name, **fields}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode(errors=HALVES)


def openai_chunk(*choices: object, **fields: object) -> bytes:
    """Write one chunk as OpenAI does: data without a name."""
    head = {"id": "chatcmpl-9xKp", "object": "chat.completion.chunk", "created": 1762000000}
    chunk = {**head, "model": "gpt-5-mini-2025-08-07", "choices": list(choices), **fields}
    return openai_data(chunk)


def openai_data(value: object) -> bytes:
    """Write one event without a name."""
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"data: {data}\n\n".encode(errors=HALVES)


def openai_delta(finish_reason: str | None = None, **delta: object) -> dict[str, object]:
    """Build the first choice of a chunk."""
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


OPENAI_DONE = b"data: [DONE]\n\n"

ANTHROPIC_START = anthropic_event(
    "message_start",
    message={
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-sonnet-4-5-20250929",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 25,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 1000,
            "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
)
ANTHROPIC_STOP = anthropic_event("message_stop")
ANTHROPIC_STREAM = b"".join(
    [
        ANTHROPIC_START,
        anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        anthropic_event("ping"),
        anthropic_event(
            "content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"}
        ),
        anthropic_event(
            "content_block_delta", index=0, delta={"type": "text_delta", "text": "lo, wörld"}
        ),
        anthropic_event(
            "content_block_delta", index=0, delta={"type": "text_delta", "text": " 🌍\u2028\n!"}
        ),
        anthropic_event("content_block_stop", index=0),
        anthropic_event(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": 15},
        ),
        ANTHROPIC_STOP,
    ]
)
ANTHROPIC_TEXT = "Hello, wörld 🌍\u2028\n!"

ANTHROPIC_THINKING_STREAM = b"".join(
    [
        ANTHROPIC_START,
        anthropic_event(
            "content_block_start",
            index=0,
            content_block={"type": "thinking", "thinking": "", "signature": ""},
        ),
        anthropic_event(
            "content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Let me "}
        ),
        anthropic_event(
            "content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "see…"}
        ),
        anthropic_event(
            "content_block_delta", index=0, delta={"type": "signature_delta", "signature": "EqQB"}
        ),
        anthropic_event("content_block_stop", index=0),
        anthropic_event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
        anthropic_event("content_block_delta", index=1, delta={"type": "text_delta", "text": "27"}),
        anthropic_event(
            "content_block_delta",
            index=1,
            delta={"type": "citations_delta", "citation": {"type": "page_location", "text": 7}},
        ),
        anthropic_event("content_block_stop", index=1),
        anthropic_event(
            "content_block_start",
            index=2,
            content_block={"type": "tool_use", "id": "toolu_01", "name": "f", "input": {}},
        ),
        anthropic_event(
            "content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": "{}"}
        ),
        anthropic_event("content_block_stop", index=2),
        anthropic_event("invented_later", delta="of another form", usage=[]),
        anthropic_event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 5}),
        anthropic_event(
            "message_delta",
            delta={"stop_reason": "tool_use", "stop_sequence": None},
            usage={
                "input_tokens": 30,
                "output_tokens": 89,
                "output_tokens_details": {"thinking_tokens": 60},
            },
        ),
        ANTHROPIC_STOP,
    ]
)

ANTHROPIC_OVERLOADED_STREAM = b"".join(
    [
        ANTHROPIC_START,
        anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        anthropic_event(
            "content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"}
        ),
        anthropic_event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
    ]
)

ANTHROPIC_MESSAGE = json.dumps(
    {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
            {"type": "text", "text": "Hi! "},
            {"type": "text", "text": "I am ä 🌍.", "citations": None},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 25,
        },
    },
    ensure_ascii=False,
).encode()

_PAD = {"obfuscation": "aV3kQ9", "service_tier": "default", "system_fingerprint": "fp_1"}

OPENAI_USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 40,
    "total_tokens": 59,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 32, "audio_tokens": 0},
}
OPENAI_STREAM = b"".join(
    [
        openai_chunk(openai_delta(role="assistant", content="", refusal=None), usage=None, **_PAD),
        openai_chunk(openai_delta(content="Hel"), usage=None, **_PAD),
        openai_chunk(openai_delta(content="lo, wörld"), usage=None, **_PAD),
        openai_chunk(openai_delta(content=" 🌍\u2028\n!"), usage=None, **_PAD),
        openai_chunk(openai_delta("stop"), usage=None, **_PAD),
        openai_chunk(usage=OPENAI_USAGE, **_PAD),
        OPENAI_DONE,
    ]
)
OPENAI_TEXT = ANTHROPIC_TEXT

# DeepSeek's way: reasoning_content, usage in the chunk that finishes.
OPENAI_REASONING_STREAM = b"".join(
    [
        b": keep-alive\n\n",
        openai_chunk(openai_delta(role="assistant", content=None, reasoning_content="")),
        openai_chunk(openai_delta(content=None, reasoning_content="Let me ")),
        openai_chunk(openai_delta(content=None, reasoning_content="see…")),
        openai_chunk(openai_delta(content="27", reasoning_content=None)),
        openai_chunk(
            openai_delta("stop", content="", reasoning_content=None),
            usage={
                "prompt_tokens": 18,
                "completion_tokens": 83,
                "total_tokens": 101,
                "prompt_cache_hit_tokens": 16,
                "completion_tokens_details": {"reasoning_tokens": 80},
            },
        ),
        OPENAI_DONE,
    ]
)

# What Azure sends first, what llama.cpp and Ollama send without usage, and no [DONE].
OPENAI_SPARSE_STREAM = b"".join(
    [
        openai_data({"id": "", "model": "", "choices": [], "prompt_filter_results": []}),
        openai_data({"id": "c-1", "model": "smollm2", "choices": [openai_delta(content="Hi")]}),
        openai_data({"id": "c-1", "model": "smollm2", "choices": [openai_delta("length")]}),
    ]
)

OPENAI_ERROR_STREAM = b"".join(
    [
        openai_chunk(openai_delta(role="assistant", content="Hel")),
        openai_data(
            {
                "error": {
                    "message": "The server had an error while processing your request.",
                    "type": "server_error",
                    "param": None,
                    "code": None,
                }
            }
        ),
    ]
)

OPENAI_COMPLETION = json.dumps(
    {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion",
        "created": 1762000000,
        "model": "gpt-5-mini-2025-08-07",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hi! I am ä 🌍.",
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": OPENAI_USAGE,
        "service_tier": "default",
    },
    ensure_ascii=False,
).encode()

COMPLETE_STREAMS = {
    "anthropic": (
        ANTHROPIC_STREAM,
        ANTHROPIC_THINKING_STREAM,
    ),
    "gemini": gemini.COMPLETE,
    "ollama": ollama.COMPLETE,
    "openai-responses": responses.COMPLETE,
    "openai": (
        OPENAI_STREAM,
        OPENAI_REASONING_STREAM,
        OPENAI_SPARSE_STREAM,
    ),
}
"""By wire: streams that end as they should."""

OPENAI_GAVE_UP_STREAM = b"".join(
    [
        OPENAI_SPARSE_STREAM.replace(b'"length"', b'"error"'),
        b'data: {"choices":[],"usage":{"prompt_tokens":500,"completion_tokens":300,"cost":7}}\n\n',
        OPENAI_DONE,
    ]
)
"""The finish reason is an error; what counts the tokens comes behind it."""

BROKEN_STREAMS = {
    "anthropic": (ANTHROPIC_OVERLOADED_STREAM,),
    "gemini": gemini.BROKEN,
    "ollama": ollama.BROKEN,
    "openai-responses": responses.BROKEN,
    "openai": (OPENAI_ERROR_STREAM, OPENAI_GAVE_UP_STREAM),
}
"""By wire: streams with an error report inside."""

WHOLE_ANSWERS = {
    "anthropic": ANTHROPIC_MESSAGE,
    "gemini": gemini.DOCUMENT,
    "ollama": ollama.DOCUMENT,
    "openai-responses": responses.DOCUMENT,
    "openai": OPENAI_COMPLETION,
}
"""By wire: an answer that was not streamed."""
