"""Attempts that fail before the first content: retried unseen, or not, and each on the books."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from llmkit import InvalidRequest, Kit, ProviderError, ServerFailed
from llmkit.testing import Behaviour, Emulator
from support.kits import ASYNC_TRANSPORTS, WIRES, make_kit
from support.raw_provider import raw_provider
from support.rows import database, rows

WHOLE = {
    "type": "message",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
TEXT = Behaviour(text="Hello there.", delay=0)
MENDING = [
    Behaviour(status=429, retry_after="0.001"),
    Behaviour(status=500),
    Behaviour(status=503),
    Behaviour(status=529),
    Behaviour(hang_up=True),
    Behaviour(hang_up=True, reset=True),
    Behaviour(tokens=3, error_frame_at=0),
    Behaviour(tokens=3, cut_at=1),
    Behaviour(body=b""),
]
FINAL = [Behaviour(status=400), Behaviour(status=401), Behaviour(status=403), Behaviour(status=404)]


def told(found: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(row["attempt"], row["status"]) for row in found]


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("failure", MENDING)
async def test_what_may_mend_is_tried_again_unseen(
    tmp_path: Path, failure: Behaviour, streaming: bool, wire: str
) -> None:
    """The caller sees one answer; the books have every attempt that the emulator counted, and the last is finished."""
    with Emulator(behaviour=TEXT) as emulator:
        emulator.script(failure, failure)
        kit = make_kit(emulator, wire=wire, ledger={"database": database(tmp_path)})
        if streaming:
            async with kit.async_client.stream("Say hi") as stream:
                text = "".join([text async for text in stream.text()])
        else:
            text = (await kit.async_client.complete("Say hi")).text
        await kit.aclose()
        counted = len(emulator.requests)
    assert text == "Hello there."
    found = rows(tmp_path)
    assert counted == len(found) == 3
    assert told(found)[2] == (3, "finished")
    assert {status for _, status in told(found)[:2]} <= {"failed", "truncated"}
    assert len({row["call_id"] for row in found}) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("failure", FINAL)
async def test_what_cannot_mend_is_not(tmp_path: Path, failure: Behaviour, wire: str) -> None:
    """A request or a key that is refused is refused once."""
    with Emulator(behaviour=failure) as emulator:
        kit = make_kit(emulator, wire=wire, ledger={"database": database(tmp_path)})
        with pytest.raises(ProviderError) as caught:
            async with kit.async_client.stream("Say hi"):
                pass
        await kit.aclose()
        assert len(emulator.requests) == 1
    assert caught.value.status_code == failure.status
    (row,) = rows(tmp_path)
    assert (row["attempt"], row["status"], row["http_status"]) == (1, "failed", failure.status)


@pytest.mark.anyio
async def test_a_refused_connection_is_tried_again(tmp_path: Path) -> None:
    """A provider that comes up between two attempts is reached by the second; nothing was billed for the first."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    emulator = Emulator(port=port, behaviour=TEXT)

    def chance() -> float:  # asked for the jitter, after the first attempt has failed
        emulator.start()
        return 0.5

    provider = {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": "test-key"}
    config = {
        "providers": {"openai": provider},
        "models": {"default": "openai:gpt-5-mini"},
        "retry": {"wait_initial": 0.001},
        "ledger": {"database": database(tmp_path)},
    }
    kit = Kit(config, chance=chance)
    try:
        reply = await kit.async_client.complete("Say hi")
    finally:
        await kit.aclose()
        emulator.stop()
    assert reply.text == "Hello there."
    refused, answered = rows(tmp_path)
    assert told([refused, answered]) == [(1, "failed"), (2, "finished")]
    assert refused["error_type"] == "connection_failed"
    assert (refused["http_status"], refused["input_tokens"]) == (None, None)
    assert refused["input_source"] == refused["output_source"] == "unknown"


@pytest.mark.anyio
async def test_the_next_model_answers_for_the_first(tmp_path: Path) -> None:
    """An alias of two models: what the first cannot do the second does, in the same call."""
    with Emulator(behaviour=Behaviour(status=401)) as broken, Emulator(behaviour=TEXT) as sound:
        kit = make_kit(
            sound,
            providers={
                "near": {
                    "wire": "openai",
                    "base_url": broken.openai_base_url,
                    "api_key": "test-key",
                },
                "far": {"wire": "anthropic", "base_url": sound.base_url, "api_key": "test-key"},
            },
            models={"default": ["near:small", "far:large"]},
            ledger={"database": database(tmp_path)},
        )
        reply = await kit.async_client.complete("Say hi")
        await kit.aclose()
    assert (reply.text, reply.provider) == ("Hello there.", "far")
    assert [(row["provider"], row["status"]) for row in rows(tmp_path)] == [
        ("near", "failed"),
        ("far", "finished"),
    ]


@pytest.mark.anyio
async def test_every_route_is_asked(tmp_path: Path) -> None:
    """Two routes fail slowly, so that the first one's wait is over by then: the third, which is sound, is asked all the same."""
    failing = Behaviour(status=503, head_delay=0.05)
    with (
        Emulator(behaviour=failing) as one,
        Emulator(behaviour=failing) as two,
        Emulator() as three,
    ):
        sound = three.base_url
        kit = Kit(
            {
                "providers": {
                    name: {"wire": "anthropic", "base_url": url, "api_key": "test-key"}
                    for name, url in (("a", one.base_url), ("b", two.base_url), ("c", sound))
                },
                "models": {"default": ["a:m", "b:m", "c:m"]},
                "retry": {"wait_initial": 0.001, "wait_max": 0.002},
            }
        )
        assert (await kit.async_client.complete("Say hi")).provider == "c"
        await kit.aclose()
        assert [len(each.requests) for each in (one, two, three)] == [1, 1, 1]


@pytest.mark.anyio
async def test_an_option_that_the_next_route_does_not_know(tmp_path: Path) -> None:
    """A route that has no word for `seed` is passed over: the failure of the first one stays what it is, with its one row."""
    with Emulator(behaviour=Behaviour(status=503)) as emulator:
        kit = Kit(
            {
                "providers": {
                    "openai": {"base_url": emulator.openai_base_url, "api_key": "test-key"},
                    "anthropic": {"base_url": emulator.base_url, "api_key": "test-key"},
                },
                "models": {"default": ["openai:gpt-5-mini", "anthropic:claude-sonnet-4-5"]},
                "retry": {"attempts": 2, "wait_initial": 0.001, "wait_max": 0.002},
                "ledger": {"database": database(tmp_path)},
            }
        )
        with pytest.raises(ServerFailed):
            await kit.async_client.complete("Say hi", seed=7)
        with pytest.raises(InvalidRequest):
            await kit.async_client.complete(
                "Say hi", seed=7, model="anthropic:claude-sonnet-4-5", user="alone"
            )
        await kit.aclose()
    found = [(row["status"], row["provider"], row["attempt"]) for row in rows(tmp_path)]
    assert found == [("failed", "openai", 1), ("failed", "openai", 2), ("refused", None, 0)]


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_a_kept_connection_that_the_provider_has_closed(
    tmp_path: Path, transport: str
) -> None:
    """The call goes over a new one at once, however long the wait of a failure would be; both attempts are on the books."""
    answered: list[int] = []

    def answer(line: socket.socket) -> None:
        answered.append(1)
        body = json.dumps(WHOLE).encode()
        line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        if len(answered) == 1:  # and it closes when the next request is there
            line.recv(65536)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with raw_provider(answer) as url, Emulator() as emulator:
        kit = make_kit(
            emulator,
            transport=transport,
            providers={"anthropic": {"base_url": url, "api_key": "test-key"}},
            retry={"attempts": 2, "wait_initial": 60, "wait_max": 60},
            timeouts={"total": 30},
            ledger={"database": database(tmp_path)},
        )
        for _ in range(2):
            assert (await kit.async_client.complete("Say hi")).text == "Hello."
        await kit.aclose()
    found = [(row["status"], row["attempt"]) for row in rows(tmp_path)]
    assert found == [("finished", 1), ("failed", 1), ("finished", 2)]


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_an_unreachable_provider_is_named(transport: str) -> None:
    """Who has several sees which one could not be reached, without its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    given = {"wire": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "test-key"}
    kit = Kit({"providers": {"near": given}, "retry": {"attempts": 1}, "transport": transport})
    with pytest.raises(ProviderError) as caught:
        await kit.async_client.complete("Say hi", model="near:m")
    await kit.aclose()
    assert str(caught.value).startswith("could not connect to the provider (near). Check the")
    assert str(port) not in str(caught.value)


@pytest.mark.anyio
async def test_an_attempt_that_another_follows_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Who wonders why a call took long finds each failed attempt in the log; the last one is the caller's error.

    The second broke over a kept connection, which is made anew at once.
    """
    caplog.set_level("INFO", "llmkit.stream")
    with Emulator(behaviour=Behaviour(status=500)) as emulator:
        emulator.script(Behaviour(status=529), Behaviour(hang_up=True))
        kit = make_kit(emulator, retry={"attempts": 3, "wait_initial": 0.1, "wait_jitter": 0})
        with pytest.raises(ServerFailed):
            await kit.async_client.complete("Say hi")
        await kit.aclose()
    model = "anthropic:claude-sonnet-4-5"
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        (
            "llmkit.stream",
            f"attempt 1 failed ({model}, overloaded); attempt 2 follows in 0.1 s ({model})",
        ),
        (
            "llmkit.stream",
            f"attempt 2 failed ({model}, connection_failed); attempt 3 follows in 0.0 s ({model})",
        ),
    ]
