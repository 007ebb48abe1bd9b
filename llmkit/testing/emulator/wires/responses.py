"""OpenAI's Responses API, as it speaks: POST /v1/responses.

Source: developers.openai.com/api/docs/api-reference/responses and /responses-streaming.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmkit.testing.emulator.answer import Answer, Ask
from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.checks.azure import is_place
from llmkit.testing.emulator.checks.responses import check
from llmkit.testing.emulator.wires.base import Failure, Frames, Script, Stamp, to_json
from llmkit.testing.emulator.wires.openai import OpenAIWire

# Why an answer is not complete; whatever else stops one, it is.
_INCOMPLETE = {"max_tokens": "max_output_tokens", "content_filter": "content_filter"}
_COMPLETE = ("end", "pause", "stop_sequence", "tool_use", "refusal")
_ENCRYPTED = "gAAAAABemulator"


class ResponsesWire(OpenAIWire):
    """The Responses API. Errors, headers and the list of models are those of OpenAI's other API."""

    name = "openai-responses"
    broken = (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","del\n\n'
    )

    def answers_at(self, path: str) -> bool:
        """Whether a model answers there."""
        return is_place(path, "responses")

    def is_meant(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request was meant for this API."""
        return path.startswith(("/v1/responses", "/openai/v1/responses", "/openai/responses"))

    def check(
        self, headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str = ""
    ) -> Ask | Failure:
        """Say what the request asks for, or why the vendor would refuse it."""
        return check(headers, body, require_key=require_key, target=target)

    def stream(self, ask: Ask, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> Script:
        """Write the response that begins, its items with their deltas, and the response that has ended."""
        events = _Events()
        begun = _response(answer, stamp) | {"status": "in_progress", "output": []}
        opening = [
            events.write(f"response.{kind}", response=begun) for kind in ("created", "in_progress")
        ]
        tokens: list[Frames] = []
        closing: list[bytes] = []
        for index, item in enumerate(_items(answer, stamp)):
            (closing if tokens else opening).extend(item.opening(index, events))
            for piece in item.pieces:
                tokens.append((*closing, item.delta(index, piece, events)))
                closing = []
            closing = list(item.closing(index, events))
        ended = _ended(answer, behaviour, stamp)
        closing.append(events.write(f"response.{ended['status']}", response=ended))
        return Script(tuple(opening), tokens, tuple(closing))

    def whole(self, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> bytes:
        """Write a Response."""
        ended = _ended(answer, behaviour, stamp)
        return to_json(ended if behaviour.terminal else ended | {"status": "in_progress"})

    def error_frame(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write an error event."""
        error = {"code": failure.code or failure.type, "message": failure.message, "param": None}
        return _Events().write("error", **error)


class _Events:
    """Writes events, each with its number."""

    def __init__(self) -> None:
        self._number = 0

    def write(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {kind}\ndata: ".encode() + to_json(data) + b"\n\n"


class _Item:
    """An item of an answer: its id, its pieces, and how it is written in the midst and at the end."""

    kind = ""

    def __init__(self, item_id: str, pieces: tuple[str, ...]) -> None:
        self.id = item_id
        self.pieces = pieces

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def begun(self) -> dict[str, Any]:
        return {}

    @property
    def whole(self) -> dict[str, Any]:
        return {}

    def opening(self, index: int, events: _Events) -> Iterator[bytes]:
        item = {"id": self.id, "type": self.kind, "status": "in_progress", **self.begun}
        yield events.write("response.output_item.added", output_index=index, item=item)

    def delta(self, index: int, piece: str, events: _Events) -> bytes:
        raise AssertionError("each kind of item has its own")

    def closing(self, index: int, events: _Events) -> Iterator[bytes]:
        yield events.write("response.output_item.done", output_index=index, item=self.done)

    @property
    def done(self) -> dict[str, Any]:
        return {"id": self.id, "type": self.kind, "status": "completed", **self.whole}


class _Message(_Item):
    kind = "message"

    def __init__(self, item_id: str, pieces: tuple[str, ...], *, refuses: bool) -> None:
        super().__init__(item_id, pieces)
        self.refuses = refuses
        self.name = "refusal" if refuses else "output_text"
        self.field = "refusal" if refuses else "text"

    @property
    def begun(self) -> dict[str, Any]:
        return {"role": "assistant", "content": []}

    @property
    def whole(self) -> dict[str, Any]:
        return {"role": "assistant", "content": [self._part(self.text)]}

    def _part(self, text: str) -> dict[str, Any]:
        more: dict[str, Any] = {} if self.refuses else {"annotations": [], "logprobs": []}
        return {"type": self.name, self.field: text, **more}

    def _at(self, index: int) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": index, "content_index": 0}

    def opening(self, index: int, events: _Events) -> Iterator[bytes]:
        yield from super().opening(index, events)
        yield events.write("response.content_part.added", **self._at(index), part=self._part(""))

    def delta(self, index: int, piece: str, events: _Events) -> bytes:
        more: dict[str, Any] = {} if self.refuses else {"logprobs": []}
        return events.write(f"response.{self.name}.delta", **self._at(index), delta=piece, **more)

    def closing(self, index: int, events: _Events) -> Iterator[bytes]:
        done = {self.field: self.text}
        yield events.write(f"response.{self.name}.done", **self._at(index), **done)
        part = self._part(self.text)
        yield events.write("response.content_part.done", **self._at(index), part=part)
        yield from super().closing(index, events)


class _Reasoning(_Item):
    kind = "reasoning"

    @property
    def begun(self) -> dict[str, Any]:
        return {"summary": []}

    @property
    def whole(self) -> dict[str, Any]:
        summary = [{"type": "summary_text", "text": self.text}] if self.pieces else []
        return {"summary": summary, "encrypted_content": _ENCRYPTED}

    def delta(self, index: int, piece: str, events: _Events) -> bytes:
        at = {"item_id": self.id, "output_index": index, "summary_index": 0}
        return events.write("response.reasoning_summary_text.delta", **at, delta=piece)


class _Call(_Item):
    kind = "function_call"

    def __init__(self, item_id: str, pieces: tuple[str, ...], name: str, call_id: str) -> None:
        super().__init__(item_id, pieces)
        self.named = {"name": name, "call_id": call_id}

    @property
    def begun(self) -> dict[str, Any]:
        return {**self.named, "arguments": ""}

    @property
    def whole(self) -> dict[str, Any]:
        return {**self.named, "arguments": self.text}

    def delta(self, index: int, piece: str, events: _Events) -> bytes:
        at = {"item_id": self.id, "output_index": index}
        return events.write("response.function_call_arguments.delta", **at, delta=piece)

    def closing(self, index: int, events: _Events) -> Iterator[bytes]:
        at = {"item_id": self.id, "output_index": index}
        kind = "response.function_call_arguments.done"
        yield events.write(kind, **at, arguments=self.text, name=self.named["name"])
        yield from super().closing(index, events)


def _items(answer: Answer, stamp: Stamp) -> Iterator[_Item]:
    end = f"emulator{stamp.serial:012d}"
    if answer.thinking:
        yield _Reasoning(f"rs_{end}", answer.thinking)
    if answer.text:
        yield _Message(f"msg_{end}", answer.text, refuses=answer.stop_reason == "refusal")
    for number, call in enumerate(answer.calls):
        call_id = f"call_{end}{number}" if call.id is None else call.id
        yield _Call(f"fc_{end}{number}", call.pieces, call.name, call_id)


def _response(answer: Answer, stamp: Stamp) -> dict[str, Any]:
    return {
        "id": f"resp_emulator{stamp.serial:012d}",
        "object": "response",
        "created_at": int(stamp.now),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": answer.model,
        "output": [],
        "parallel_tool_calls": True,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }


def _ended(answer: Answer, behaviour: Behaviour, stamp: Stamp) -> dict[str, Any]:
    response = _response(answer, stamp)
    response["output"] = [item.done for item in _items(answer, stamp)]
    response["usage"] = _usage(answer, behaviour)
    if answer.stop_reason not in _COMPLETE:
        reason = _INCOMPLETE.get(answer.stop_reason, answer.stop_reason)
        response |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
    return response


def _usage(answer: Answer, behaviour: Behaviour) -> dict[str, Any] | None:
    if behaviour.usage is False:
        return None
    usage: dict[str, Any] = {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": len(answer.thinking)},
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }
    return usage | dict(behaviour.usage) if isinstance(behaviour.usage, Mapping) else usage
