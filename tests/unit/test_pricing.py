"""What attempts cost."""

from __future__ import annotations

import decimal
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from llmkit.config import Config
from llmkit.errors import ConfigError
from llmkit.policy.pricing import UNKNOWN, Prices
from llmkit.policy.rates import Rates
from llmkit.usage import EXACT, Billing, Usage

genai_prices = pytest.importorskip("genai_prices")

THOUSAND = Usage(input_tokens=1000, output_tokens=100)
CACHED = Usage(
    input_tokens=10_000,
    output_tokens=500,
    cache_read_tokens=6_000,
    cache_write_tokens=3_000,
    cache_write_5m_tokens=2_000,
    cache_write_1h_tokens=1_000,
    reasoning_tokens=200,
)
SPLIT_ONLY = Usage(
    input_tokens=10_000, output_tokens=1, cache_write_5m_tokens=2_000, cache_write_1h_tokens=1_000
)
LONG = Usage(input_tokens=300_000, output_tokens=10, cache_read_tokens=100_000)


def test_a_vendors_model_has_its_price() -> None:
    """A known model is priced to nine places, and the version says by what."""
    priced = Prices().cost("anthropic", "claude-sonnet-4-5", THOUSAND)
    assert str(priced.cost) == "0.004500000"
    assert priced.version == f"genai-prices {genai_prices.__version__}"


@pytest.mark.parametrize(
    "model",
    [
        "anthropic:claude-sonnet-4-5",
        "deepseek:deepseek-chat",
        "groq:llama-3.3-70b-versatile",
        "mistral:mistral-large-latest",
        "openai:gpt-5-mini",
        "openrouter:anthropic/claude-sonnet-4.5",
        "together:meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "xai:grok-4",
    ],
)
def test_every_known_vendor_has_prices(model: str) -> None:
    """Under the name that it has in the settings."""
    provider, _, name = model.partition(":")
    priced = Prices().cost(provider, name, Usage(input_tokens=1000, output_tokens=1000))
    assert priced.cost is not None
    assert priced.cost > 0


def test_cached_tokens_have_their_own_prices() -> None:
    """Cache reads, five-minute and one-hour writes are parts of the input, each at its price."""
    # 1000 at 3, 6000 at 0.3, 2000 at 3.75, 1000 at 6, 500 at 15, per million
    assert Prices().cost("anthropic", "claude-sonnet-4-5", CACHED).cost == Decimal("0.0258")
    # 7000 at 3, 2000 at 3.75, 1000 at 6, 1 at 15
    assert Prices().cost("anthropic", "claude-sonnet-4-5", SPLIT_ONLY).cost == Decimal("0.034515")


def _reference(provider: str, model: str, usage: Usage, at: datetime) -> Decimal | None:
    written = usage.cache_write_tokens
    if written is None:
        written = (usage.cache_write_5m_tokens or 0) + (usage.cache_write_1h_tokens or 0)
    theirs = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=written,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    try:
        found = genai_prices.calc_price(
            theirs, model, provider_id=provider, genai_request_timestamp=at
        )
    except LookupError:  # some models go by an id that their own pattern does not match
        return None
    price: Decimal = found.total_price
    return price


@pytest.mark.parametrize("provider", ["anthropic", "openai", "google", "deepseek", "perplexity"])
def test_we_calculate_as_genai_prices_does(provider: str) -> None:
    """For each model with prices for text the cost is what genai-prices itself calculates."""
    from genai_prices.data import providers  # optional

    prices, at, compared = Prices(), datetime(2026, 5, 17, 3, tzinfo=UTC), 0
    (vendor,) = (vendor for vendor in providers if vendor.id == provider)
    for model in vendor.models:
        rates = model.get_prices(at)
        if rates.input_mtok is None or rates.output_mtok is None:
            continue
        for usage in (CACHED, LONG):
            ours = prices.cost(provider, model.id, usage, at=at).cost
            theirs = _reference(provider, model.id, usage, at)
            if theirs is None:
                assert ours is None, model.id
                continue
            assert ours is not None, model.id
            assert abs(ours - theirs) <= Decimal("5e-10"), model.id
            compared += 1
    assert compared >= 10


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [(200_000, "0.25001"), (200_001, "0.500017500")],
    ids=["at the threshold", "one more"],
)
def test_a_long_prompt_has_a_price_of_its_own(tokens: int, cost: str) -> None:
    """Above the threshold it holds for all tokens, and at the threshold not yet."""
    usage = Usage(input_tokens=tokens, output_tokens=1)
    found = Prices().cost("google", "gemini-2.5-pro", usage).cost
    assert found == Decimal(cost)
    assert found == _reference("google", "gemini-2.5-pro", usage, datetime.now(UTC))


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-1"])
def test_the_most_is_what_the_dearest_kinds_of_tokens_cost(model: str) -> None:
    """No attempt costs more, and a short one cannot have the price of a long prompt."""
    prices, chance = Prices(), random.Random(7)
    for longest in (1000, 200_000, 200_001, 900_000):
        most = prices.most("anthropic", model, input_tokens=longest, output_tokens=4096)
        assert most is not None
        reached = Decimal(0)
        for number in range(300):
            put_in = longest if number % 3 == 0 else chance.randrange(1, longest + 1)
            written = chance.choice((0, put_in, chance.randrange(put_in + 1)))
            usage = Usage(
                input_tokens=put_in,
                output_tokens=4096,
                cache_write_tokens=written,
                cache_write_1h_tokens=chance.choice((0, written)),
            )
            cost = prices.cost("anthropic", model, usage).cost
            assert cost is not None
            assert cost <= most
            reached = max(reached, cost)
        assert reached == most


