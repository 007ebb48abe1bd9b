"""The models that genai-prices carries prices and context windows of, without ever asking the network."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from llmkit.policy.rates import Rates, vendor_rates
from llmkit.providers.vendors import VENDORS, Vendor
from llmkit.usage import Billing

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

# What words mean the usual price: whoever asked for nothing gets these. Vertex AI writes its own in capitals; what Gemini calls
# unspecified is its standard (google-genai, `ServiceTier`).
_USUAL = {
    "service_tier": ("default", "standard", "auto", "on_demand", "unspecified"),
    "speed": ("standard",),
    "region": ("global", "not_available"),
}


_ONE = Decimal(1)


class KnownModel:
    """A model that genai-prices knows, of one vendor."""

    __slots__ = ("_info", "_last", "_vendor", "version")

    def __init__(self, info: ModelInfo, vendor: Vendor | None, version: str) -> None:
        self._info = info
        self._vendor = vendor
        self._last: tuple[ModelPrice, Decimal, Rates] | None = None
        self.version = version

    @property
    def context_window(self) -> int | None:
        """How many tokens the model reads and writes at most, together; None if nobody says."""
        return self._info.context_window

    def rates(self, at: datetime, billing: Billing) -> Rates | None:
        """Return the prices of that moment; None where nobody knows what a word of the provider's does to them."""
        factor = self._factor(billing.region)
        context = {
            name: word.lower()
            for name, word in (("service_tier", billing.service_tier), ("speed", billing.speed))
            if word is not None and not self._is_usual(name, word.lower())
        }
        if factor is None or not all(self._prices_word(at, context, name) for name in context):
            return None
        price = self._info.get_prices(at, context) if context else self._info.get_prices(at)
        last = self._last
        # A tier's prices are put together anew each time.
        is_last = last is not None and (last[0] is price or last[0] == price) and last[1] == factor
        if last is None or not is_last:
            last = self._last = (price, factor, vendor_rates(price, factor))
        return last[2]

    def _is_usual(self, name: str, word: str) -> bool:
        return word in _USUAL[name] or (
            self._vendor is not None and (name, word) in self._vendor.usual_words
        )

    def _factor(self, region: str | None) -> Decimal | None:
        if region is None or self._is_usual("region", region.lower()):
            return _ONE
        factors = dict(self._vendor.region_factors) if self._vendor is not None else {}
        return factors.get(region.lower())

    def _prices_word(self, at: datetime, context: Mapping[str, str], name: str) -> bool:
        return any(
            name in variant.when
            and variant.when.items() <= context.items()
            and (variant.constraint is None or variant.constraint.active(at))
            for variant in self._info.price_variants or ()
        )


def price_id_of(provider: str) -> str:
    """Return what genai-prices calls a provider."""
    vendor = VENDORS.get(provider)
    return (vendor.price_id if vendor is not None else None) or provider


def find(provider: str, model: str) -> KnownModel | None:
    """Find a model of the vendor with exactly this name; None if there is none."""
    import genai_prices  # noqa: PLC0415  # slow to load

    vendor = VENDORS.get(provider)
    price_id = price_id_of(provider)
    name = model.removeprefix("models/")  # as Google's list has it
    try:
        found = genai_prices.calc_price(genai_prices.Usage(), name, provider_id=price_id)
    except (LookupError, ValueError):
        return None
    if found.provider.id != price_id:  # it also matches names that only contain a vendor's
        return None
    return KnownModel(found.model, vendor, f"genai-prices {genai_prices.__version__}")
