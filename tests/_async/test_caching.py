"""Answers that are given again."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from llmkit import (
    AsyncCallNext,
    AsyncStream,
    Call,
    Caller,
    Finish,
    FunctionProvider,
    InvalidRequest,
    Kit,
    Message,
    ServerFailed,
    StreamClosed,
    StreamTruncated,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
)
from llmkit.providers.anthropic import Anthropic
from llmkit.testing import Behaviour, Emulator
from support.decoding import call
from support.kits import WIRES, make_kit
from support.rows import database, rows

SAID = Behaviour(text=("It is ", "42", "."), thinking="Hm.", delay=0)
ALL: dict[str, Any] = {"cache": {"scope": "all"}}


def kit_of(emulator: Emulator, folder: Path, **more: Any) -> Kit:
    """Make a kit with a cache."""
    return make_kit(emulator, **{"ledger": {"database": database(folder)}, **ALL, **more})


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
async def test_a_hit_says_the_same(tmp_path: Path, wire: str) -> None:
    """Whole and streamed, with the same events; it costs nothing and is in the books with what it has saved."""
    with Emulator(behaviour=SAID) as emulator:
        kit = kit_of(emulator, tmp_path, wire=wire)
        client = kit.async_client
        first = await client.complete("What is it?", temperature=0)
        again = await client.complete("What is it?", temperature=0.0)
        async with client.stream("What is it?", temperature=0) as stream:
            events = [event async for event in stream]
        await kit.aclose()
        assert len(emulator.requests) == 1
    assert (first.cached, again.cached, stream.response.cached) == (False, True, True)
    for reply in (again, stream.response):
        assert (reply.text, reply.thinking, reply.parts) == (
            first.text,
            first.thinking,
            first.parts,
        )
        assert (reply.usage, reply.stop_reason, reply.model) == (
            first.usage,
            first.stop_reason,
            first.model,
        )
        assert reply.cost == 0
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == first.text
    assert events[-1] == Finish("end", first.raw_stop_reason, first.usage)
    made, *hits = rows(tmp_path)
    assert made["saved_usd"] is None
    for row in hits:
        assert (row["status"], row["attempt"], row["provider"]) == (
            "cached",
            0,
            made["provider"],
        )
        assert (row["input_tokens"], row["output_tokens"]) == (0, 0)
        assert Decimal(row["cost_usd"]) == 0
        assert Decimal(row["saved_usd"]) == Decimal(made["cost_usd"])
        assert row["stop_reason"] == made["stop_reason"]


@pytest.mark.anyio
async def test_signatures_stay_with_whom_they_are_of() -> None:
    """Wherever in an answer they stand, as Gemini's do behind a text whose thinking is unsigned: another vendor is not sent what it would refuse."""
    said = [ThinkingDelta("Hm."), TextDelta("42"), ThinkingSignature("SIG", "gemini")]
    provider = FunctionProvider("own", lambda call, model: said)
    kit = Kit({"ledger": False, **ALL}, providers=[provider])
    replies = [
        await kit.async_client.complete("Hi", model="own:m", temperature=0) for _ in range(2)
    ]
    await kit.aclose()
    assert [reply.cached for reply in replies] == [False, True]
    assert replies[1].parts == replies[0].parts
    for reply in replies:
        asked = call(messages=(Message.user("Hi"), Message.assistant(reply), Message.user("So?")))
        sent = json.loads(Anthropic(api_key="k").build_request(asked, "claude").content)
        assert sent["messages"][1]["content"] == [{"type": "text", "text": "42"}]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("behaviour", "options"),
    [
        (SAID, {}),
        (SAID, {"temperature": 0.5}),
        (SAID, {"temperature": 0, "cache": False}),
        (Behaviour(text="x", stop_reason="refusal", delay=0), {"temperature": 0}),
        (Behaviour(text="x", stop_reason="max_tokens", delay=0), {"temperature": 0}),
        (Behaviour(text="", delay=0), {"temperature": 0}),
        (
            Behaviour(calls=[{"name": "look", "arguments": {}}], delay=0),
            {"temperature": 0, "tools": []},
        ),
    ],
    ids=["by default", "warm", "not this one", "refused", "cut", "empty", "a call"],
)
async def test_what_is_not_kept(
    tmp_path: Path, behaviour: Behaviour, options: dict[str, Any]
) -> None:
    """The provider is asked each time."""
    if "tools" in options:
        options = {**options, "tools": [look]}
    with Emulator(behaviour=behaviour) as emulator:
        kit = kit_of(emulator, tmp_path)
        for _ in range(2):
            reply = await kit.async_client.complete("What is it?", **options)
            assert not reply.cached
        await kit.aclose()
        assert len(emulator.requests) == 2


def look() -> str:
    """Look."""
    return "x"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Behaviour(status=500), ServerFailed),
        (Behaviour(text="a b c d", cut_at=3, delay=0), StreamTruncated),
    ],
    ids=["failed", "truncated"],
)
async def test_what_went_wrong_is_not_kept(
    tmp_path: Path, behaviour: Behaviour, error: type[Exception]
) -> None:
    """The next one is asked anew, and its answer is kept."""
    with Emulator(behaviour=SAID) as emulator:
        emulator.script(behaviour)
        kit = kit_of(emulator, tmp_path, retry={"attempts": 1})
        for cached in (None, False, True):
            if cached is None:
                with pytest.raises(error):
                    async with kit.async_client.stream("What is it?", temperature=0) as stream:
                        async for _ in stream:
                            pass
            else:
                reply = await kit.async_client.complete("What is it?", temperature=0)
                assert (reply.text, reply.cached) == ("It is 42.", cached)
        await kit.aclose()