def test_a_price_that_changes_is_that_of_its_time() -> None:
    """Prices with a date are taken by the time of the call."""
    prices = Prices()
    before = prices.cost("openai", "o3", THOUSAND, at=datetime(2025, 5, 1, tzinfo=UTC))
    after = prices.cost("openai", "o3", THOUSAND, at=datetime(2025, 7, 1, tzinfo=UTC))
    assert before.cost == 5 * (after.cost or 0)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-imaginary"),
        ("openai", "claude-sonnet-4-5"),
        ("local", "gpt-4o"),
        ("my-openai-proxy", "gpt-4o"),
        ("litellm", "openai/gpt-4o"),
        (None, "gpt-4o"),
        ("openai", ""),
    ],
)
def test_what_nobody_prices_is_unknown(provider: str | None, model: str) -> None:
    """An unknown model, or one at a provider that only resembles a vendor, has no cost: not 0."""
    assert Prices().cost(provider, model, THOUSAND) == UNKNOWN


def test_a_model_priced_by_something_else_is_unknown() -> None:
    """Tokens of a model that is billed by the hour of audio have no price, so no cost."""
    assert Prices().cost("openai", "whisper-1", THOUSAND) == UNKNOWN


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(input_tokens=10),
        Usage(output_tokens=10),
        Usage(input_tokens=10, output_tokens=1, cache_read_tokens=11),
        Usage(input_tokens=10, output_tokens=1, cache_read_tokens=6, cache_write_tokens=5),
        Usage(input_tokens=10, output_tokens=1, cache_write_tokens=1, cache_write_1h_tokens=2),
    ],
)
def test_counts_that_are_unknown_or_contradict_give_no_cost(usage: Usage) -> None:
    """Without both sides, or with a part larger than the whole and a price of its own, the cost is unknown."""
    assert Prices().cost("anthropic", "claude-sonnet-4-5", usage) == UNKNOWN


def test_more_reasoning_than_output() -> None:
    """Where reasoning costs what output does, the output says it all."""
    usage = Usage(
        input_tokens=951, output_tokens=6_000, cache_read_tokens=60, reasoning_tokens=6_001
    )
    assert Prices().cost("openai", "gpt-5-nano", usage).cost == Decimal("0.00244485")
    dearer = Usage(input_tokens=951, output_tokens=6_000, cache_read_tokens=952)
    assert Prices().cost("openai", "gpt-5-nano", dearer) == UNKNOWN


@pytest.mark.parametrize(
    ("parts", "cost"),
    [
        ({"cache_read_tokens": 11}, "0.000012"),
        ({"cache_write_tokens": 11}, "0.000012"),
        ({"cache_read_tokens": 9, "cache_write_tokens": 9}, "0.000012"),
        ({"cache_write_tokens": 1, "cache_write_1h_tokens": 2}, "0.000012"),
        ({"cache_write_5m_tokens": 9, "cache_write_1h_tokens": 9}, "0.000012"),
        ({"reasoning_tokens": 2}, "0.000012"),
    ],
)
def test_parts_at_the_price_of_their_whole(parts: dict[str, int], cost: str) -> None:
    """A part that costs what its whole costs may be larger than it: it is not told apart."""
    prices = Prices({"p": {"input": "1", "output": "2"}})
    usage = Usage(input_tokens=10, output_tokens=1, **parts)  # type: ignore[arg-type]
    assert prices.cost("p", "m", usage).cost == Decimal(cost)


