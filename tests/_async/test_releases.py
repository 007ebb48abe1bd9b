"""Whatever fails at an answer's end: its row is closed, its place is given back and its connection let go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import ConfigError, Kit, LLMKitError
from llmkit.call import Call
from llmkit.providers.anthropic import Anthropic
from llmkit.providers.base import Decoder
from llmkit.testing import Behaviour, Emulator
from llmkit.usage import Usage
from support.kits import ASYNC_TRANSPORTS, settings
from support.rows import database, rows

SAID = Behaviour(tokens=3, delay=0)


class Odd:
    """A provider of the app's own, whose decoder says odd things of its answer."""

    def __init__(self, inner: Anthropic, oddity: str) -> None:
        self.name = "odd"
        self._inner = inner
        self._oddity = oddity
        self.build_request = inner.build_request
        self.error = inner.error

    def decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Any:
        """Make a decoder, and an odd one of it."""
        return OddDecoder(self._inner.decoder(call, model, headers), self._oddity)


class OddDecoder:
    """Passes on what the inner decoder says, with one oddity."""

    def __init__(self, inner: Decoder, oddity: str) -> None:
        self._inner = inner
        self._oddity = oddity

    def __getattr__(self, name: str) -> Any:
        if self._oddity == "raises" and name in ("usage", "model"):
            raise LookupError("the app's own mistake")
        value = getattr(self._inner, name)
        if name == "model" and self._oddity == "model":
            return object()
        if name == "usage":
            return self._odd(value)
        return value

    def _odd(self, usage: Usage) -> Usage:
        counts = {"huge": 10**30, "large": 2**63, "text": "7", "negative": -(2**40)}
        if self._oddity not in counts:
            return usage
        return replace(usage, input_tokens=counts[self._oddity])  # type: ignore[arg-type]  # as an app may

    def feed(self, data: bytes) -> Any:
        """Take in bytes."""
        return self._last(self._inner.feed(data))

    def close(self, **options: Any) -> Any:
        """Take in the end."""
        return self._last(self._inner.close(**options))

    def _last(self, events: list[Any]) -> list[Any]:
        for at, event in enumerate(events):
            if hasattr(event, "usage"):
                events[at] = type(event)(
                    event.stop_reason, event.raw_stop_reason, self._odd(event.usage)
                )
        return events


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
@pytest.mark.parametrize("oddity", ["huge", "large", "negative", "text", "model", "raises"])
async def test_odd_words_of_an_answer(oddity: str, transport: str, tmp_path: Path) -> None:
    """Each call after it finds its place; the row says how the answer ended, without what no database takes."""
    with Emulator(behaviour=SAID) as emulator:
        odd = Odd(Anthropic(base_url=emulator.base_url, api_key="test-key"), oddity)
        config = settings(
            emulator,
            transport=transport,
            concurrency={"per_process": 1, "queue": 0},
            ledger={"database": database(tmp_path)},
            models={"default": "odd:m"},
        )
        kit = Kit(config, providers=[odd])
        for _ in range(2):
            try:
                async with kit.async_client.stream("Say hi") as stream:
                    while await stream.read() is not None:
                        pass
                await kit.async_client.complete("Say hi")
            except (LookupError, ArithmeticError, TypeError):
                assert oddity in (
                    "raises",
                    "text",
                )  # what the app's own code gives it may stumble over
        assert kit.limit.running == 0
        assert not kit.runtime.open_attempts
        await kit.aclose()
        emulator.wait_for_connections(0)
    found = rows(tmp_path)
    assert found
    assert {row["status"] for row in found} == {"finished"}


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_odd_words_of_a_broken_answer(transport: str, tmp_path: Path) -> None:
    """A stream that breaks is closed at once, even if nobody can say what it came to."""
    with Emulator(behaviour=Behaviour(tokens=9, delay=0, error_frame_at=3)) as emulator:
        odd = Odd(Anthropic(base_url=emulator.base_url, api_key="test-key"), "raises")
        books = {"database": database(tmp_path)}
        config = settings(emulator, transport=transport, ledger=books, models={"default": "odd:m"})
        kit = Kit(config, providers=[odd])
        stream = await kit.async_client.stream("Say hi").open()
        with pytest.raises((LookupError, LLMKitError)):
            while await stream.read() is not None:
                pass
        assert kit.limit.running == 0
        assert not kit.runtime.open_attempts
        await stream.aclose()
        await kit.aclose()
    assert [row["status"] for row in rows(tmp_path)] == ["failed"]


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_what_was_never_sent_costs_nothing(transport: str, tmp_path: Path) -> None:
    """A refused connection is no expense, which is known; what may have been sent is not."""
    with Emulator(behaviour=Behaviour(hang_up=True)) as emulator:
        books = {"database": database(tmp_path)}
        for url in ("http://127.0.0.1:1", emulator.base_url):
            config = settings(
                emulator,
                transport=transport,
                ledger=books,
                retry={"attempts": 1},
                providers={"anthropic": {"base_url": url, "api_key": "test-key"}},
            )
            kit = Kit(config)
            with pytest.raises(LLMKitError):
                await kit.async_client.complete("Say hi")
            await kit.aclose()
    never_sent, sent = rows(tmp_path)
    assert Decimal(never_sent["cost_usd"]) == 0
    assert sent["cost_usd"] is None


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_what_could_not_be_sent_costs_nothing(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that shows itself wrong only when a request is to be sent: one row, and nothing was spent."""
    monkeypatch.setenv("HTTP_PROXY", "ftp://proxy.example")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Emulator() as emulator:
        books = {"database": database(tmp_path)}
        kit = Kit(settings(emulator, transport=transport, ledger=books))
        with pytest.raises(ConfigError, match="HTTP_PROXY"):
            await kit.async_client.complete("Say hi")
        assert kit.limit.running == 0
        await kit.aclose()
        assert emulator.requests == []
    (row,) = rows(tmp_path)
    assert (row["status"], row["error_type"]) == ("failed", "config_error")
    assert Decimal(row["cost_usd"]) == 0
    assert row["input_source"] == "unknown"


@pytest.mark.anyio
async def test_what_was_refused_costs_nothing(tmp_path: Path) -> None:
    """A call that no attempt was made for costs 0, and its row says so."""
    with Emulator() as emulator:
        kit = Kit(settings(emulator, ledger={"database": database(tmp_path)}))
        with pytest.raises(LLMKitError):
            await kit.async_client.complete("Say hi", model="nobody:x")
        await kit.aclose()
    (row,) = rows(tmp_path)
    assert (row["status"], Decimal(row["cost_usd"]), row["attempt"]) == ("refused", 0, 0)
