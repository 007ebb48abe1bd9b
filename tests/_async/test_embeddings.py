"""Embeddings: in batches, of one model, on the books."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import (
    BudgetExceeded,
    ConfigError,
    FunctionProvider,
    InvalidRequest,
    Kit,
    PromptTooLong,
    ProtocolError,
    RequestRejected,
    ServerFailed,
    StreamTruncated,
)
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit, url_of
from support.rows import database, rows

MODELS = {
    "openai": "text-embedding-3-small",
    "openai-responses": "text-embedding-3-small",
    "gemini": "gemini-embedding-001",
    "ollama": "all-minilm",
}
TEXTS = ["Köln", "Rom", "two words", "Köln"]
FAST = Behaviour(delay=0)


def kit_of(emulator: Emulator, wire: str, **more: Any) -> Any:
    """Make a kit whose embeddings are of this wire."""
    return make_kit(
        emulator, wire=wire, **{"models": {"embeddings": f"{wire}:{MODELS[wire]}"}, **more}
    )


@pytest.mark.anyio
@pytest.mark.parametrize("wire", MODELS)
async def test_a_list_of_numbers_for_each_text(wire: str, tmp_path: Path) -> None:
    """In their order; the row is not streamed, says whose it is, and has no output."""
    ledger = {"database": database(tmp_path)}
    prices = {f"{wire}:{MODELS[wire]}": {"input": 2, "output": 0}}
    with Emulator(behaviour=FAST) as emulator:
        kit = kit_of(emulator, wire, ledger=ledger, prices=prices)
        found = await kit.async_client.embed(TEXTS, user="u1", dimensions=4)
        await kit.aclose()
        [request] = emulator.requests
    assert [len(vector) for vector in found.vectors] == [4] * 4
    assert found.vectors[0] == found.vectors[3] != found.vectors[1]
    assert sum(number**2 for number in found.vectors[0]) == pytest.approx(1, abs=1e-5)
    assert (found.provider, found.model) == (wire, MODELS[wire])
    assert found.usage.output_tokens == 0
    assert found.usage.input_source == ("estimated" if wire == "gemini" else "reported")
    assert found.cost == Decimal(found.usage.input_tokens) * 2 / 1_000_000
    [row] = rows(tmp_path)
    assert (row["status"], row["streamed"], row["user_key"]) == ("finished", 0, "u1")
    assert (row["output_tokens"], Decimal(row["cost_usd"])) == (0, found.cost)
    assert row["call_id"] == found.call_ids[0]
    assert request.body is not None


@pytest.mark.anyio
async def test_many_texts(tmp_path: Path) -> None:
    """As many requests as the vendor needs, one run in the books; of nothing there is nothing."""
    texts = [f"text {at}" for at in range(250)]
    with Emulator(behaviour=FAST) as emulator:
        kit = kit_of(emulator, "gemini", ledger={"database": database(tmp_path)})
        extra = {"taskType": "RETRIEVAL_DOCUMENT"}
        found = await kit.async_client.embed(texts, extra=extra)
        again = await kit.async_client.embed(texts[200:], run_id="mine")
        nothing = await kit.async_client.embed([])
        asked = [request.body["requests"] for request in emulator.requests]
        kit.close()
        await kit.aclose()
    assert [len(requests) for requests in asked] == [100, 100, 50, 50]
    assert {each.get("taskType") for each in asked[0]} == {"RETRIEVAL_DOCUMENT"}
    *runs, own = [row["run_id"] for row in rows(tmp_path)]
    assert len(set(runs)) == 1
    assert None not in runs
    assert own == "mine"
    assert found.vectors[200:] == again.vectors
    assert len(set(found.call_ids)) == 3
    assert (nothing.vectors, nothing.cost, nothing.call_ids) == ([], 0, ())


@pytest.mark.anyio
async def test_long_texts() -> None:
    """Are parted by their tokens, too."""
    with Emulator(behaviour=FAST) as emulator:
        kit = kit_of(emulator, "openai")
        await kit.async_client.embed(["x" * 400_000] * 3)
        await kit.aclose()
        assert [len(request.body["input"]) for request in emulator.requests] == [2, 1]


@pytest.mark.anyio
@pytest.mark.parametrize("wire", MODELS)
async def test_a_setting_for_servers_that_take_fewer(wire: str) -> None:
    """Such as 32 texts at once; the server's refusal names the setting."""
    texts = [f"text {at}" for at in range(70)]
    with Emulator(behaviour=FAST) as emulator:
        provider = {"base_url": url_of(emulator, wire), "wire": wire, "api_key": "k"}
        emulator.script(Behaviour(status=413, message="batch size 70 > maximum allowed 32"))
        kit = kit_of(emulator, wire, providers={wire: provider})
        with pytest.raises(PromptTooLong, match=rf"70 texts.*providers\.{wire}\.embed_at_once"):
            await kit.async_client.embed(texts)
        await kit.aclose()
        kit = kit_of(emulator, wire, providers={wire: {**provider, "embed_at_once": 32}})
        found = await kit.async_client.embed(texts)
        emulator.script(Behaviour(status=400))
        with pytest.raises(RequestRejected) as alone:
            await kit.async_client.embed(texts[:1])
        await kit.aclose()
    assert len(found.vectors) == 70
    assert len(found.call_ids) == 3
    assert "embed_at_once" not in str(alone.value)