def test_a_part_with_a_price_of_its_own_beside_one_without() -> None:
    """Only the part with a price of its own is taken out of the whole."""
    prices = Prices({"p": {"input": "1", "output": "2", "cache_read": "0.5"}})
    usage = Usage(input_tokens=10, output_tokens=1, cache_read_tokens=4, cache_write_tokens=9)
    assert prices.cost("p", "m", usage).cost == Decimal("0.00001")
    own = Prices({"p": {"input": "1", "output": "2", "cache_write": "3"}})
    assert own.cost("p", "m", usage).cost == Decimal("0.00003")


def test_the_hosts_prices_win() -> None:
    """A price for the model wins over one for the provider, and that over the vendor's."""
    prices = Prices(
        {
            "openai": {"input": "1", "output": "2"},
            "openai:gpt-4o": {"input": 10, "output": "20", "cache_read": "0.5"},
            "ollama:llama3:8b": 0,
        }
    )
    assert prices.cost("openai", "gpt-4o-mini", THOUSAND) == (Decimal("0.0012"), "settings")
    assert prices.cost("openai", "gpt-4o", THOUSAND).cost == Decimal("0.012")
    assert prices.cost("openai", "gpt-4o", CACHED).cost == Decimal("0.053")
    assert prices.cost("ollama", "llama3:8b", THOUSAND) == (Decimal(0), "settings")
    assert prices.cost("ollama", "llama3:70b", THOUSAND) == UNKNOWN


@pytest.mark.parametrize("free", [0, "0", {"input": 0, "output": "0"}])
def test_a_free_model_costs_nothing_even_unseen(free: Any) -> None:
    """At a price of 0 the cost is known to be 0, whatever the counts are."""
    assert Prices({"local": free}).cost("local", "smollm2", Usage()) == (Decimal(0), "settings")


def test_settings_are_understood() -> None:
    """Prices as the settings hold them serve as they are."""
    config = Config.of(
        {
            "providers": {"local": {"price": 0}},
            "prices": {"local:big": {"input": "1", "output": "1"}},
        }
    )
    own = config.providers["local"].price
    assert own is not None
    prices = Prices({"local": own, **config.prices})
    assert prices.cost("local", "small", THOUSAND).cost == 0
    assert prices.cost("local", "big", THOUSAND).cost == Decimal("0.0011")


@pytest.mark.parametrize(
    "wrong",
    [
        3,
        "cheap",
        {"input": "1"},
        {"input": "1", "output": "-1"},
        {"input": "1", "output": "NaN"},
        {"input": "1", "output": "1e60"},
        {"input": "1", "output": "1", "per_call": "1"},
    ],
)
def test_a_wrong_price_is_refused_at_once(wrong: Any) -> None:
    """What is no price is a ConfigError that names it and shows how one is written."""
    with pytest.raises(ConfigError, match=r"the price of local:x .* per million tokens"):
        Prices({"local:x": wrong})


@pytest.mark.parametrize(
    ("output", "expected"),
    [("1000", "123456.789000001"), ("1000.123456", "123472.030481343")],
)
def test_halves_are_rounded_up_whatever_the_host_computes_in(output: str, expected: str) -> None:
    """Cost has nine places, rounded half up, in any decimal context."""
    usage = Usage(input_tokens=1, output_tokens=123_456_789)
    with decimal.localcontext(prec=3, rounding=decimal.ROUND_DOWN):
        prices = Prices({"p": {"input": "0.0005", "output": output}})
        cost = prices.cost("p", "m", usage).cost
    assert str(cost) == expected


PRICES = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=9) | st.sampled_from(
    [Decimal("0.075"), Decimal("1e-20"), Decimal("1E+3"), Decimal(0), Decimal("3.0000")]
)
TIERS = st.none() | st.lists(
    st.tuples(st.integers(0, 300_000), PRICES),
    min_size=0,
    max_size=2,
    unique_by=lambda tier: tier[0],
).flatmap(
    lambda tiers: PRICES.map(
        lambda price: ((-1, price), *sorted(tiers))
    )  # the first holds from no tokens on
)
COUNTS = st.integers(0, 400_000)