@pytest.mark.anyio
async def test_what_the_call_says(tmp_path: Path) -> None:
    """It is kept because the call says so, and for as long as it says."""
    with Emulator(behaviour=SAID) as emulator:
        kit = kit_of(
            emulator, tmp_path, cache={"scope": "all", "when": "always"}, retry={"attempts": 1}
        )
        ask = kit.async_client.complete
        assert not (await ask("a", cache=True)).cached
        assert (await ask("a", cache=True)).cached
        assert (await ask("a")).cached
        assert not (await ask("a", cache=False)).cached
        assert (await ask("a", cache={"ttl": 3600})).cached
        assert not (await ask("a", cache={"ttl": 1e-9})).cached
        # Whose time was over at once; before that, another one's time did not matter.
        assert not (await ask("b", cache=True)).cached
        emulator.script(Behaviour(status=500))
        with pytest.raises(ServerFailed):
            await ask("b", cache={"ttl": 1e-9})
        assert (await ask("b", cache=True)).cached
        await kit.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("wrong", [1, "yes", {}, {"ttl": 0}, {"ttl": "1"}, {"ttl": 1, "x": 2}])
async def test_what_says_nothing(wrong: Any, tmp_path: Path) -> None:
    """Is refused before anything is sent; so is a call that is to be cached where there is no cache."""
    with Emulator(behaviour=SAID) as emulator:
        kit = kit_of(emulator, tmp_path)
        with pytest.raises(InvalidRequest, match="cache is neither True nor False"):
            await kit.async_client.complete("a", cache=wrong)
        await kit.aclose()
        kit = make_kit(emulator)
        with pytest.raises(InvalidRequest, match="there is no cache"):
            await kit.async_client.complete("a", cache=True)
        assert not (await kit.async_client.complete("a", cache=False)).cached
        await kit.aclose()
        assert len(emulator.requests) == 1


@pytest.mark.anyio
async def test_each_has_their_own(tmp_path: Path) -> None:
    """Users, tenants, and nobody: no answer goes from one to another."""
    with Emulator(behaviour=SAID) as emulator:
        kit = kit_of(emulator, tmp_path, cache={})
        callers: list[Any] = ["7", "8", Caller(user="7", tenant="acme")]
        for expected in (False, True):
            for caller in callers:
                reply = await kit.async_client.complete("a", temperature=0, user=caller)
                assert reply.cached is expected
        for _ in range(2):
            assert not (await kit.async_client.complete("a", temperature=0)).cached
        await kit.aclose()
        assert len(emulator.requests) == len(callers) + 2


class Weather(BaseModel):
    """How the weather is."""

    degrees: int


@pytest.mark.anyio
async def test_typed_answers(tmp_path: Path) -> None:
    """Are of their type again; one that is not is not kept."""
    with Emulator(behaviour=Behaviour(text='{"degrees": 7}', delay=0)) as emulator:
        emulator.script(Behaviour(text='{"degrees": "cold"}', delay=0))
        kit = kit_of(emulator, tmp_path)
        options: dict[str, Any] = {"output_type": Weather, "temperature": 0, "repair": 1}
        first = await kit.async_client.complete("a", **options)
        assert first.output == Weather(degrees=7)
        # The answer to the question itself was wrong; the mended one is another question's.
        second = await kit.async_client.complete("a", **options)
        assert (second.output, second.cached) == (Weather(degrees=7), False)
        third = await kit.async_client.complete("a", **options)
        assert (third.output, third.cached) == (Weather(degrees=7), True)
        await kit.aclose()


class Shouting:
    """Changes what is asked, as an app's middleware may."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        assert call.system is None
        return await call_next(Call(**{**_fields(call), "system": "Shout."}))


def _fields(call: Call) -> dict[str, Any]:
    return {name: getattr(call, name) for name in Call.__dataclass_fields__}


@pytest.mark.anyio
async def test_it_is_within_the_apps_own_middleware(tmp_path: Path) -> None:
    """What that changes is what is kept, and it sees hits too."""
    with Emulator(behaviour=SAID) as emulator:
        kit = kit_of(emulator, tmp_path, middleware=[Shouting()])
        for cached in (False, True):
            reply = await kit.async_client.complete("a", temperature=0)
            assert reply.cached is cached
        await kit.aclose()
        (request,) = emulator.requests
        assert "Shout." in str(request.body)


@pytest.mark.anyio
async def test_no_budget_and_no_place(tmp_path: Path) -> None:
    """A hit takes neither."""
    with Emulator(behaviour=SAID) as emulator:
        budgets = [{"scope": "all", "per": "ever", "requests": 1}]
        kit = kit_of(
            emulator, tmp_path, budgets=budgets, concurrency={"per_process": 1, "queue": 0}
        )
        await kit.async_client.complete("a", temperature=0)
        emulator.script(Behaviour(text="a b c", delay=0, hold_at=1))
        for _ in range(3):
            assert (await kit.async_client.complete("a", temperature=0)).cached
        await kit.aclose()


@pytest.mark.anyio
async def test_a_hit_that_nobody_reads(tmp_path: Path) -> None:
    """Is in the books all the same: closed early, stopped, or dropped."""
    with Emulator(behaviour=SAID) as emulator:
        kit = kit_of(emulator, tmp_path)
        await kit.async_client.complete("a", temperature=0)
        async with kit.async_client.stream("a", temperature=0):
            pass
        async with kit.async_client.stream("a", temperature=0) as stream:
            stream.abort()
            with pytest.raises(StreamClosed):
                while await stream.read() is not None:
                    pass
        stream = await kit.async_client.stream("a", temperature=0).open()
        with pytest.warns(ResourceWarning, match="dropped without being closed"):
            del stream
        await kit.aclose()
    assert [row["status"] for row in rows(tmp_path)] == ["finished", *["cached"] * 3]