@pytest.mark.anyio
async def test_all_of_one_model() -> None:
    """Where one fails another one embeds, and all that follows is its: the numbers of two models have nothing to do with each other."""
    models = {"embeddings": ["gemini:gemini-embedding-001", "openai:text-embedding-3-small"]}
    texts = [f"text {at}" for at in range(150)]
    with Emulator(behaviour=FAST) as emulator:
        providers = {
            "gemini": {"base_url": emulator.base_url, "api_key": "k"},
            "openai": {"base_url": emulator.openai_base_url, "api_key": "k"},
        }
        kit = make_kit(
            emulator,
            providers=providers,
            models=models,
            retry={"attempts": 2, "wait_initial": 0.001},
        )
        emulator.script(Behaviour(status=500))
        found = await kit.async_client.embed(texts)
        await kit.aclose()
        paths = [request.path for request in emulator.requests]
    assert found.provider == "openai"
    assert paths[1:] == ["/v1/embeddings", "/v1/embeddings"]


@pytest.mark.anyio
async def test_all_of_one_model_whose_name_begins_like_another() -> None:
    """What answers calls itself differently from what was asked for, now and then: that tells nothing."""
    models = {"embeddings": ["ollama:qwen3-embedding", "ollama:qwen3-embedding:8b"]}
    with Emulator(behaviour=FAST) as emulator:
        providers = {"ollama": {"base_url": emulator.base_url}}
        kit = make_kit(emulator, providers=providers, models=models, retry={"attempts": 2})
        emulator.script(Behaviour(status=500))
        await kit.async_client.embed([f"text {at}" for at in range(600)])
        await kit.aclose()
        asked = [request.body["model"] for request in emulator.requests]
    assert asked[0] == "qwen3-embedding"
    assert set(asked[1:]) == {"qwen3-embedding:8b"}
    assert len(asked) > 2


@pytest.mark.anyio
async def test_retry_and_failure() -> None:
    """As for every call; a text that is refused is the caller's to mend."""
    with Emulator(behaviour=FAST) as emulator:
        kit = kit_of(emulator, "openai")
        emulator.script(Behaviour(status=500))
        assert len((await kit.async_client.embed(["a"])).vectors) == 1
        emulator.script(*[Behaviour(status=500)] * 4)
        with pytest.raises(ServerFailed):
            await kit.async_client.embed(["a"])
        await kit.aclose()