@hypothesis.given(
    rates=st.tuples(*[TIERS] * 6),
    further=st.tuples(PRICES, st.none() | PRICES, st.sampled_from([Decimal(1), Decimal("1.1")])),
    counts=st.tuples(COUNTS, *[st.none() | COUNTS] * 5, COUNTS),
    searches=st.integers(0, 3),
)
def test_whole_numbers_come_to_what_decimals_do(
    rates: tuple[Any, ...], further: tuple[Any, ...], counts: tuple[Any, ...], searches: int
) -> None:
    """A cost is exact, whatever the prices are: it is the one of the plain sum."""
    names = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")
    request, search, factor = further
    priced = Rates(
        **dict(zip(names, rates, strict=True)), request=request, web_search=search, factor=factor
    )
    kinds = (
        "input",
        "cache_read",
        "cache_write",
        "cache_write_5m",
        "cache_write_1h",
        "reasoning",
        "output",
    )
    usage = Usage(**{f"{kind}_tokens": count for kind, count in zip(kinds, counts, strict=True)})
    billing = Billing(web_searches=searches)
    with decimal.localcontext(EXACT):
        wanted = in_decimals(priced, usage, billing)
    assert priced.cost(usage, billing) == wanted


def in_decimals(rates: Rates, usage: Usage, billing: Billing) -> Decimal | None:
    """Add up as a book-keeper would."""
    if billing.web_searches and rates.web_search is None:
        return None
    assert usage.input_tokens is not None
    assert usage.output_tokens is not None
    read, hour = usage.cache_read_tokens or 0, usage.cache_write_1h_tokens or 0
    written = usage.cache_write_tokens
    if written is None:
        written = hour + (usage.cache_write_5m_tokens or 0)
    reasoning = usage.reasoning_tokens or 0
    hour = 0 if rates.cache_write_1h == rates.cache_write else hour
    written = hour if rates.cache_write == rates.input else written
    read = 0 if rates.cache_read == rates.input else read
    reasoning = 0 if rates.reasoning == rates.output else reasoning
    total = Decimal(0)
    for count, tiers in (
        (usage.input_tokens - read - written, rates.input),
        (read, rates.cache_read),
        (written - hour, rates.cache_write),
        (hour, rates.cache_write_1h),
        (usage.output_tokens - reasoning, rates.output),
        (reasoning, rates.reasoning),
    ):
        if count < 0 or (count and tiers is None):
            return None
        for start, price in reversed(tiers or ()):
            if usage.input_tokens > start:
                total += count * price
                break
    searches = billing.web_searches * (rates.web_search or 0)
    return total * rates.factor / 1_000_000 + rates.request + searches


def test_unknown_names_are_not_remembered_for_ever() -> None:
    """Any number of made-up model names leaves the prices working."""
    prices = Prices()
    for number in range(1100):
        assert prices.cost("local", f"model-{number}", THOUSAND) == UNKNOWN
    assert prices.cost("anthropic", "claude-sonnet-4-5", THOUSAND).cost == Decimal("0.0045")


def test_preload_loads_the_data() -> None:
    """After preload the first call finds the price data there."""
    Prices().preload()
    assert Prices().cost("openai", "gpt-4o", THOUSAND).cost is not None


NANO = Usage(input_tokens=100_000, output_tokens=1_000)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "billing", "cost"),
    [
        ("openai", "gpt-5-nano", NANO, {"service_tier": "default"}, "0.0054"),
        ("openai", "gpt-5-nano", NANO, {"service_tier": "flex"}, "0.0027"),
        ("openai", "gpt-5.4", NANO, {"service_tier": "priority"}, "0.53"),
        ("openai", "gpt-5-nano", NANO, {"service_tier": "scale"}, None),
        ("openai", "gpt-5-nano", NANO, {"service_tier": "toString"}, None),
        ("groq", "llama-3.3-70b-versatile", THOUSAND, {"service_tier": "on_demand"}, "0.000669"),
        ("groq", "llama-3.3-70b-versatile", THOUSAND, {"service_tier": "flex"}, "0.000669"),
        ("groq", "llama-3.3-70b-versatile", THOUSAND, {"service_tier": "performance"}, None),
        ("gemini", "gemini-2.5-flash", THOUSAND, {"service_tier": "ON_DEMAND"}, "0.00055"),
        ("gemini", "gemini-2.5-flash", THOUSAND, {"service_tier": "unspecified"}, "0.00055"),
        ("gemini", "gemini-2.5-flash", THOUSAND, {"service_tier": "PROVISIONED_THROUGHPUT"}, None),
        ("anthropic", "claude-sonnet-4-5", THOUSAND, {"service_tier": "standard"}, "0.0045"),
        ("anthropic", "claude-sonnet-4-5", THOUSAND, {"service_tier": "priority"}, None),
        ("anthropic", "claude-sonnet-4-5", THOUSAND, {"web_searches": 2}, "0.0245"),
        ("anthropic", "claude-opus-4-6", THOUSAND, {"region": "us"}, "0.00825"),
        ("anthropic", "claude-opus-4-6", THOUSAND, {"region": "US"}, "0.00825"),
        ("anthropic", "claude-opus-4-6", THOUSAND, {"region": "global"}, "0.0075"),
        ("anthropic", "claude-opus-4-6", THOUSAND, {"region": "moon"}, None),
        ("anthropic", "claude-opus-4-6", THOUSAND, {"region": "us", "web_searches": 1}, "0.01825"),
        ("anthropic", "claude-sonnet-4-5", THOUSAND, {"speed": "standard"}, "0.0045"),
        ("anthropic", "claude-sonnet-4-5", THOUSAND, {"speed": "fast"}, None),
        ("anthropic", "claude-sonnet-4-5", THOUSAND, {"unpriced": True}, None),
        ("groq", "llama-3.3-70b-versatile", THOUSAND, {"web_searches": 1}, None),
    ],
)
def test_what_changes_the_price(
    provider: str, model: str, usage: Usage, billing: dict[str, Any], cost: str | None
) -> None:
    """Tier, speed, region and searches are priced, or the cost is unknown: never the usual price for an unusual call."""
    at = datetime(2026, 11, 1, tzinfo=UTC)
    priced = Prices().cost(provider, model, usage, billing=Billing(**billing), at=at)
    assert priced.cost == (None if cost is None else Decimal(cost))


