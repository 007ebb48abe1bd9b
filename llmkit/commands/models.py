"""`models`: what each provider of an app offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from llmkit.commands.base import Command, Given, Option
from llmkit.errors import ConfigError, LLMKitError
from llmkit.policy.known_models import find
from llmkit.policy.offers import in_table
from llmkit.providers.vendors import VENDORS, is_able
from llmkit.usage import Usage

if TYPE_CHECKING:
    from llmkit.policy.pricing import Prices
    from llmkit.providers.listing import Offer

_SHORT, _MILLION = 1000, 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What the providers of an app offer.

    Attributes:
        names: of the providers.
        listed: asks one for its list; None if it has none. Raises LLMKitError, also where it has no key.
        prices: by which calls are priced.
    """

    names: Sequence[str]
    listed: Callable[[str], list[Offer] | None]
    prices: Prices


def _models(catalogue: Catalogue, given: Given) -> str:
    wanted = given["provider"]
    names = [name for name in catalogue.names if wanted in (None, name)]
    if not names:
        raise ConfigError(
            "no provider is configured" if wanted is None else f"{wanted} is not configured",
            hint="Name the app's settings with --settings, or set a vendor's key, such as OPENAI_API_KEY.",
        )
    contains = (given["contains"] or "").lower()
    return "\n\n".join(_section(catalogue, name, contains) for name in names)


def _section(catalogue: Catalogue, name: str, contains: str) -> str:
    problem = None
    try:
        offers = catalogue.listed(name)
    except LLMKitError as error:
        offers, problem = None, error.message
    source = "as it lists them"
    if offers is None:
        offers, source = in_table(name), "of which prices are known"
    offers = sorted(
        (each for each in offers if contains in each.model.lower()), key=lambda each: each.model
    )
    models = "1 model" if len(offers) == 1 else f"{len(offers)} models"
    head = f"{name}: {models} {source}"
    if problem is not None:
        head += f" ({problem})"
    return "\n".join([head, *_lines(catalogue, name, offers)])


def _lines(catalogue: Catalogue, provider: str, offers: Sequence[Offer]) -> list[str]:
    rows = [
        (
            each.model,
            _price(catalogue, provider, each.model),
            _window(provider, each),
            _abilities(provider, each.model),
        )
        for each in offers
    ]
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    return [
        "  "
        + "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]
        ).rstrip()
        for row in rows
    ]


def _price(catalogue: Catalogue, provider: str, model: str) -> str:
    """Write the prices of a million tokens, in and out. Some have several, by the length of the prompt: this is that of a short one."""
    prices = catalogue.prices
    both = (
        prices.cost(provider, model, Usage(input_tokens=put_in, output_tokens=put_out)).cost
        for put_in, put_out in ((_SHORT, 0), (0, _SHORT))
    )
    shown = [_dollars(cost) for cost in both if cost is not None]
    return " / ".join(shown) or "price not known"


def _dollars(cost: Decimal) -> str:
    return f"${(cost * _MILLION / _SHORT).normalize():f}"


def _window(provider: str, offer: Offer) -> str:
    known = find(provider, offer.model)
    window = offer.context_window or (known.context_window if known is not None else None)
    return "" if window is None else f"{window:,} tokens"


def _abilities(provider: str, model: str) -> str:
    """Say what is known of its typed answers; of a provider of the app's own nothing is."""
    if provider not in VENDORS or is_able(provider, model, "json_schema"):
        return ""
    return "types by a tool"


MODELS = Command(
    name="models",
    help="Show what each provider offers: its own list, or else the models of which prices are known, with US dollars per million tokens (in / out) and the context window.",
    run=_models,
    options=(
        Option(name="--provider", metavar="NAME", help="Only models of this provider."),
        Option(name="--contains", metavar="TEXT", help="Only models whose names contain this."),
    ),
)
