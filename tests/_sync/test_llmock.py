# Generated from tests/_async/test_llmock.py. Do not edit.
"""Somebody else's emulator grades the client: llmock breaks answers, and says whether they were well taken.

It sees requests and no exceptions. Where text was shown we raise and do not ask again, which it calls an
accepted truncation or giving up: there the test is the error and the one request.
"""

from __future__ import annotations

from typing import Any

import pytest

from llmkit import (
    AuthenticationFailed,
    Kit,
    Overloaded,
    ProtocolError,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamTruncated,
)
from support.kits import TRANSPORTS, WIRES

pytest.importorskip("llmock", minversion="0.2")

SAID = "Foxes run, hounds follow, and the hedge stays where it is."
FAULTS = ["disconnect", "truncate", "corrupt", "stall"]
# The chunk of each wire after which there is content.
CONTENT = {"anthropic": 4, "openai": 3}
MODELS = {"anthropic": "claude-haiku-4-5", "openai": "gpt-5-mini"}


def kit_for(llmock: Any, wire: str, transport: str, **more: Any) -> Kit:
    """Make a kit that calls llmock, with the waits that a program in earnest has, but shorter."""
    return Kit(
        {
            "providers": {wire: {"base_url": llmock.base_url(wire), "api_key": "test-key"}},
            "models": {"default": f"{wire}:{MODELS[wire]}"},
            "timeouts": {"idle": 2, "first_content": 2},
            "retry": {"wait_initial": 0.1, "wait_max": 2},
            "transport": transport,
            "ledger": False,
            **more,
        }
    )


def broken(llmock: Any, fault: str, after_chunks: int) -> None:
    """Break the next stream after so many chunks."""
    more = {"seconds": 30} if fault == "stall" else {}
    if fault == "corrupt":
        # The answer goes on after the broken chunk. llmock takes a retry for another call if it had sent all of it by then.
        llmock.pace(chunk_delay_ms=100)
    getattr(llmock.reply(SAID, times=None), fault)(after_chunks=after_chunks, **more)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("wire", WIRES)
def test_a_fault_before_content_is_mended_unseen(
    llmock: Any, wire: str, fault: str, transport: str
) -> None:
    """One more request, a whole answer, and nothing to find."""
    broken(llmock, fault, 1)
    kit = kit_for(llmock, wire, transport)
    with kit.client.stream("Tell me about foxes") as stream:
        said = [text for text in stream.text()]
    kit.close()
    assert "".join(said) == SAID
    assert len(llmock.requests) == 2
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("disconnect", StreamTruncated),
        ("truncate", StreamTruncated),
        ("corrupt", ProtocolError),
        ("stall", ProviderTimeout),
    ],
)
@pytest.mark.parametrize("wire", WIRES)
def test_a_fault_after_content_is_an_error(
    llmock: Any, wire: str, fault: str, error: type[Exception], transport: str
) -> None:
    """One request, an error of a type that holds the text so far; no half answer passes for a whole one."""
    broken(llmock, fault, CONTENT[wire])
    kit = kit_for(llmock, wire, transport)
    said = ""
    with pytest.raises(error) as caught:
        with kit.client.stream("Tell me about foxes") as stream:
            for text in stream.text():
                said += text
    kit.close()
    assert said
    assert SAID.startswith(said)
    assert said != SAID
    assert caught.value.response.text == said  # type: ignore[attr-defined]
    assert len(llmock.requests) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("status", [429, 500, 503, 529])
@pytest.mark.parametrize("wire", WIRES)
def test_a_status_that_may_mend(
    llmock: Any, wire: str, status: int, transport: str, *, streaming: bool
) -> None:
    """It is tried again, after as long as the provider asks for, and the answer is whole."""
    llmock.reply(SAID, times=None).fail(status, retry_after=0.2)
    kit = kit_for(llmock, wire, transport)
    if streaming:
        with kit.client.stream("Tell me about foxes") as stream:
            for _ in stream:
                pass
        reply = stream.response
    else:
        reply = kit.client.complete("Tell me about foxes")
    kit.close()
    assert reply.text == SAID
    assert len(llmock.requests) == 2
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RequestRejected), (401, AuthenticationFailed), (404, RequestRejected)],
)
@pytest.mark.parametrize("wire", WIRES)
def test_a_status_that_cannot_mend(
    llmock: Any, wire: str, status: int, error: type[Exception], transport: str
) -> None:
    """It is not tried again."""
    llmock.fail(status)
    kit = kit_for(llmock, wire, transport)
    with pytest.raises(error):
        kit.client.complete("Tell me about foxes")
    kit.close()
    assert len(llmock.requests) == 1
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("status", "error"), [(429, RateLimited), (503, ServerFailed), (529, Overloaded)]
)
@pytest.mark.parametrize("wire", WIRES)
def test_an_outage_is_no_storm(
    llmock: Any, wire: str, status: int, error: type[Exception], transport: str
) -> None:
    """A provider that stays down is asked as often as the settings say, and not at once."""
    llmock.fail(status, retry_after=0.1, times=None)
    kit = kit_for(llmock, wire, transport)
    with pytest.raises(error):
        kit.client.complete("Tell me about foxes")
    kit.close()
    assert len(llmock.requests) == 4
    llmock.assert_resilient()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("wire", WIRES)
def test_nobody_waits_for_an_hour(llmock: Any, wire: str, transport: str) -> None:
    """A Retry-After beyond the limit ends the call, with the time to come back at."""
    llmock.rate_limit(retry_after=3600)
    kit = kit_for(llmock, wire, transport)
    with pytest.raises(RateLimited) as caught:
        kit.client.complete("Tell me about foxes")
    kit.close()
    assert caught.value.retry_after == 3600
    assert len(llmock.requests) == 1
