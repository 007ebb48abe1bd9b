"""A host's own tests may mock llmkit's calls with respx, where the transport is httpx: whole answers, streams, statuses."""

from __future__ import annotations

import json

import httpx
import pytest
import respx

from llmkit import AsyncClient, AuthenticationFailed, Kit, StreamTruncated

URL = "https://api.anthropic.com/v1/messages"
CONFIG = {
    "providers": {"anthropic": {"api_key": "test-key"}},
    "models": {"default": "anthropic:claude-sonnet-4-5"},
    "retry": {"attempts": 2, "wait_initial": 0.001, "wait_max": 0.002},
    "transport": "httpx",
}
WHOLE = {
    "type": "message",
    "id": "msg_1",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
EVENTS = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 3}}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "lo."}},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
]
STREAM = {"content-type": "text/event-stream"}


def sse(*events: dict[str, object]) -> bytes:
    """Write events as the provider does."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )


@pytest.mark.anyio
@respx.mock
async def test_a_whole_answer_is_mocked() -> None:
    """The mock sees the request as it would go out, and its answer is read as a provider's."""
    route = respx.post(URL).respond(json=WHOLE)
    kit = Kit(CONFIG)
    reply = await kit.async_client.complete("Say hi", max_tokens=9)
    await kit.aclose()
    assert (reply.text, reply.stop_reason, reply.usage.output_tokens) == ("Hello.", "end", 2)
    sent = json.loads(route.calls.last.request.content)
    assert (sent["max_tokens"], sent["messages"][0]["content"]) == (9, "Say hi")


@pytest.mark.anyio
@respx.mock
async def test_a_stream_is_mocked() -> None:
    """With all its events, or cut short."""
    route = respx.post(URL)
    kit = Kit(CONFIG)
    route.respond(content=sse(*EVENTS), headers=STREAM)
    async with kit.async_client.stream("Say hi") as stream:
        assert "".join([text async for text in stream.text()]) == "Hello."
    route.respond(content=sse(*EVENTS[:3]), headers=STREAM)
    with pytest.raises(StreamTruncated) as caught:
        async with kit.async_client.stream("Say hi") as stream:
            async for _ in stream:
                pass
    await kit.aclose()
    assert caught.value.response is not None
    assert caught.value.response.text == "Hello."


@pytest.mark.anyio
@respx.mock
async def test_statuses_are_mocked() -> None:
    """A busy provider is asked again, a refused key is an error."""
    route = respx.post(URL)
    route.side_effect = [httpx.Response(529), httpx.Response(200, json=WHOLE), httpx.Response(401)]
    kit = Kit(CONFIG)
    assert (await kit.async_client.complete("Say hi")).text == "Hello."
    assert route.call_count == 2
    with pytest.raises(AuthenticationFailed):
        await kit.async_client.complete("Say hi")
    await kit.aclose()


@pytest.mark.anyio
@respx.mock
async def test_a_client_of_the_apps_own_is_mocked() -> None:
    """It is httpx that respx mocks, whoever made the client."""
    respx.post(URL).respond(json=WHOLE)
    async with httpx.AsyncClient() as http_client:
        client = AsyncClient(
            "anthropic:claude-sonnet-4-5", api_key="test-key", http_client=http_client
        )
        assert (await client.complete("Say hi")).text == "Hello."
        await client.aclose()
