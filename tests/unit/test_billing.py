"""What answers say of their price beside the tokens: on both wires, streamed and whole."""

from __future__ import annotations

import decimal
import json
from decimal import Decimal
from typing import Any

import pytest

from llmkit.providers.openai import OpenAI
from llmkit.usage import PLAIN, Billing, Usage
from support.answers import document, frames
from support.decoding import EVENT_STREAM, call, decode, stream_decoder, whole_decoder
from support.streams import openai_chunk, openai_delta

TOKENS = {"prompt_tokens": 10, "completion_tokens": 2}


def billing(wire: str, usage: dict[str, Any], **more: Any) -> Billing:
    """Decode an answer with this usage, streamed and whole; return what both say."""
    streamed = stream_decoder(wire)
    sent = frames(wire, "a", "b", usage=usage)
    if more:  # in every chunk, as OpenAI does
        sent = [
            frame.replace(b'"choices"', json.dumps(more).encode()[1:-1] + b',"choices"')
            for frame in sent
        ]
    assert decode(streamed, sent).finish is not None
    whole = whole_decoder(wire)
    body = {**document(wire, "ab", usage=usage), **more}
    assert decode(whole, [json.dumps(body).encode()]).finish is not None
    assert streamed.billing == whole.billing
    return whole.billing


@pytest.mark.parametrize(
    ("usage", "stated"),
    [
        ({}, None),
        ({"cost": 0.00123}, "0.00123"),
        ({"cost": 0}, "0"),
        ({"cost": "0.5"}, "0.5"),
        ({"cost": 1e-9}, "1E-9"),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "free"}, None),
        ({"cost": "NaN"}, None),
        ({"cost": []}, None),
        ({"cost": 0.1, "is_byok": False, "cost_details": {"upstream_inference_cost": 2}}, "0.1"),
        ({"cost": 0.1, "is_byok": True, "cost_details": {"upstream_inference_cost": 2}}, "2"),
        ({"cost": 0.1, "is_byok": True, "cost_details": None}, None),
        ({"cost": {"total_cost": 0.006, "currency": "USD"}}, "0.006"),
        ({"cost_in_usd_ticks": 37756000}, "0.0037756"),
        ({"cost_in_usd_ticks": 123_456_789}, "0.0123456789"),
        ({"cost_in_usd_ticks": "many"}, None),
        ({"cost_in_usd_ticks": "1e999999999999999999"}, None),
        ({"cost_in_usd_ticks": "1e-999999999999999999"}, "0"),
        ({"cost": 1e60}, None),
        ({"cost": 10**400}, None),
        ({"cost": "1e-400"}, "1e-400"),
    ],
)
def test_a_stated_cost(usage: dict[str, Any], stated: str | None) -> None:
    """OpenRouter's, Perplexity's and xAI's words for it; with the caller's own key what the upstream charged."""
    with decimal.localcontext(prec=3):  # whatever the host computes in
        found = billing("openai", {**TOKENS, **usage}).stated_cost
    assert found == (None if stated is None else Decimal(stated))


@pytest.mark.parametrize("tier", ["flex", "default", "priority", None, 7])
def test_a_service_tier(tier: Any) -> None:
    """The one that the answer names, not the one that was asked for."""
    expected = tier if isinstance(tier, str) else None
    assert billing("openai", TOKENS, service_tier=tier).service_tier == expected


def test_a_tier_at_the_end() -> None:
    """It may be named with the end alone."""
    decoder = stream_decoder("openai")
    decode(
        decoder,
        [
            openai_chunk(openai_delta(content="a")),
            openai_chunk(openai_delta("stop"), service_tier="flex"),
        ],
    )
    assert decoder.billing.service_tier == "flex"


@pytest.mark.parametrize(
    ("model", "unpriced"), [("gpt-4o-search-preview", True), ("gpt-4o", False)]
)
def test_searches_that_nothing_tells_of(model: str, unpriced: bool) -> None:
    """OpenAI's search models bill a search with each call: with the tokens alone the cost is not known."""
    decoder = OpenAI(api_key="test-key").decoder(call(), model, EVENT_STREAM)
    decode(decoder, frames("openai", "a", usage=TOKENS))
    assert decoder.billing == Billing(unpriced=unpriced)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, PLAIN),
        ({"service_tier": "standard"}, Billing(service_tier="standard")),
        ({"service_tier": "priority"}, Billing(service_tier="priority")),
        ({"speed": "fast", "inference_geo": "us"}, Billing(speed="fast", region="us")),
        ({"service_tier": 5, "speed": {}, "inference_geo": []}, PLAIN),
        ({"server_tool_use": {"web_search_requests": 2}}, Billing(web_searches=2)),
        ({"server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 3}}, PLAIN),
        ({"server_tool_use": {"web_search_requests": "two"}}, Billing(unpriced=True)),
        ({"server_tool_use": {"web_search_requests": -1}}, Billing(unpriced=True)),
        ({"server_tool_use": {"code_execution_requests": 1}}, Billing(unpriced=True)),
        ({"server_tool_use": {"code_execution_requests": 0}}, PLAIN),
        ({"server_tool_use": None}, PLAIN),
        ({"server_tool_use": []}, PLAIN),
        ({"iterations": [{"type": "advisor_message"}]}, Billing(unpriced=True)),
    ],
)
def test_what_anthropic_bills(usage: dict[str, Any], expected: Billing) -> None:
    """Tier, speed, region and searches are noted; another tool's use has no price that is known."""
    assert billing("anthropic", {"input_tokens": 10, "output_tokens": 2, **usage}) == expected


def test_steps_of_compaction_are_added() -> None:
    """The counts beside them are without what compacting took, which is billed too."""
    usage = {
        "input_tokens": 23_000,
        "output_tokens": 1_000,
        "iterations": [
            {
                "type": "compaction",
                "input_tokens": 180_000,
                "output_tokens": 3_500,
                "cache_read_input_tokens": 5,
            },
            {
                "type": "message",
                "input_tokens": 23_000,
                "output_tokens": 1_000,
                "cache_creation_input_tokens": 7,
                "cache_creation": {"ephemeral_1h_input_tokens": 7},
            },
        ],
    }
    for decoder in (stream_decoder("anthropic"), whole_decoder("anthropic")):
        body = json.dumps(document("anthropic", "ab", usage=usage)).encode()
        streamed = frames("anthropic", "ab", usage=usage)
        decode(decoder, streamed if decoder.__class__.__name__ == "EventDecoder" else [body])
        assert decoder.usage == Usage(
            input_tokens=203_012,
            output_tokens=4_500,
            cache_read_tokens=5,
            cache_write_tokens=7,
            cache_write_5m_tokens=0,
            cache_write_1h_tokens=7,
            input_source="reported",
            output_source="reported",
        )
        assert decoder.billing == PLAIN


def test_one_step_is_what_stands_beside_it() -> None:
    """Without compaction the steps are those of the answer, whose counts are beside them."""
    usage = {
        "input_tokens": 10,
        "output_tokens": 2,
        "iterations": [{"type": "message", "input_tokens": 10, "output_tokens": 2}],
    }
    decoder = stream_decoder("anthropic")
    decode(decoder, frames("anthropic", "ab", usage=usage))
    assert (decoder.usage.input_tokens, decoder.usage.output_tokens) == (10, 2)
