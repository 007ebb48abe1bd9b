"""`models`: what each provider of an app offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING

from llmkit.commands.base import Command, Given, Option
from llmkit.errors import ConfigError, LLMKitError
from llmkit.policy.known_models import find
from llmkit.policy.offers import in_table
from llmkit.providers.listing import Offer
from llmkit.providers.vendors import VENDORS, is_able
from llmkit.usage import Usage

if TYPE_CHECKING:
    from llmkit.policy.pricing import Prices

_SHORT, _MILLION = 1000, 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What the providers of an app offer.

    Attributes:
        names: of the providers.
        listed: asks one for its list; None if it has none. Raises LLMKitError, also where it has no key.
        named: the models of one that the settings name.
        prices: by which calls are priced.
        has_settings: whether they are those of an app; else the vendors of whom there is a key.
    """

    names: Sequence[str]
    listed: Callable[[str], list[Offer] | None]
    named: Callable[[str], Sequence[str]]
    prices: Prices
    has_settings: bool = True


def _models(catalogue: Catalogue, given: Given) -> str:
    wanted = given["provider"]
    names = [name for name in catalogue.names if wanted in (None, name)]
    if not names:
        raise ConfigError(
            "no provider is configured" if wanted is None else f"{wanted} is not configured",
            hint=_advice(catalogue, wanted),
        )
    contains = (given["contains"] or "").lower()
    return "\n\n".join(_section(catalogue, name, contains) for name in names)


def _advice(catalogue: Catalogue, wanted: str | None) -> str:
    """Say which provider may be meant, and how there is one more, in the words of the command line that asks."""
    name = wanted or "anthropic"
    near = get_close_matches(name, catalogue.names, n=1)
    if name not in VENDORS:
        near = near or get_close_matches(name, VENDORS, n=1, cutoff=0.7)
    said = f"Did you mean {near[0]}? " if near else ""
    if catalogue.names:
        said += f"Configured: {', '.join(catalogue.names)}. "
    if name not in VENDORS and near:
        name = near[0]
    if name in catalogue.names:
        return said.rstrip()
    vendor = VENDORS.get(name)
    key = None if vendor is None else vendor.key_variable
    if not catalogue.has_settings:
        return said + (
            f"Set {key}, or name the app's settings with --settings."
            if key
            else f"Name the settings of an app that has {name} with --settings."
        )
    section = "{}" if vendor is not None else '{"wire": "openai", "base_url": "https://..."}'
    added = f'Add "{name}": {section} to providers in the settings'
    return f"{said}{added}, and set {key}." if key else f"{said}{added}."


def _section(catalogue: Catalogue, name: str, contains: str) -> str:
    problem = None
    try:
        offers = catalogue.listed(name)
    except LLMKitError as error:
        offers, problem = None, str(error)
    source = "as it lists them"
    if offers is None:
        problem = problem or "it has none that llmkit could ask for."
        offers, source = in_table(name), "of which prices are known"
    if not offers and problem is not None:
        offers = [Offer(model=each) for each in catalogue.named(name)]
        source = "that the settings name"
    offers = sorted(
        (each for each in offers if contains in each.model.lower()), key=lambda each: each.model
    )
    models = "1 model" if len(offers) == 1 else f"{len(offers)} models"
    head = [f"{name}: {models} {source}"]
    if problem is not None:
        head.append(f"  No list of its own: {problem}")
    return "\n".join([*head, *_lines(catalogue, name, offers)])


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
