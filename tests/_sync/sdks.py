# Generated from tests/_async/sdks.py. Do not edit.
"""The vendors' own SDKs, as readers of what the emulator says. No connection is over TLS, whose certificates take longer to load than an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from llmkit.testing import Emulator


@dataclass(frozen=True, slots=True)
class Reading:
    """What a client makes of an answer; `ended` is False if it raised."""

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str, Any], ...] = ()
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    ended: bool = True


def read(arguments: str) -> Any:
    """Read arguments as an SDK has them, a text; what cannot be read stays one."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def by_sdk(emulator: Emulator, wire: str, *, streaming: bool) -> Reading:
    """Read an answer with the vendor's SDK, whatever it raises."""
    readers: Any = {"anthropic": _by_anthropic, "gemini": _by_gemini}
    readers |= {"ollama": _by_ollama, "openai": _by_openai, "openai-responses": _by_responses}
    try:
        found: Reading = readers[wire](emulator, streaming=streaming)
    except ValueError:  # what it takes for JSON is none
        return Reading(ended=False)
    return found


def _by_openai(emulator: Emulator, *, streaming: bool) -> Reading:
    import openai

    asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    with openai.OpenAI(
        api_key="sk-any",
        base_url=emulator.openai_base_url,
        max_retries=0,
        http_client=openai.DefaultHttpxClient(verify=False),
    ) as sdk:
        if not streaming:
            answer = sdk.chat.completions.create(**asked)
            (choice,) = answer.choices
            said = choice.message
            calls = [
                (each.id, each.function.name, each.function.arguments)
                for each in said.tool_calls or ()
            ]
            thought = getattr(said, "reasoning_content", None) or ""
            usage, reason, text = answer.usage, choice.finish_reason, said.content or ""
        else:
            text, thought, reason, usage = "", "", None, None
            parts: dict[int, list[str]] = {}
            stream = sdk.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}
            )
            for chunk in stream:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    thought += getattr(choice.delta, "reasoning_content", None) or ""
                    reason = choice.finish_reason or reason
                    for each in choice.delta.tool_calls or ():
                        part = parts.setdefault(each.index, ["", "", ""])
                        part[0] = each.id or part[0]
                        part[1] = each.function.name or part[1]
                        part[2] += each.function.arguments or ""
            calls = [tuple(part) for _, part in sorted(parts.items())]
    return Reading(
        text=text,
        thinking=thought,
        calls=tuple((id_, name, read(arguments)) for id_, name, arguments in calls),
        stop_reason=reason,
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
    )


def _by_anthropic(emulator: Emulator, *, streaming: bool) -> Reading:
    import anthropic

    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    asked |= {"model": "m", "max_tokens": 9999}
    with anthropic.Anthropic(
        api_key="sk-any",
        base_url=emulator.base_url,
        max_retries=0,
        http_client=anthropic.DefaultHttpxClient(verify=False),
    ) as sdk:
        if streaming:
            with sdk.messages.stream(**asked) as stream:
                message = stream.get_final_message()
        else:
            message = sdk.messages.create(**asked)
    usage = message.usage
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return Reading(
        text="".join(block.text for block in message.content if block.type == "text"),
        thinking="".join(block.thinking for block in message.content if block.type == "thinking"),
        calls=tuple(
            (block.id, block.name, block.input)
            for block in message.content
            if block.type == "tool_use"
        ),
        stop_reason=message.stop_reason,
        input_tokens=usage.input_tokens + cached,
        output_tokens=usage.output_tokens,
    )


def _by_gemini(emulator: Emulator, *, streaming: bool) -> Reading:
    from support.google import google

    asked: dict[str, Any] = {"model": "gemini-3-flash", "contents": "Hi"}
    with google(emulator.base_url) as sdk:
        if streaming:
            answers = [each for each in sdk.models.generate_content_stream(**asked)]
        else:
            answers = [sdk.models.generate_content(**asked)]
    candidates = [answer.candidates[0] for answer in answers if answer.candidates]
    parts = [
        part
        for candidate in candidates
        for part in (candidate.content.parts if candidate.content else None) or ()
    ]
    reasons = [candidate.finish_reason for candidate in candidates if candidate.finish_reason]
    usage = answers[-1].usage_metadata
    said = usage.candidates_token_count, usage.thoughts_token_count
    return Reading(
        text="".join(part.text for part in parts if part.text and not part.thought),
        thinking="".join(part.text for part in parts if part.text and part.thought),
        calls=tuple(
            (part.function_call.id, part.function_call.name, part.function_call.args)
            for part in parts
            if part.function_call
        ),
        stop_reason=reasons[-1].value if reasons else None,
        input_tokens=usage.prompt_token_count,
        output_tokens=None if said == (None, None) else sum(filter(None, said)),
    )


def _by_ollama(emulator: Emulator, *, streaming: bool) -> Reading:
    from ollama import Client

    asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    with Client(host=emulator.base_url, verify=False) as sdk:
        if streaming:
            answers = [each for each in sdk.chat(**asked, stream=True)]
        else:
            answers = [sdk.chat(**asked)]
    calls = [call for answer in answers for call in answer.message.tool_calls or ()]
    last = answers[-1]
    return Reading(
        text="".join(answer.message.content or "" for answer in answers),
        thinking="".join(answer.message.thinking or "" for answer in answers),
        # The SDK does not read the ids that newer servers send.
        calls=tuple(
            (f"call_{at}", call.function.name, dict(call.function.arguments))
            for at, call in enumerate(calls)
        ),
        stop_reason=last.done_reason,
        input_tokens=last.prompt_eval_count,
        output_tokens=last.eval_count,
        ended=last.done is True,
    )


def _by_responses(emulator: Emulator, *, streaming: bool) -> Reading:
    import openai

    asked: dict[str, Any] = {"model": "m", "input": "Hi", "store": False}
    with openai.OpenAI(
        api_key="sk-any",
        base_url=emulator.openai_base_url,
        max_retries=0,
        http_client=openai.DefaultHttpxClient(verify=False),
    ) as sdk:
        if streaming:
            with sdk.responses.stream(**asked) as stream:
                for event in stream:
                    if event.type in ("response.completed", "response.incomplete"):
                        answer = event.response
        else:
            answer = sdk.responses.create(**asked)
    pieces = [piece for item in answer.output if item.type == "message" for piece in item.content]
    why, usage = answer.incomplete_details, answer.usage
    return Reading(
        text="".join(
            piece.text if piece.type == "output_text" else piece.refusal for piece in pieces
        ),
        thinking="".join(
            part.text for item in answer.output if item.type == "reasoning" for part in item.summary
        ),
        calls=tuple(
            (item.call_id, item.name, read(item.arguments))
            for item in answer.output
            if item.type == "function_call"
        ),
        stop_reason=answer.status if why is None else why.reason,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
    )
