# Generated from tests/_async/test_estimates.py. Do not edit.
"""What a call is booked with where the provider did not say: an estimate if it may bill, else nothing."""

from __future__ import annotations

import math
import socket
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import ConnectionFailed, ProviderError, ProviderTimeout
from llmkit.policy.estimate import estimate_tokens
from llmkit.testing import Behaviour, Emulator
from support.dead_ends import needs_full_queue, unanswered
from support.kits import TRANSPORTS, WIRES, make_kit
from support.rows import database, rows

PROMPT, SYSTEM, TEXT, THOUGHT = "Say hi to everybody.", "Be brief.", "Hello there, you.", "Hm, hm."
ASKED = estimate_tokens(SYSTEM + PROMPT)
SAID = estimate_tokens(TEXT + THOUGHT)
NAMES = {
    "anthropic": ("input_tokens", "output_tokens"),
    "openai": ("prompt_tokens", "completion_tokens"),
}
# What the provider reports: the prompt, the answer.
REPORTED = [(False, False), (True, False), (False, True), (True, True)]


def reporting(wire: str, reported: tuple[bool, bool]) -> Behaviour:
    """Answer with these counts: 1001 tokens of prompt, 1002 of answer."""
    usage: dict[str, Any] = {
        name: count if known else None
        for name, count, known in zip(NAMES[wire], (1001, 1002), reported, strict=True)
    }
    return Behaviour(text=TEXT, thinking=THOUGHT, delay=0, usage=usage if any(reported) else False)


@pytest.mark.parametrize("how", ["complete", "stream"])
@pytest.mark.parametrize("reported", REPORTED)
@pytest.mark.parametrize("wire", WIRES)
def test_a_finished_answer(
    tmp_path: Path, wire: str, reported: tuple[bool, bool], how: str
) -> None:
    """Each side that was not reported is estimated and says so, in the response and in the row, and the call has a cost."""
    with Emulator(behaviour=reporting(wire, reported)) as emulator:
        kit = make_kit(emulator, wire=wire, ledger={"database": database(tmp_path)})
        if how == "complete":
            reply = kit.client.complete(PROMPT, system=SYSTEM)
        else:
            with kit.client.stream(PROMPT, system=SYSTEM) as stream:
                for _ in stream:
                    pass
            reply = stream.response
        kit.close()
    (row,) = rows(tmp_path)
    sources = tuple("reported" if known else "estimated" for known in reported)
    tokens = (1001 if reported[0] else ASKED, 1002 if reported[1] else SAID)
    usage = reply.usage
    assert (usage.input_tokens, usage.output_tokens) == tokens
    assert (usage.input_source, usage.output_source) == sources
    assert (row["input_tokens"], row["output_tokens"]) == tokens
    assert (row["input_source"], row["output_source"]) == sources
    assert row["status"] == "finished"
    assert reply.cost
    assert row["cost_usd"]


@pytest.mark.parametrize("clock", ["first_content", "total"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_attempt_that_nobody_answered_in_time(
    tmp_path: Path, transport: str, clock: str
) -> None:
    """The request was sent and may be billed: the prompt is estimated, the answer has no tokens."""
    with Emulator(behaviour=Behaviour(head_delay=math.inf)) as emulator:
        kit = make_kit(
            emulator,
            transport=transport,
            timeouts={clock: 1},
            retry={"attempts": 1},
            ledger={"database": database(tmp_path)},
        )
        with pytest.raises(ProviderTimeout) as caught:
            with kit.client.stream(PROMPT, system=SYSTEM):
                pass
        kit.close()
    assert caught.value.clock == clock
    (row,) = rows(tmp_path)
    assert (row["input_tokens"], row["input_source"]) == (ASKED, "estimated")
    assert (row["output_tokens"], row["output_source"]) == (0, "estimated")
    assert row["cost_usd"]


def check_nothing_is_billed(folder: Path, *, sent: bool = True) -> None:
    """See that the one row has no tokens, and a cost only where it is known that nothing was sent."""
    (row,) = rows(folder)
    assert (row["input_tokens"], row["input_source"]) == (None, "unknown")
    assert (row["output_tokens"], row["output_source"]) == (None, "unknown")
    assert (row["cost_usd"] is None) if sent else (Decimal(row["cost_usd"]) == 0)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_attempt_that_reached_nobody(tmp_path: Path, transport: str) -> None:
    """Where the connection was refused nothing was sent, and nothing is booked."""
    with Emulator() as emulator, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        kit = make_kit(
            emulator,
            transport=transport,
            providers={"anthropic": {"base_url": address, "api_key": "test-key"}},
            retry={"attempts": 1},
            ledger={"database": database(tmp_path)},
        )
        with pytest.raises(ConnectionFailed):
            kit.client.complete(PROMPT)
        kit.close()
    check_nothing_is_billed(tmp_path, sent=False)


@needs_full_queue
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_attempt_that_never_connected(tmp_path: Path, transport: str) -> None:
    """The same where nobody took the connection in time."""
    with Emulator() as emulator, unanswered() as address:
        kit = make_kit(
            emulator,
            transport=transport,
            providers={"anthropic": {"base_url": address, "api_key": "test-key"}},
            timeouts={"connect": 0.2},
            retry={"attempts": 1},
            ledger={"database": database(tmp_path)},
        )
        with pytest.raises(ProviderTimeout) as caught:
            kit.client.complete(PROMPT)
        kit.close()
    assert caught.value.clock == "connect"
    check_nothing_is_billed(tmp_path, sent=False)


@pytest.mark.parametrize("status", [401, 429, 500])
def test_an_attempt_that_was_answered_with_an_error(tmp_path: Path, status: int) -> None:
    """Nothing is booked for it either."""
    with Emulator(behaviour=Behaviour(status=status)) as emulator:
        kit = make_kit(emulator, retry={"attempts": 1}, ledger={"database": database(tmp_path)})
        with pytest.raises(ProviderError, match=str(status)):
            kit.client.complete(PROMPT)
        kit.close()
    check_nothing_is_billed(tmp_path)