def both(first: Any, second: Any, usage: Any = None) -> bytes:
    """Write an answer for two texts with these places."""
    data = [{"embedding": [1.5], "index": first}, {"embedding": [2], "index": second}]
    return json.dumps({"data": data, "usage": usage}).encode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"data": []}', "sent 0 embeddings for 2 texts"),
        (b'{"data": [{"embedding": [1], "index": 0}]}', "sent 1 embeddings for 2 texts"),
        (b'{"data": [{"embedding": [1]}, {"embedding": [1, 2]}]}', "embeddings of several lengths"),
        (b'{"data": [{"embedding": []}, {"embedding": []}]}', "embeddings of several lengths"),
        (b'{"data": [{"embedding": ["1"]}, {"embedding": [1]}]}', "in an unknown format"),
        (b'{"data": [{"embedding": [NaN]}, {"embedding": [1]}]}', "not JSON"),
        (b'{"data": 7}', "in an unknown format"),
        (b'{"data": [{"index": 0}, {"index": 1}]}', "embeddings of several lengths"),
        (b'{"data": [{"index": 0}, {"index": 1}], "model": 7}', "embeddings of several lengths"),
        (b'{"data": [7, 8]}', "in an unknown format"),
        (both(0, 0), "do not say of which text each is"),
        (both(1, 5), "do not say of which text each is"),
        (both(-1, 0), "do not say of which text each is"),
        (both(1, None), "do not say of which text each is"),
        (both(0, "second"), "in an unknown format"),
        (b"<html>", "not JSON"),
    ],
)
async def test_what_is_no_answer(body: bytes, words: str) -> None:
    """Is an error, and never half of the numbers."""
    behaviour = Behaviour(body=body, content_type="application/json")
    with Emulator(behaviour=behaviour) as emulator:
        kit = kit_of(emulator, "openai", retry={"attempts": 1})
        with pytest.raises(ProtocolError, match=words):
            await kit.async_client.embed(["a", "b"])
        await kit.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body",
    [
        b'{"predictions": [{}, {}]}',
        b'{"predictions": [{}, {}], "usageMetadata": 7}',
        b'{"predictions": [{"embeddings": {"values": [1]}}]}',
        b'{"predictions": {}}',
        b'{"embedding": {}}',
        b'{"embedding": {"values": [1]}}',
        b'{"embeddings": [{"values": [1]}, {"values": "1"}]}',
        b'{"embeddings": [{"values": [1]}, {}]}',
        b"{}",
    ],
)
async def test_what_is_no_answer_of_geminis(body: bytes) -> None:
    """Neither as Google has it, nor as Vertex AI does."""
    behaviour = Behaviour(body=body, content_type="application/json")
    with Emulator(behaviour=behaviour) as emulator:
        kit = kit_of(emulator, "gemini", retry={"attempts": 1})
        with pytest.raises(ProtocolError):
            await kit.async_client.embed(["a", "b"])
        await kit.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wire", "body", "tokens"),
    [
        ("openai", both(1, 0, {"prompt_tokens": "3"}), 3),
        ("openai", both("1", "0", {"prompt_tokens": 3.0}), 3),
        ("openai", both(1.0, 0, {"prompt_tokens": 3}), 3),
        ("openai", both(1, 0, {"prompt_tokens": "many"}), None),
        ("openai", both(1, 0, [3]), None),
        ("openai", b'{"data": [{"embedding": [2]}, {"embedding": [1.5]}], "model": 7}', None),
        (
            "openai",
            b'{"data": [{"embedding": [2], "index": null}, {"embedding": [1.5], "index": null}]}',
            None,
        ),
        (
            "gemini",
            b'{"embeddings": [{"values": [2]}, {"values": [1.5]}], "usageMetadata": {"promptTokenCount": "3"}}',
            3,
        ),
        ("ollama", b'{"embeddings": [[2], [1.5]], "prompt_eval_count": "3"}', 3),
        (
            "gemini",
            b'{"predictions": [{"embeddings": {"values": [2], "statistics": {"token_count": 1.0}}}, {"embeddings": {"values": [1.5], "statistics": {"token_count": "2"}}}]}',
            3,
        ),
        (
            "gemini",
            b'{"predictions": [{"embeddings": {"values": [2], "statistics": {"token_count": 1}}}, {"embeddings": {"values": [1.5]}}]}',
            None,
        ),
    ],
)
async def test_what_nobody_needs(wire: str, body: bytes, tokens: int | None) -> None:
    """May have any form: the numbers are paid for, and each is that of its text."""
    with Emulator(behaviour=Behaviour(body=body, content_type="application/json")) as emulator:
        kit = kit_of(emulator, wire, retry={"attempts": 1})
        found = await kit.async_client.embed(["a", "b"])
        await kit.aclose()
    assert found.vectors == [[2], [1.5]]
    reported = found.usage.input_source == "reported"
    assert (found.usage.input_tokens if reported else None) == tokens


@pytest.mark.anyio
async def test_a_refused_answer_is_paid_for(tmp_path: Path) -> None:
    """Its row has the tokens that it says."""
    body = both(0, 0, {"prompt_tokens": 3})
    ledger = {"database": database(tmp_path)}
    with Emulator(behaviour=Behaviour(body=body, content_type="application/json")) as emulator:
        kit = kit_of(emulator, "openai", retry={"attempts": 1}, ledger=ledger)
        with pytest.raises(ProtocolError):
            await kit.async_client.embed(["a", "b"])
        await kit.aclose()
    [row] = rows(tmp_path)
    assert (row["status"], row["input_tokens"]) == ("failed", 3)


@pytest.mark.anyio
async def test_budgets(tmp_path: Path) -> None:
    """Hold what it may cost, which has no output, whatever the model's context window is."""
    budgets = [{"scope": "user", "per": "day", "tokens": 500}]
    ledger = {"database": database(tmp_path)}
    with Emulator(behaviour=FAST) as emulator:
        kit = kit_of(emulator, "openai", ledger=ledger, budgets=budgets)
        await kit.async_client.embed(["a" * 200], user="u1")
        with pytest.raises(BudgetExceeded):
            await kit.async_client.embed(["a " * 2000], user="u1")
        await kit.aclose()
        assert len(emulator.requests) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("wire", ["gemini", "openai"])
