"""What the tokens of a model cost, and what an attempt comes to at these rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NamedTuple, Protocol

from llmkit.errors import ConfigError
from llmkit.usage import EXACT, LARGEST_COST, Billing, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, TieredPrices

_PRICE_HINT = (
    'A price is 0, or {"input": "3", "output": "15"} with "cache_read" and "cache_write" where they differ, in US dollars per'
    ' million tokens, and "web_search" in US dollars per thousand searches. The output of a model that embeds is 0.'
)


class Price(Protocol):
    """US dollars per million tokens. Cached tokens cost as other input unless priced themselves."""

    @property
    def input(self) -> Decimal:
        """For the prompt."""

    @property
    def output(self) -> Decimal:
        """For the answer, reasoning included."""

    @property
    def cache_read(self) -> Decimal | None:
        """For the prompt's part that was read from the provider's cache."""

    @property
    def cache_write(self) -> Decimal | None:
        """For the prompt's part that was written to the provider's cache."""

    @property
    def web_search(self) -> Decimal | None:
        """For a thousand searches that the provider makes."""


AnyPrice = Price | Mapping[str, Decimal | str | int] | int | str


# Dollars per million tokens, each above so many input tokens.
_Rate = tuple[tuple[int, Decimal], ...]
_THOUSAND = Decimal(1000)
# To how many places of a dollar a million tokens are priced. Nobody does it more finely.
_PLACES = 20
_DEAREST = LARGEST_COST * _THOUSAND


class _Whole(NamedTuple):
    """Prices as whole numbers, with which it is quicker to reckon, and as exact: so many of a dollar's `places`-th decimal place.

    `kinds` are those of a token of each kind, `request` is that of a call, `web_search` that of a search.
    """

    places: int
    kinds: tuple[tuple[tuple[int, int], ...] | None, ...]
    request: int
    web_search: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What each kind of token costs, or None; `request` is dollars for the call itself, `web_search` for one search."""

    input: _Rate | None
    cache_read: _Rate | None
    cache_write: _Rate | None
    cache_write_1h: _Rate | None
    output: _Rate | None
    reasoning: _Rate | None
    request: Decimal = Decimal(0)
    web_search: Decimal | None = None
    factor: Decimal = Decimal(1)
    free: bool = False
    _whole: _Whole = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_whole", _whole(self))

    def cost(self, usage: Usage, billing: Billing) -> Decimal | None:
        """Add up, in US dollars; None if a count is unknown, unpriced or contradicts another.

        A part that costs what its whole costs is not told apart, so that it can contradict nothing: some servers report one
        token more of reasoning than of output.
        """
        if usage.input_tokens is None or usage.output_tokens is None or billing.unpriced:
            return None
        if billing.web_searches and self.web_search is None:
            return None
        read = usage.cache_read_tokens or 0
        written_1h = usage.cache_write_1h_tokens or 0
        written = usage.cache_write_tokens
        if written is None:
            written = written_1h + (usage.cache_write_5m_tokens or 0)
        reasoning = usage.reasoning_tokens or 0
        if self.cache_write_1h == self.cache_write:
            written_1h = 0
        if self.cache_write == self.input:
            written = written_1h
        if self.cache_read == self.input:
            read = 0
        if self.reasoning == self.output:
            reasoning = 0
        counts = (
            usage.input_tokens - read - written,
            read,
            written - written_1h,
            written_1h,
            usage.output_tokens - reasoning,
            reasoning,
        )
        whole = self._whole
        total = whole.request + billing.web_searches * whole.web_search
        for count, rate in zip(counts, whole.kinds, strict=True):
            if count:
                if count < 0 or rate is None:
                    return None
                total += count * (rate[0][1] if len(rate) == 1 else _at(rate, usage.input_tokens))
        return Decimal(total).scaleb(-whole.places, EXACT)

    def most(self, input_tokens: int, output_tokens: int) -> Decimal | None:
        """Return the most that so many tokens can cost, in US dollars, whichever kinds they are of; None if there is no price."""
        if self.free:
            return Decimal(0)
        total = Decimal(0)
        put_in = (self.input, self.cache_read, self.cache_write, self.cache_write_1h)
        for count, rates in (
            (input_tokens, put_in),
            (output_tokens, (self.output, self.reasoning)),
        ):
            # Who is asked for no output, as a model that embeds is, needs no price of it.
            if count and rates[0] is None:
                return None
            if count:
                total += _dearest(input_tokens, *rates) * count
        return total * self.factor / 1_000_000 + self.request


