"""The provider in the documentation, run as it stands."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import httpx
import pytest

import llmkit.providers.base
from llmkit import Kit, ProtocolError, RateLimited, StreamTruncated

JSON = {"content-type": "application/json"}
ODD = {
    "no text": '{"said": 5, "tokens": [1, 1]}',
    "a list": '{"said": ["x"], "tokens": [1, 1]}',
    "no object": "[]",
    "too deep": "[" * 1_000_000,
    "three counts": '{"said": "x", "tokens": [1, 1, 1]}',
}


def answer(request: httpx.Request) -> httpx.Response:
    """Answer as that server would."""
    asked = json.loads(request.content)
    if asked["say"] == "too much":
        return httpx.Response(429, json={"error": {"type": "rate_limit_error"}})
    if asked["say"] == "no counts":
        return httpx.Response(200, json={"said": "x", "tokens": ["a", "b"]})
    if asked["say"] in ODD:
        return httpx.Response(200, text=ODD[asked["say"]], headers=JSON)
    if not asked["stream"]:
        return httpx.Response(200, json={"said": asked["say"], "tokens": [3, 1]})
    events = [f"data: {word} \n\n" for word in asked["say"].split()]
    end = "" if asked["say"] == "cut me" else "event: done\ndata: \n\n"
    headers = {"content-type": "text/event-stream"}
    return httpx.Response(200, headers=headers, content="".join([*events, end]).encode())


def test_the_example() -> None:
    """It answers whole and streamed, with its price; its errors and cuts are those of every provider."""
    [example] = re.findall(r"```python\n(.*?)```", llmkit.providers.base.__doc__ or "", re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "example", "exec"), names)  # noqa: S102
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        settings = {**names["settings"], "retry": {"attempts": 1}}
        kit = Kit(settings, providers=[names["Parrot"]()], http_client=http)
        reply = kit.client.complete("Hello")
        assert (reply.text, reply.usage.input_tokens) == ("Hello", 3)
        assert reply.cost == Decimal("0.000005")
        with kit.client.stream("one two") as stream:
            assert "".join(stream.text()) == "one two "
        with pytest.raises(RateLimited):
            kit.client.complete("too much")
        for odd in ODD:
            with pytest.raises(ProtocolError, match="parrot sent an answer"):
                kit.client.complete(odd)
        reply = kit.client.complete("no counts")
        assert (reply.text, reply.usage.input_source) == ("x", "estimated")
        with pytest.raises(StreamTruncated), kit.client.stream("cut me") as stream:
            for _ in stream:
                pass
        kit.close()
