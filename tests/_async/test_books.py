"""The rows that calls leave in the ledger, whatever becomes of them."""

from __future__ import annotations

import gc
import json
import threading
import warnings
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from llmkit import (
    AsyncCallNext,
    AsyncStream,
    AsyncStreamManager,
    Call,
    Caller,
    ConfigError,
    Kit,
    LedgerUnavailable,
    ProviderError,
    RateLimited,
    StreamClosed,
    StreamTruncated,
)
from llmkit.testing import Behaviour, Emulator
from support.kits import WIRES, make_kit
from support.rows import database, rows
from support.waits import async_call, wait_for

TEXT = Behaviour(text="Hello there, dear reader.", delay=0)


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
async def test_a_finished_call_is_on_the_books(tmp_path: Path, wire: str) -> None:
    """A finished call leaves one row: who, where, reported tokens, exact cost, times."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, wire=wire, ledger={"database": database(tmp_path)})
        caller = Caller(user="42", tenant="acme", tags={"page": "home"})
        async with kit.async_client.stream("Say hi", user=caller, conversation="chat-7") as stream:
            async for _ in stream:
                pass
            reply = stream.response
        await kit.aclose()
    (row,) = rows(tmp_path)
    assert (row["status"], row["attempt"], row["call_id"]) == ("finished", 1, reply.call_id)
    assert (row["user_key"], row["tenant"], row["tags"]) == ("42", "acme", '{"page": "home"}')
    assert (row["alias"], row["provider"], row["stop_reason"]) == ("default", wire, "end")
    assert row["input_tokens"] == reply.usage.input_tokens
    assert row["output_tokens"] == 4
    assert (row["input_source"], row["output_source"]) == ("reported", "reported")
    assert Decimal(str(row["cost_usd"])) > 0
    assert row["price_version"].startswith("genai-prices")
    assert row["started_at"] < row["first_content_at"] <= row["finished_at"]
    assert (row["streamed"], row["error_code"], row["conversation"]) == (1, None, "chat-7")
    assert row["raw_stop_reason"] == {"anthropic": "end_turn", "openai": "stop"}[wire]
    assert row["request_id"] == reply.request_id


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("model", "usage", "cost", "version"),
    [
        (
            "anthropic:claude-sonnet-4-5",
            {
                "input_tokens": 1000,
                "output_tokens": 100,
                "server_tool_use": {"web_search_requests": 2},
            },
            "0.0245",
            "genai-prices",
        ),
        ("anthropic:claude-sonnet-4-5", {"service_tier": "priority"}, None, None),
        ("openrouter:some/model", {"cost": 0.00123}, "0.00123", "stated by openrouter"),
    ],
)
async def test_what_changes_the_price_is_on_the_books(
    tmp_path: Path, model: str, usage: dict[str, object], cost: str | None, version: str | None
) -> None:
    """Searches are paid, an unusual tier is of unknown cost, and a provider that states its cost is believed."""
    provider = model.partition(":")[0]
    with Emulator(behaviour=Behaviour(tokens=3, delay=0, usage=usage)) as emulator:
        url = emulator.base_url if provider == "anthropic" else emulator.openai_base_url
        kit = make_kit(
            emulator,
            providers={provider: {"base_url": url, "api_key": "test-key"}},
            models={"default": model},
            ledger={"database": database(tmp_path)},
        )
        replies = [await kit.async_client.complete("Say hi")]
        async with kit.async_client.stream("Say hi") as stream:
            async for _ in stream:
                pass
            replies.append(stream.response)
        await kit.aclose()
    expected = None if cost is None else Decimal(cost)
    assert [reply.cost for reply in replies] == [expected] * 2
    for row in rows(tmp_path):
        assert (None if row["cost_usd"] is None else Decimal(row["cost_usd"])) == expected
        assert (row["price_version"] or "").startswith(version or "")


@pytest.mark.anyio
async def test_the_row_is_there_before_anything_is_sent(tmp_path: Path) -> None:
    """While the answer is still coming the row says started."""
    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        async with kit.async_client.stream("Say hi"):
            assert [row["status"] for row in rows(tmp_path)] == ["started"]
        await kit.aclose()
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
async def test_a_cancelled_call_is_estimated(tmp_path: Path, wire: str) -> None:
    """Who leaves early is billed for what came: estimated where the provider has not said it yet."""
    with Emulator(behaviour=Behaviour(tokens=50, delay=0.001, hold_at=9)) as emulator:
        kit = make_kit(emulator, wire=wire, ledger={"database": database(tmp_path)})
        async with kit.async_client.stream("Say hi") as stream:
            text = ""
            while text.count(" ") < 7:
                for event in await stream.read() or []:
                    text += getattr(event, "text", "")
        await kit.aclose()
    (row,) = rows(tmp_path)
    assert row["status"] == "cancelled"
    assert row["output_source"] == "estimated"
    assert row["input_source"] == ("reported" if wire == "anthropic" else "estimated")
    assert row["output_tokens"] >= 8
    assert row["cost_usd"] is not None


@pytest.mark.anyio
async def test_every_attempt_has_its_row(tmp_path: Path) -> None:
    """Attempts that failed unseen are on the books beside the one that succeeded, without a cost."""
    with Emulator(behaviour=TEXT) as emulator:
        emulator.script(Behaviour(status=500), Behaviour(error_frame_at=0))
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        await kit.async_client.complete("Say hi")
        await kit.aclose()
    found = rows(tmp_path)
    assert [(row["attempt"], row["status"]) for row in found] == [
        (1, "failed"),
        (2, "failed"),
        (3, "finished"),
    ]
    assert len({row["call_id"] for row in found}) == 1
    assert found[0]["http_status"] == 500
    assert found[0]["error_type"] == "server_failed"
    assert found[0]["cost_usd"] is None
    assert found[0]["input_tokens"] is None


@pytest.mark.anyio
async def test_a_truncated_answer_says_so(tmp_path: Path) -> None:
    """A stream without its end is truncated, never finished."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0, terminal=False)) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        with pytest.raises(StreamTruncated):
            async with kit.async_client.stream("Say hi") as stream:
                async for _ in stream:
                    pass
        await kit.aclose()
    (row,) = rows(tmp_path)
    assert (row["status"], row["error_type"]) == ("truncated", "stream_truncated")
    assert row["output_source"] == "estimated"


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["cut", "malformed", "hang up"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_whole_answer_that_cannot_be_read(tmp_path: Path, wire: str, how: str) -> None:
    """Nobody has seen how long it was: its output and its cost are unknown, never 0."""
    broken = {
        "cut": replace(TEXT, cut_at=60),
        "malformed": Behaviour(body=b'{"broken', content_type="application/json"),
        "hang up": Behaviour(hang_up=True),
    }
    with Emulator(behaviour=broken[how]) as emulator:
        settings = {"retry": {"attempts": 1}, "ledger": {"database": database(tmp_path)}}
        kit = make_kit(emulator, wire=wire, **settings)
        with pytest.raises(ProviderError):
            await kit.async_client.complete("Say hi")
        await kit.aclose()
    (row,) = rows(tmp_path)
    assert (row["output_tokens"], row["output_source"]) == (None, "unknown")
    assert row["cost_usd"] is None


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
async def test_a_broken_answer_that_says_what_it_used(tmp_path: Path, wire: str) -> None:
    """What the bytes say of tokens is booked, with its cost, though the answer cannot be read."""
    names = ("input_tokens", "output_tokens")
    if wire == "openai":
        names = ("prompt_tokens", "completion_tokens")
    body = json.dumps({"choices": 7, "content": 7, "usage": dict.fromkeys(names, 11)}).encode()
    broken = Behaviour(body=body, content_type="application/json")
    with Emulator(behaviour=broken) as emulator:
        settings = {"retry": {"attempts": 1}, "ledger": {"database": database(tmp_path)}}
        kit = make_kit(emulator, wire=wire, **settings)
        with pytest.raises(ProviderError):
            await kit.async_client.complete("Say hi")
        await kit.aclose()
    (row,) = rows(tmp_path)
    assert (row["input_tokens"], row["output_tokens"]) == (11, 11)
    assert (row["input_source"], row["output_source"]) == ("reported", "reported")
    assert row["cost_usd"] is not None


@pytest.mark.anyio
async def test_a_refused_call_leaves_one_row(tmp_path: Path) -> None:
    """A call that no attempt was made for is on the books too."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        with pytest.raises(ConfigError):
            await kit.async_client.complete("Say hi", model="nobody:x", user="7")
        await kit.aclose()
        assert emulator.requests == []
    (row,) = rows(tmp_path)
    assert (row["status"], row["attempt"], row["user_key"]) == ("refused", 0, "7")
    assert row["error_type"] == "config_error"


@pytest.mark.anyio
async def test_without_a_price_the_cost_is_unknown(tmp_path: Path) -> None:
    """A model that nobody has a price for costs NULL, not 0; a price of 0 in the settings is 0."""
    with Emulator(behaviour=TEXT) as emulator:
        provider = {"wire": "openai", "base_url": emulator.openai_base_url, "api_key": "k"}
        kit = make_kit(
            emulator,
            providers={"local": provider, "free": {**provider, "price": 0}},
            ledger={"database": database(tmp_path)},
        )
        unknown = await kit.async_client.complete("Say hi", model="local:smollm2")
        free = await kit.async_client.complete("Say hi", model="free:smollm2")
        await kit.aclose()
    assert unknown.cost is None
    assert free.cost == 0
    assert [row["cost_usd"] is None for row in rows(tmp_path)] == [True, False]


@pytest.mark.anyio
async def test_without_the_books_nothing_is_sent(tmp_path: Path) -> None:
    """When the row cannot be written, and the app would rather not call then, the call is not made."""
    folder = tmp_path / "ledger.db"
    ledger = {"database": database(tmp_path), "on_store_error": "refuse"}
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, ledger=ledger)
        folder.mkdir()
        with pytest.raises(LedgerUnavailable):
            await kit.async_client.complete("Say hi")
        await kit.aclose()
        assert emulator.requests == []
    assert kit.limit.running == 0


@pytest.mark.anyio
async def test_a_dropped_stream_is_closed_all_the_same(tmp_path: Path) -> None:
    """A stream that nobody closes cuts its connection, closes its row and warns."""
    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        stream = await kit.async_client.stream("Say hi").open()
        with pytest.warns(ResourceWarning, match="dropped"):
            del stream
            gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            await async_call(lambda: emulator.wait_until_gone(0))
            await kit.aclose()
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]
    assert kit.limit.running == 0


@pytest.mark.anyio
async def test_an_aborted_stream_is_cancelled(tmp_path: Path) -> None:
    """Aborting wakes the reader with StreamClosed; the row says cancelled."""
    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        with pytest.raises(StreamClosed):
            async with kit.async_client.stream("Say hi") as stream:
                stream.abort()
                while await stream.read() is not None:
                    pass
        emulator.wait_until_gone(0)
        await kit.aclose()
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]


@pytest.mark.anyio
async def test_errors_carry_no_prompt_and_no_key(tmp_path: Path) -> None:
    """Neither the error nor the row holds what was said or the key it was said with."""
    echo = Behaviour(status=400, message="you said: my secret prompt, with test-key")
    with Emulator(behaviour=echo) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        with pytest.raises(ProviderError) as caught:
            await kit.async_client.complete("my secret prompt")
        await kit.aclose()
    for text in (str(caught.value), repr(caught.value), repr(rows(tmp_path))):
        assert "secret prompt" not in text
        assert "test-key" not in text


class Refuses:
    """A middleware of the app's own that answers as a provider would."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        raise RateLimited("the app's own limit")


@pytest.mark.anyio
async def test_a_middlewares_provider_error_is_on_the_books(tmp_path: Path) -> None:
    """No attempt was made for it, so that the call itself has the row."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)}, middleware=[Refuses()])
        with pytest.raises(RateLimited):
            await kit.async_client.complete("Say hi")
        await kit.aclose()
    (row,) = rows(tmp_path)
    assert (row["status"], row["attempt"], row["error_type"]) == ("refused", 0, "rate_limited")


@pytest.mark.anyio
async def test_a_call_that_is_stopped_in_the_queue_is_on_the_books(tmp_path: Path) -> None:
    """It waited for a place and was stopped there: cancelled, at no cost."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0, hold_at=2)) as emulator:
        kit = make_kit(
            emulator,
            ledger={"database": database(tmp_path)},
            concurrency={"per_process": 1, "queue_timeout": 30},
        )
        async with kit.async_client.stream("Say hi") as running:
            waiting = kit.async_client.stream("Say hi")
            stopper = threading.Thread(target=_stop, args=(kit, waiting))
            stopper.start()
            with pytest.raises(StreamClosed):
                await waiting.open()
            await async_call(stopper.join)
            running.abort()
        await kit.aclose()
    found = {(row["status"], row["attempt"]) for row in rows(tmp_path)}
    assert found == {("cancelled", 0), ("cancelled", 1)}


def _stop(kit: Kit, waiting: AsyncStreamManager) -> None:
    """Stop a call once it waits for its place."""
    wait_for(lambda: kit.limit.waiting, 1)
    waiting.abort()