def _dearest(input_tokens: int, *rates: _Rate | None) -> Decimal:
    """Choose the highest price that so many tokens, or fewer, may come to."""
    return max(
        price for rate in rates if rate is not None for start, price in rate if input_tokens > start
    )


def _whole(rates: Rates) -> _Whole:
    """Turn prices into whole numbers."""
    kinds = (
        *(rates.input, rates.cache_read, rates.cache_write, rates.cache_write_1h),
        *(rates.output, rates.reasoning),
    )
    # A token's: a millionth of the price, times the factor.
    prices = [
        None
        if rate is None
        else [
            (start, EXACT.multiply(price, rates.factor).scaleb(-6, EXACT)) for start, price in rate
        ]
        for rate in kinds
    ]
    searches = rates.web_search or Decimal(0)
    all_of_them = [price for rate in prices for _, price in rate or ()] + [rates.request, searches]
    places = max(0, *(-int(price.as_tuple().exponent) for price in all_of_them))

    def whole(price: Decimal) -> int:
        return int(price.scaleb(places, EXACT))

    return _Whole(
        places,
        tuple(
            None if rate is None else tuple((start, whole(price)) for start, price in rate)
            for rate in prices
        ),
        whole(rates.request),
        whole(searches),
    )


def _at(rate: tuple[tuple[int, int], ...], input_tokens: int) -> int:
    """Choose the price; above a threshold it holds for all tokens, not only for those beyond it."""
    return [price for start, price in rate if input_tokens > start][-1]


def own_rates(name: str, price: AnyPrice) -> Rates:
    """Read a price of the host's."""
    try:
        if isinstance(price, int | str):
            if Decimal(str(price)) != 0:
                raise ValueError  # one number cannot be the price of both sides
            price = {"input": 0, "output": 0}
        if isinstance(price, Mapping):
            unknown = price.keys() - {
                "input",
                "output",
                "cache_read",
                "cache_write",
                "web_search",
            }
            if unknown:
                raise ValueError
            read, write = price.get("cache_read"), price.get("cache_write")
            values = [price["input"], price["output"], read, write, price.get("web_search")]
        else:
            values = [
                price.input,
                price.output,
                price.cache_read,
                price.cache_write,
                price.web_search,
            ]
        rates = [None if value is None else _flat(value) for value in values]
    except (ValueError, KeyError, InvalidOperation):
        raise ConfigError(f"the price of {name} is not valid", hint=_PRICE_HINT) from None
    fresh, output, read_rate, write_rate, search = rates
    return Rates(
        input=fresh,
        cache_read=read_rate or fresh,
        cache_write=write_rate or fresh,
        cache_write_1h=write_rate or fresh,
        output=output,
        reasoning=output,
        web_search=EXACT.divide(search[0][1], _THOUSAND) if search else None,
        free=not any(rate[0][1] for rate in rates if rate),
    )


def _flat(value: Decimal | str | int) -> _Rate:
    price = Decimal(str(value))
    if not price.is_finite() or not 0 <= price < _DEAREST:
        raise ValueError
    if int(price.as_tuple().exponent) < -_PLACES:
        price = price.quantize(Decimal(1).scaleb(-_PLACES), context=EXACT)
    return ((-1, price),)


def vendor_rates(price: ModelPrice, factor: Decimal) -> Rates:
    """Take over the prices of text. The package's own calculation agrees, at 30 times the time."""
    fresh, output = _tiers(price.input_mtok), _tiers(price.output_mtok)
    written = _tiers(price.cache_write_mtok) or fresh
    requests, searches = price.requests_kcount, price.web_searches_kcount
    return Rates(
        input=fresh,
        cache_read=_tiers(price.cache_read_mtok) or fresh,
        cache_write=_tiers(price.cache_write_5m_mtok) or written,
        cache_write_1h=_tiers(price.cache_write_1h_mtok) or written,
        output=output,
        reasoning=_tiers(price.output_reasoning_mtok) or output,
        request=EXACT.divide(requests, _THOUSAND) if isinstance(requests, Decimal) else Decimal(0),
        web_search=EXACT.divide(searches, _THOUSAND) if isinstance(searches, Decimal) else None,
        factor=factor,
    )


def _tiers(price: Decimal | TieredPrices | None) -> _Rate | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return _flat(price)
    return ((-1, price.base), *((tier.start, tier.price) for tier in price.tiers))
