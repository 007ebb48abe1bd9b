"""What an attempt cost: by the host's own prices, by the provider's word, or by the prices that genai-prices carries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, NamedTuple

from llmkit.policy.rates import AnyPrice, Rates, own_rates, vendor_rates
from llmkit.usage import EXACT, LARGEST_COST, PLAIN, Billing, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_NANO = Decimal("0.000000001")
_REMEMBERED = 1000
# What genai-prices calls a vendor, where its name in the settings is another.
_VENDOR_IDS = {"xai": "x-ai"}
# What words mean the usual price: whoever asked for nothing gets these.
_USUAL = {
    "service_tier": ("default", "standard", "auto", "on_demand"),
    "speed": ("standard",),
    "region": ("global", "not_available"),
}
# Words for a usual price that are another's for a dearer or a cheaper one: Groq's flex costs what its on_demand does.
_USUAL_AT = {("groq", "service_tier", "flex")}
# What all prices of tokens are multiplied by (platform.claude.com/docs/en/build-with-claude/data-residency).
_REGIONS = {("anthropic", "us"): Decimal("1.1")}


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
        self._overrides = {
            name: own_rates(name, price) for name, price in (overrides or {}).items()
        }
        self._models: dict[tuple[str, str], _Model | None] = {}

    def cost(
        self,
        provider: str | None,
        model: str,
        usage: Usage,
        *,
        billing: Billing = PLAIN,
        at: datetime | None = None,
    ) -> Priced:
        """Price what an attempt used: by the settings' price, else by what the provider says that it cost, else by its vendor's prices.

        A vendor's prices are taken where the provider has exactly this vendor's name, at whatever
        address, and the vendor has this model.

        Args:
            provider: its name in the settings; None is at nobody's price.
            model: the model's name, as the provider knows it.
            usage: the tokens. When one side is unknown the cost is, unless the model is free.
            billing: what else the price hangs on. What is not known to be priced makes the cost unknown; the settings' price
                holds for every tier, speed and region.
            at: when it was; default now. Some prices change at a date, or at an hour.
        """
        if provider is None:
            return UNKNOWN
        own = self._overrides.get(f"{provider}:{model}") or self._overrides.get(provider)
        if own is not None:
            return _priced(own, usage, billing, "settings")
        if billing.stated_cost is not None:
            return _rounded(billing.stated_cost, f"stated by {provider}"[:64])
        found = self._find(provider, model)
        rates = found.rates(at or datetime.now(UTC), billing) if found is not None else None
        if found is None or rates is None:
            return UNKNOWN
        return _priced(rates, usage, billing, found.version)

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


def _priced(rates: Rates, usage: Usage, billing: Billing, version: str) -> Priced:
    with localcontext(EXACT):
        cost = Decimal(0) if rates.free else rates.cost(usage, billing)
    return UNKNOWN if cost is None else _rounded(cost, version)


def _rounded(cost: Decimal, version: str) -> Priced:
    if cost < LARGEST_COST:
        cost = cost.quantize(_NANO, context=EXACT)
    return Priced(cost, version) if cost < LARGEST_COST else UNKNOWN


class _Model:
    """A model that genai-prices knows."""

    __slots__ = ("_info", "_last", "_vendor", "version")

    def __init__(self, info: ModelInfo, vendor: str, version: str) -> None:
        self._info = info
        self._vendor = vendor
        self._last: tuple[ModelPrice, Decimal, Rates] | None = None
        self.version = version

    def rates(self, at: datetime, billing: Billing) -> Rates | None:
        """Return the prices of that moment; None where nobody knows what a word of the provider's does to them."""
        factor = self._factor(billing.region)
        context = {
            name: word
            for name, word in (("service_tier", billing.service_tier), ("speed", billing.speed))
            if word is not None and not self._is_usual(name, word)
        }
        if factor is None or not all(self._prices_word(at, context, name) for name in context):
            return None
        if context:
            return vendor_rates(self._info.get_prices(at, context), factor)
        price = self._info.get_prices(at)
        last = self._last
        if last is None or last[0] is not price or last[1] != factor:
            last = self._last = (price, factor, vendor_rates(price, factor))
        return last[2]

    def _is_usual(self, name: str, word: str) -> bool:
        return word in _USUAL[name] or (self._vendor, name, word) in _USUAL_AT

    def _factor(self, region: str | None) -> Decimal | None:
        if region is None or self._is_usual("region", region):
            return Decimal(1)
        return _REGIONS.get((self._vendor, region))

    def _prices_word(self, at: datetime, context: Mapping[str, str], name: str) -> bool:
        return any(
            name in variant.when
            and variant.when.items() <= context.items()
            and (variant.constraint is None or variant.constraint.active(at))
            for variant in self._info.price_variants or ()
        )


def _look_up(provider: str, model: str) -> _Model | None:
    import genai_prices  # noqa: PLC0415  # slow to load

    vendor = _VENDOR_IDS.get(provider, provider)
    try:
        found = genai_prices.calc_price(genai_prices.Usage(), model, provider_id=vendor)
    except (LookupError, ValueError):
        return None
    if found.provider.id != vendor:  # it also matches names that only contain a vendor's
        return None
    return _Model(found.model, vendor, f"genai-prices {genai_prices.__version__}")