async def test_a_budget_in_dollars(wire: str, tmp_path: Path) -> None:
    """Needs no price of an output that there is not: the table of prices has none for models that embed."""
    ledger = {"database": database(tmp_path)}
    budgets = [{"scope": "all", "per": "day", "usd": "0.0001"}]
    with Emulator(behaviour=FAST) as emulator:
        kit = kit_of(emulator, wire, ledger=ledger, budgets=budgets)
        assert (await kit.async_client.embed(["a"])).cost
        with pytest.raises(BudgetExceeded, match="send less at once"):
            await kit.async_client.embed(["a " * 5000])
        await kit.aclose()
        assert len(emulator.requests) == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        ("one text", {}, "what is to be embedded is a str"),
        (7, {}, "what is to be embedded is an int"),
        (["a", ""], {}, "text 1 is empty"),
        (["a", " \n"], {}, "text 1 is empty"),
        (["a", 7], {}, "text 1 is an int"),
        (["a"], {"dimensions": 0}, "dimensions is 0"),
        (["a"], {"dimensions": "8"}, "dimensions is a str"),
        (["a"], {"dimensions": True}, "dimensions is a bool"),
        (["a"], {"model": 5}, "model is not a string"),
        ([], {"run_id": 5}, "run_id is not a string"),
    ],
)
async def test_what_cannot_be_embedded(texts: Any, options: Any, words: str) -> None:
    """Is refused before anything is sent."""
    with Emulator() as emulator:
        kit = kit_of(emulator, "openai")
        with pytest.raises(InvalidRequest, match=words):
            await kit.async_client.embed(texts, **options)
        await kit.aclose()
        assert emulator.requests == []


@pytest.mark.anyio
async def test_who_has_none() -> None:
    """Says so; what is no option is refused, and without an alias the client's own model is asked."""
    with Emulator(behaviour=FAST) as emulator:
        kit = make_kit(emulator)
        with pytest.raises(InvalidRequest, match="anthropic has no embeddings"):
            await kit.async_client.embed(["a"])
        with pytest.raises(ConfigError, match="nowhere"):
            await kit.async_client.embed(["a"], model="nowhere:m")
        with pytest.raises(TypeError, match="'temperature' is not an option of embed"):
            await kit.async_client.embed(["a"], temperature=0)
        await kit.aclose()
        own = make_kit(
            emulator,
            providers={"openai": {"base_url": emulator.openai_base_url, "api_key": "k"}},
            models={"default": "openai:text-embedding-3-small"},
        )
        assert (await own.async_client.embed(["a"])).provider == "openai"
        await own.aclose()
    provider = FunctionProvider("own", lambda call, model: "x")
    kit = Kit({"ledger": False}, providers=[provider])
    with pytest.raises(InvalidRequest, match="own has no embeddings"):
        await kit.async_client.embed(["a"], model="own:m")
    await kit.aclose()


class Refuses:
    """Middleware that nobody asks."""

    async def handle_async(self, call: Any, call_next: Any) -> Any:
        raise AssertionError("somebody has asked it")


@pytest.mark.anyio
async def test_one_that_is_cut(tmp_path: Path) -> None:
    """Costs what its texts cost, by an estimate: there is no output whose length nobody knows."""
    ledger = {"database": database(tmp_path)}
    with Emulator(behaviour=Behaviour(cut_at=20, delay=0)) as emulator:
        kit = kit_of(emulator, "openai", ledger=ledger, retry={"attempts": 1})
        with pytest.raises(StreamTruncated):
            await kit.async_client.embed(["a text"])
        await kit.aclose()
    (row,) = rows(tmp_path)
    assert (row["input_source"], row["output_tokens"]) == ("estimated", 0)
    assert Decimal(row["cost_usd"]) > 0


@pytest.mark.anyio
async def test_middleware_and_the_cache_have_nothing_to_do_with_it() -> None:
    """A semantic cache embeds what is asked, and is not asked again by that."""
    with Emulator(behaviour=FAST) as emulator:
        kit = kit_of(emulator, "openai", cache={"scope": "all"}, middleware=[Refuses()])
        for _ in range(2):
            await kit.async_client.embed(["a"], extra={"user": "x"})
        await kit.aclose()
        assert [request.body["user"] for request in emulator.requests] == ["x", "x"]
