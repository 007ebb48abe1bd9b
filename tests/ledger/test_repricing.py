"""Rows are priced anew: those whose price is known now, and no other."""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from llmkit.ledger.base import Maintained
from llmkit.ledger.outbox.records import decode, encode
from llmkit.ledger.repricing import Repriced, reprice
from llmkit.ledger.row import unsent
from llmkit.policy.pricing import Priced, Prices
from llmkit.usage import Billing, Usage
from support.ledger import START, closing, opening

# A hundred tokens in and twenty out cost this, and this by the prices of `DEARER`.
COST = Decimal("0.00014")
DEARER = Decimal("0.0014")
PRICES = Prices({"anthropic:claude-sonnet-4-5": {"input": "1", "output": "2"}})
DEARER_PRICES = Prices({"anthropic": {"input": "10", "output": "20", "web_search": "10"}})
NONE = Prices()
UNKNOWN: dict[str, Any] = {"cost": None, "price_version": None}

Price = tuple[Decimal | None, str | None]


def prices_of(store: Maintained) -> dict[str, Price]:
    """Return the cost of each call, and whose price it is by."""
    return {
        row["call_id"]: (row["cost_usd"], row["price_version"])
        for row in sorted(store.recent(99), key=lambda row: row["id"])
    }


def unchanging(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a row no price changes."""
    return {name: value for name, value in row.items() if name not in ("cost_usd", "price_version")}


def test_a_price_that_was_missing(maintained: Maintained) -> None:
    """A row without a cost has one, and the version says by what; all else in it stays."""
    maintained.write([opening()], [closing(**UNKNOWN, content={"answer": "Hi"})])
    before = maintained.recent(9)
    assert reprice(maintained, PRICES) == Repriced(rows=1, changed=1, old=Decimal(0), new=COST)
    assert prices_of(maintained) == {"call-1": (COST, "settings")}
    assert [*map(unchanging, maintained.recent(9))] == [*map(unchanging, before)]


def test_a_price_that_has_changed(maintained: Maintained) -> None:
    """The row has the new one; a second run finds nothing to change."""
    maintained.write([opening()], [closing(cost=COST, price_version="settings")])
    found = reprice(maintained, DEARER_PRICES)
    assert found == Repriced(rows=1, changed=1, old=COST, new=DEARER)
    assert prices_of(maintained) == {"call-1": (DEARER, "settings")}
    again = reprice(maintained, DEARER_PRICES)
    assert again == Repriced(rows=1, changed=0, old=DEARER, new=DEARER)


def test_the_same_cost_by_another_price(maintained: Maintained) -> None:
    """It counts as unchanged, and the version says what it is by now."""
    maintained.write([opening()], [closing(cost=COST, price_version="genai-prices 0.0.1")])
    assert reprice(maintained, PRICES).changed == 0
    assert prices_of(maintained) == {"call-1": (COST, "settings")}


def test_a_price_is_that_of_the_time_of_the_call(maintained: Maintained) -> None:
    """Not that of today: one model became cheaper in June 2025."""
    pytest.importorskip("genai_prices")
    moments = {
        "may": datetime(2025, 5, 1, tzinfo=UTC),
        "july": datetime(2025, 7, 1, 12, 30, 1, 5, tzinfo=UTC),
    }
    maintained.write(
        [
            opening(name, provider="openai", model="o3", started_at=at)
            for name, at in moments.items()
        ],
        [closing(name, **UNKNOWN) for name in moments],
    )
    reprice(maintained, NONE)
    found = prices_of(maintained)
    for name, at in moments.items():
        assert found[name] == NONE.cost("openai", "o3", closing().usage, at=at)
    assert found["may"][0] == 5 * (found["july"][0] or 0)


def test_a_row_whose_price_nobody_knows_stays(maintained: Maintained) -> None:
    """With its cost and version, or without a cost; so does one whose tokens are not known, and one of no provider."""
    elsewhere = {"provider": "local", "model": "mine"}
    maintained.write(
        [
            opening("priced", **elsewhere),
            opening("unpriced", **elsewhere),
            opening("uncounted"),
            opening("nobody's", provider=None, model=None),
        ],
        [
            closing("priced", price_version="genai-prices 0.0.1"),
            closing("unpriced", **UNKNOWN),
            closing("uncounted", **UNKNOWN, usage=Usage(input_tokens=7)),
            closing("nobody's", **UNKNOWN, usage=Usage()),
        ],
    )
    before = prices_of(maintained)
    cost = closing().cost or 0
    assert reprice(maintained, PRICES) == Repriced(
        rows=4, changed=0, old=cost + Decimal(0), new=cost + Decimal(0), unpriced=3
    )
    assert prices_of(maintained) == before


def test_what_was_never_sent_costs_nothing(maintained: Maintained) -> None:
    """Whatever its price. A call that was free then has the price that there is now."""
    first = opening("unsent")
    maintained.write(
        [first, opening("free")],
        [
            unsent(first, "failed", 1.0, error_type="ConnectionFailed"),
            closing("free", cost=Decimal(0), price_version="settings"),
        ],
    )
    assert reprice(maintained, PRICES).changed == 1
    assert prices_of(maintained) == {
        "unsent": (Decimal(0), None),
        "free": (COST, "settings"),
    }


def test_what_a_provider_says_that_it_cost_stays(maintained: Maintained) -> None:
    """Against the prices that its model has elsewhere, and not against those of the settings, which count its searches."""
    stated = {"cost": Decimal("0.5"), "price_version": "stated by anthropic"}
    searched = Billing(web_searches=2, stated_cost=Decimal("0.5"))
    maintained.write(
        [opening("plain"), opening("searched")],
        [closing("plain", **stated), closing("searched", **stated, billing=searched)],
    )
    before = prices_of(maintained)
    assert reprice(maintained, NONE).changed == 0
    assert prices_of(maintained) == before
    reprice(maintained, DEARER_PRICES)
    assert prices_of(maintained) == {
        "plain": (DEARER, "settings"),
        "searched": (DEARER + Decimal("0.02"), "settings"),
    }


BILLED = {
    "plain": Billing(),
    "flex": Billing(service_tier="flex"),
    "unheard-of": Billing(service_tier="scale"),
    "searched": Billing(web_searches=2),
    "fast": Billing(speed="fast"),
    "us": Billing(region="us"),
    "otherwise": Billing(unpriced=True),
    "us, searched": Billing(region="us", web_searches=1),
}


@pytest.mark.parametrize(
    "model", ["openai:gpt-5-nano", "anthropic:claude-sonnet-4-5", "anthropic:claude-opus-4-6"]
)
def test_what_else_the_price_hangs_on(maintained: Maintained, model: str) -> None:
    """Tier, speed, region, searches and what has no price come back from the row: it is priced as the call would be."""
    pytest.importorskip("genai_prices")
    provider, _, name = model.partition(":")
    maintained.write(
        [opening(how, provider=provider, model=name) for how in BILLED],
        [closing(how, **UNKNOWN, billing=billing) for how, billing in BILLED.items()],
    )
    rows = maintained.closed(since=None, after=0, limit=99)
    assert [row.billing for row in rows] == [*BILLED.values()]
    reprice(maintained, NONE)
    assert prices_of(maintained) == {
        how: NONE.cost(provider, name, closing().usage, billing=billing, at=START)
        for how, billing in BILLED.items()
    }


def test_all_kinds_of_tokens_count(maintained: Maintained) -> None:
    """Those that were cached, too."""
    pytest.importorskip("genai_prices")
    usage = Usage(
        input_tokens=10_000,
        output_tokens=500,
        cache_read_tokens=6_000,
        cache_write_tokens=3_000,
        cache_write_5m_tokens=2_000,
        cache_write_1h_tokens=1_000,
        reasoning_tokens=200,
    )
    maintained.write([opening()], [closing(**UNKNOWN, usage=usage)])
    reprice(maintained, NONE)
    assert prices_of(maintained)["call-1"][0] == Decimal("0.0258")


def test_rows_from_a_moment_on(maintained: Maintained) -> None:
    """Those that began then or later; what went before is not even counted."""
    later = START + timedelta(hours=1)
    began = {"before": later - timedelta(microseconds=1), "at it": later, "after": later}
    maintained.write(
        [opening(name, started_at=at) for name, at in began.items()],
        [closing(name, **UNKNOWN) for name in began],
    )
    assert reprice(maintained, PRICES, since=later, batch=1).rows == 2
    assert [cost for cost, _ in prices_of(maintained).values()] == [None, COST, COST]


@pytest.mark.parametrize("batch", [1, 2, 3, 500])
def test_a_dry_run_says_what_a_run_does(maintained: Maintained, batch: int) -> None:
    """And changes nothing; however many rows are written at a time."""
    names = ("dear", "cheap", "unknown", "elsewhere", "unpriced")
    costs = (Decimal("999999999.5"), Decimal("0.000000001"), None, Decimal(1), None)
    away = {"elsewhere", "unpriced"}
    maintained.write(
        [opening(name, model="other" if name in away else opening().model) for name in names],
        [closing(name, cost=cost) for name, cost in zip(names, costs, strict=True)],
    )
    before = prices_of(maintained)
    expected = Repriced(
        rows=5,
        changed=3,
        old=Decimal("1000000000.500000001"),
        new=3 * COST + 1,
        unpriced=1,
    )
    with decimal.localcontext(prec=12):  # of the app's own
        assert reprice(maintained, PRICES, dry_run=True, batch=batch) == expected
        assert prices_of(maintained) == before
        assert reprice(maintained, PRICES, batch=batch) == expected
    assert [cost for cost, _ in prices_of(maintained).values()] == [COST, COST, COST, 1, None]


def test_calls_that_go_on_are_left_alone(maintained: Maintained) -> None:
    """Their cost is written with their end; what is lost has no other end, and is priced by what it had."""
    maintained.write([opening("open"), opening("lost")], [closing("lost", status="lost")])
    assert reprice(maintained, PRICES) == Repriced(
        rows=1, changed=1, old=closing().cost or Decimal(0), new=COST
    )
    assert prices_of(maintained)["open"] == (None, None)


def test_no_rows(maintained: Maintained) -> None:
    """There is nothing to price."""
    maintained.write([opening()], [])
    assert reprice(maintained, PRICES) == Repriced()


def test_what_the_price_hangs_on_waits_in_the_outbox(maintained: Maintained) -> None:
    """A row that was there first is priced like any other."""
    billing = Billing(service_tier="flex", speed="fast", region="us", web_searches=3, unpriced=True)
    rows = [*decode(encode(opening()) + encode(closing(billing=billing)))]
    assert rows == [opening(), closing(billing=billing)]
    maintained.write(rows[:1], rows[1:])  # type: ignore[arg-type]  # as they were written
    (row,) = maintained.closed(since=None, after=0, limit=9)
    assert asdict(row.billing) == asdict(billing)


def test_an_end_that_comes_meanwhile_counts(maintained: Maintained) -> None:
    """Its cost is of more tokens than were read."""
    maintained.write([opening()], [closing(status="lost", cost=COST)])
    (row,) = maintained.closed(since=None, after=0, limit=9)
    maintained.write([], [closing(cost=DEARER)])
    maintained.set_costs([(row, Priced(COST, "settings"))])
    assert prices_of(maintained)["call-1"][0] == DEARER
