# Generated from tests/_async/test_networks.py. Do not edit.
"""A network that fails: between us and the provider, below HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from llmkit import ProviderTimeout, StreamTruncated
from llmkit.testing import Behaviour, Emulator, Fault, FaultProxy
from support.kits import TRANSPORTS, WIRES, make_kit
from support.rows import database, rows
from support.waits import call

ANSWER = Behaviour(tokens=30, delay=0)
# Into the body of an answer of thirty tokens, behind its first ones, on either wire.
MIDDLE = 2500


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run a provider."""
    with Emulator(behaviour=ANSWER) as emulator:
        yield emulator


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[FaultProxy]:
    """Run a network before it."""
    with FaultProxy(emulator.base_url) as proxy:
        yield proxy


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", [Fault(piece=1), Fault(piece=7), Fault(latency=0.02)])
def test_a_poor_network_changes_nothing(
    emulator: Emulator, proxy: FaultProxy, transport: str, wire: str, fault: Fault
) -> None:
    """Bytes that come one by one, or late, give the same answer."""
    proxy.fault = fault
    kit = make_kit(emulator, wire=wire, transport=transport, through=proxy)
    whole = kit.client.complete("Say hi")
    with kit.client.stream("Say hi") as stream:
        text = "".join([piece for piece in stream.text()])
    kit.close()
    assert len(text.split()) == 30
    assert text == whole.text
    assert stream.response.stop_reason == "end"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("cut_at", [0, 20, 300])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_cut_before_content_is_mended_unseen(
    emulator: Emulator,
    proxy: FaultProxy,
    tmp_path: Path,
    transport: str,
    end: Literal["close", "reset"],
    cut_at: int,
) -> None:
    """Before the head, in it, and after it: the call is made again, and each attempt has its row."""
    proxy.script(Fault(cut_at=cut_at, end=end))
    kit = make_kit(
        emulator, transport=transport, through=proxy, ledger={"database": database(tmp_path)}
    )
    with kit.client.stream("Say hi") as stream:
        text = "".join([piece for piece in stream.text()])
    kit.close()
    assert len(emulator.requests) == proxy.accepted == 2
    assert len(text.split()) == 30
    assert [row["status"] for row in rows(tmp_path)] == ["failed", "finished"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_cut_after_content_is_an_error(
    emulator: Emulator,
    proxy: FaultProxy,
    tmp_path: Path,
    transport: str,
    end: Literal["close", "reset"],
) -> None:
    """Nothing is asked twice once text was handed on: the error has the partial answer, the row says truncated."""
    proxy.fault = Fault(cut_at=MIDDLE, end=end)
    kit = make_kit(
        emulator, transport=transport, through=proxy, ledger={"database": database(tmp_path)}
    )
    with pytest.raises(StreamTruncated) as caught:
        with kit.client.stream("Say hi") as stream:
            text = ""
            for piece in stream.text():
                text += piece
    kit.close()
    assert len(emulator.requests) == 1
    assert text
    assert caught.value.response is not None
    assert caught.value.response.text == text
    assert [row["status"] for row in rows(tmp_path)] == ["truncated"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("cut_at", "clock"), [(0, "first_content"), (MIDDLE, "idle")])
def test_a_peer_that_is_gone_without_a_word(
    emulator: Emulator, proxy: FaultProxy, tmp_path: Path, transport: str, cut_at: int, clock: str
) -> None:
    """A half-open connection is given up by a clock, which cuts it."""
    proxy.fault = Fault(cut_at=cut_at, end="silence")
    kit = make_kit(
        emulator,
        transport=transport,
        through=proxy,
        timeouts={clock: 0.2},
        retry={"attempts": 1},
        ledger={"database": database(tmp_path)},
    )
    with pytest.raises(ProviderTimeout) as caught:
        with kit.client.stream("Say hi") as stream:
            for _ in stream:
                pass
    call(lambda: emulator.wait_for_connections(0))
    kit.close()
    assert caught.value.clock == clock
    (row,) = rows(tmp_path)
    assert (row["status"], row["error_code"]) == ("failed", clock)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_kept_connection_that_died(
    emulator: Emulator, proxy: FaultProxy, transport: str, wire: str, end: Literal["close", "reset"]
) -> None:
    """A connection that went while nobody used it costs an attempt at most, never an answer."""
    kit = make_kit(emulator, wire=wire, transport=transport, through=proxy)
    first = kit.client.complete("Say hi")
    proxy.cut(end)
    with kit.client.stream("Say hi") as stream:
        text = "".join([piece for piece in stream.text()])
    kit.close()
    assert proxy.accepted == 2
    assert text == first.text
