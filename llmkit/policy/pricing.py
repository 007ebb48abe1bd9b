"""What an attempt cost: by the host's own prices, else by those that genai-prices carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING, NamedTuple, Protocol

from llmkit.errors import ConfigError
from llmkit.usage import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

_EXACT = Context(prec=50, rounding=ROUND_HALF_UP)  # whatever context the host computes in
_NANO = Decimal("0.000000001")
_REMEMBERED = 1000
# What genai-prices calls a vendor, where its name in the settings is another.
_VENDOR_IDS = {"xai": "x-ai"}
_PRICE_HINT = (
    'A price is 0, or {"input": "3", "output": "15"} with "cache_read" and'
    ' "cache_write" where they differ, in US dollars per million tokens.'
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


AnyPrice = Price | Mapping[str, Decimal | str | int] | int | str


class Priced(NamedTuple):
    """A cost in US dollars, to nine places, and whose prices it is by; both None when unknown."""

    cost: Decimal | None
    version: str | None


UNKNOWN = Priced(None, None)


class Prices:
    """Prices attempts, without ever asking the network.

    Args:
        overrides: by provider, or by `provider:model`, which wins.

    Raises:
        ConfigError: an override is no price.
    """

    def __init__(self, overrides: Mapping[str, AnyPrice] | None = None) -> None:
        self._overrides = {name: _own(name, price) for name, price in (overrides or {}).items()}
        self._models: dict[tuple[str, str], _Model | None] = {}

    def cost(
        self, provider: str | None, model: str, usage: Usage, *, at: datetime | None = None
    ) -> Priced:
        """Price what an attempt used.

        A vendor's prices are taken where the provider has exactly this vendor's name, at whatever
        address, and the vendor has this model.

        Args:
            provider: its name in the settings; None is at nobody's price.
            model: the model's name, as the provider knows it.
            usage: the tokens. When one side is unknown the cost is, unless the model is free.
            at: when it was; default now. Some prices change at a date, or at an hour.
        """
        if provider is None:
            return UNKNOWN
        own = self._overrides.get(f"{provider}:{model}") or self._overrides.get(provider)
        if own is not None:
            return _priced(own, usage, "settings")
        found = self._find(provider, model)
        if found is None:
            return UNKNOWN
        return _priced(found.rates(at or datetime.now(UTC)), usage, found.version)

    def preload(self) -> None:
        """Load the price data, so that no call has to wait the third of a second that it takes."""
        self._find("openai", "gpt-4o")

    def _find(self, provider: str, model: str) -> _Model | None:
        key = (provider, model)
        try:
            return self._models[key]
        except KeyError:
            found = _look_up(provider, model)
        if len(self._models) >= _REMEMBERED:  # a model's name may come from outside
            self._models.clear()
        self._models[key] = found
        return found


# Dollars per million tokens, each above so many input tokens.
_Rate = tuple[tuple[int, Decimal], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    """What each kind of token costs, or None; `request` is dollars for the call itself."""

    input: _Rate | None
    cache_read: _Rate | None
    cache_write: _Rate | None
    cache_write_1h: _Rate | None
    output: _Rate | None
    reasoning: _Rate | None
    request: Decimal = Decimal(0)
    free: bool = False

    def cost(self, usage: Usage) -> Decimal | None:
        """Add up, in US dollars; None if a count is unknown, unpriced or contradicts another.

        A part that costs what its whole costs is not told apart, so that it can contradict nothing: some servers report one
        token more of reasoning than of output.
        """
        if usage.input_tokens is None or usage.output_tokens is None:
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
        total = self.request * 1_000_000
        for count, rate in (
            (usage.input_tokens - read - written, self.input),
            (read, self.cache_read),
            (written - written_1h, self.cache_write),
            (written_1h, self.cache_write_1h),
            (usage.output_tokens - reasoning, self.output),
            (reasoning, self.reasoning),
        ):
            if count < 0 or (count and rate is None):
                return None
            if count and rate is not None:
                total += count * _at(rate, usage.input_tokens)
        return total / 1_000_000


def _at(rate: _Rate, input_tokens: int) -> Decimal:
    """Choose the price; above a threshold it holds for all tokens, not only for those beyond it."""
    return [price for start, price in rate if input_tokens > start][-1]


def _priced(rates: _Rates, usage: Usage, version: str) -> Priced:
    with localcontext(_EXACT):
        cost = Decimal(0) if rates.free else rates.cost(usage)
        return UNKNOWN if cost is None else Priced(cost.quantize(_NANO), version)


def _own(name: str, price: AnyPrice) -> _Rates:
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
            }
            if unknown:
                raise ValueError
            read, write = price.get("cache_read"), price.get("cache_write")
            values = [price["input"], price["output"], read, write]
        else:
            values = [
                price.input,
                price.output,
                price.cache_read,
                price.cache_write,
            ]
        rates = [None if value is None else _flat(value) for value in values]
    except (ValueError, KeyError, InvalidOperation):
        raise ConfigError(f"the price of {name} is not one", hint=_PRICE_HINT) from None
    fresh, output, read_rate, write_rate = rates
    return _Rates(
        input=fresh,
        cache_read=read_rate or fresh,
        cache_write=write_rate or fresh,
        cache_write_1h=write_rate or fresh,
        output=output,
        reasoning=output,
        free=not any(rate[0][1] for rate in rates if rate),
    )


def _flat(value: Decimal | str | int) -> _Rate:
    price = Decimal(str(value))
    if not price.is_finite() or price < 0:
        raise ValueError
    return ((-1, price),)


class _Model:
    """A model that genai-prices knows."""

    __slots__ = ("_info", "_last", "version")

    def __init__(self, info: ModelInfo, version: str) -> None:
        self._info = info
        self._last: tuple[ModelPrice, _Rates] | None = None
        self.version = version

    def rates(self, at: datetime) -> _Rates:
        """Return the prices of that moment."""
        price = self._info.get_prices(at)
        if self._last is None or self._last[0] is not price:
            self._last = (price, _of_vendor(price))
        return self._last[1]


def _look_up(provider: str, model: str) -> _Model | None:
    import genai_prices  # noqa: PLC0415  # slow to load

    vendor = _VENDOR_IDS.get(provider, provider)
    try:
        found = genai_prices.calc_price(genai_prices.Usage(), model, provider_id=vendor)
    except (LookupError, ValueError):
        return None
    if found.provider.id != vendor:  # it also matches names that only contain a vendor's
        return None
    return _Model(found.model, f"genai-prices {genai_prices.__version__}")


def _of_vendor(price: ModelPrice) -> _Rates:
    """Take over the prices of text. The package's own calculation agrees, at 30 times the time."""
    fresh, output = _tiers(price.input_mtok), _tiers(price.output_mtok)
    written = _tiers(price.cache_write_mtok) or fresh
    per_thousand = price.requests_kcount
    return _Rates(
        input=fresh,
        cache_read=_tiers(price.cache_read_mtok) or fresh,
        cache_write=_tiers(price.cache_write_5m_mtok) or written,
        cache_write_1h=_tiers(price.cache_write_1h_mtok) or written,
        output=output,
        reasoning=_tiers(price.output_reasoning_mtok) or output,
        request=per_thousand / 1000 if isinstance(per_thousand, Decimal) else Decimal(0),
    )


def _tiers(price: Decimal | TieredPrices | None) -> _Rate | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return _flat(price)
    return ((-1, price.base), *((tier.start, tier.price) for tier in price.tiers))