def test_each_region_has_its_own_price_whatever_was_priced_before() -> None:
    """One set of prices for a process: an answer from the US makes the next one, from anywhere, no dearer, and the other way round."""
    prices = Prices()
    at = datetime(2026, 11, 1, tzinfo=UTC)
    regions = ("us", "global", "us", None, "us", "moon", "global")
    costs = [
        prices.cost("anthropic", "claude-opus-4-6", THOUSAND, billing=Billing(region=region), at=at)
        for region in regions
    ]
    in_us, usual = Decimal("0.00825"), Decimal("0.0075")
    assert [priced.cost for priced in costs] == [in_us, usual, in_us, usual, in_us, None, usual]


def test_a_provider_that_states_its_cost_is_believed() -> None:
    """Before our own reckoning, and after the settings' price; the version says whose word it is."""
    stated = Billing(stated_cost=Decimal("0.00123"), service_tier="x", unpriced=True)
    assert Prices().cost("openrouter", "some/model", Usage(), billing=stated) == (
        Decimal("0.001230000"),
        "stated by openrouter",
    )
    assert Prices().cost("anthropic", "claude-sonnet-4-5", THOUSAND, billing=stated).version == (
        "stated by anthropic"
    )
    ours = Prices({"openrouter": {"input": 1, "output": 1}})
    assert ours.cost(
        "openrouter", "some/model", THOUSAND, billing=Billing(stated_cost=Decimal(9))
    ) == (
        Decimal("0.0011"),
        "settings",
    )
    assert Prices().cost(None, "some/model", THOUSAND, billing=stated) == UNKNOWN
    version = Prices().cost("x" * 99, "m", Usage(), billing=stated).version
    assert version is not None
    assert len(version) == 64


def test_the_settings_price_of_searches() -> None:
    """A price of the host's own holds for every tier; searches are priced if it says so, and unknown if not."""
    prices = Prices(
        {
            "a": {"input": 1, "output": 1, "web_search": "2.5"},
            "b": {"input": 1, "output": 1},
            "free": 0,
        }
    )
    searched = Billing(web_searches=2, service_tier="odd")
    assert prices.cost("a", "m", THOUSAND, billing=searched).cost == Decimal("0.0061")
    assert prices.cost("b", "m", THOUSAND, billing=searched) == UNKNOWN
    assert prices.cost("b", "m", THOUSAND, billing=Billing(service_tier="odd")).cost is not None
    assert prices.cost("free", "m", THOUSAND, billing=searched).cost == 0


def test_a_cost_beyond_its_column_is_unknown() -> None:
    """No count and no price gives a cost that no database would take."""
    dear = Prices({"a": {"input": 10**9, "output": 0}})
    huge = Usage(input_tokens=2**31 - 1, output_tokens=0)
    assert dear.cost("a", "m", huge) == UNKNOWN
    for amount in ("1e9", "999999999.9999999999", "1e60", "1e999999999999999999"):
        stated = Billing(stated_cost=Decimal(amount))
        assert dear.cost("b", "m", huge, billing=stated) == UNKNOWN
