"""Which provider and model a name stands for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmkit.config import EXAMPLE
from llmkit.config.errors import meant_model
from llmkit.config.functions import TOKEN, function_at, provider_at
from llmkit.errors import ConfigError
from llmkit.policy.plan import Route
from llmkit.providers.base import Provider
from llmkit.providers.registry import WIRES, wire
from llmkit.providers.vendors import VENDORS, Vendor, WireName, vendor_of, wire_of

if TYPE_CHECKING:
    from llmkit.config import Config, Price


class Routes:
    """Turns aliases and `provider:model` ids into routes. Providers are made when they are first called.

    Args:
        config: the settings.
        providers: providers of the app's own; they win over those of the settings.

    Raises:
        ConfigError: an alias names a provider that nobody knows, or the settings of one do not say how to speak to it.
    """

    def __init__(self, config: Config, providers: Sequence[Provider] = ()) -> None:
        self._config = config
        self._of_alias: dict[str, Sequence[Route]] = {}
        self._providers: dict[str, Provider] = {provider.name: provider for provider in providers}
        # Those of the settings and of the table, by their wires: a vendor may have several.
        self._made: dict[tuple[str, WireName], Provider] = {}
        for name, given in config.providers.items():
            if name not in self._providers and given.provider is None:
                self._wire(name)
        for alias, models in config.models.items():
            for model in models:
                self._check_known(model.partition(":")[0], f"the model {model!r} (models.{alias})")

    def of(self, model: str) -> Sequence[Route]:
        """Return the routes of an alias or of a `provider:model` id, in order of preference.

        Raises:
            ConfigError: it is neither, or its provider has no key.
        """
        routes = self._of_alias.get(model)
        if routes is None:
            ids = self._config.models.get(model)
            if ids is None:
                return (self._route(model),)
            routes = self._of_alias[model] = tuple(self._route(model_id) for model_id in ids)
        return routes

    def names(self) -> list[str]:
        """Name the providers of the settings: those that have a section or a model there, and the app's own."""
        named = [model.partition(":")[0] for ids in self._config.models.values() for model in ids]
        return [*dict.fromkeys([*self._providers, *self._config.providers, *named])]

    def models_of(self, provider: str) -> list[str]:
        """Name the models of a provider that are behind an alias, or have a price of their own."""
        ids = chain(*self._config.models.values(), self._config.prices)
        begins = f"{provider}:"
        return [
            *dict.fromkeys(each.removeprefix(begins) for each in ids if each.startswith(begins))
        ]

    def provider(self, name: str) -> Provider:
        """Return a provider.

        Raises:
            ConfigError: nobody knows it, or it has no key.
        """
        return self._route(f"{name}:any").provider

    def prices(self) -> Mapping[str, Price]:
        """Return the prices of the settings, by `provider` or `provider:model`."""
        prices: dict[str, Price] = {
            name: provider.price
            for name, provider in self._config.providers.items()
            if provider.price is not None
        }
        return {**prices, **self._config.prices}

    def _route(self, model_id: str) -> Route:
        name, colon, model = model_id.partition(":")
        if not (name and colon and model):
            raise ConfigError(
                f"{model_id!r} is neither an alias nor a provider:model id",
                hint=self._meant(model_id),
            )
        own = self._providers.get(name) or self._own(name)
        if own is not None:
            return Route(own, model)
        self._check_known(name, f"the model {model_id!r}")
        spoken = self._wire(name, model)
        made = self._made.get((name, spoken))
        if made is None:
            made = self._made[name, spoken] = self._make(name, spoken)
        return Route(made, model)

    def _own(self, name: str) -> Provider | None:
        """Return the app's own provider that the settings name. It is imported when it is needed."""
        given = self._config.providers.get(name)
        if given is None or given.provider is None:
            return None
        own: Provider = provider_at(given.provider, name)
        self._providers[name] = own
        return own

    def _meant(self, name: str) -> str:
        aliases = sorted(self._config.models)
        near = [*get_close_matches(name, aliases, n=1), meant_model(name)][0]
        meant = "" if near is None else f"Did you mean {near!r}? "
        if aliases:
            return f"{meant}The aliases in models are: {', '.join(aliases)}."
        if unset := self._config.unset:
            return f"{meant}{unset}"
        return f"{meant}There are no aliases yet; define one with {EXAMPLE}."

    def _check_known(self, name: str, where: str) -> None:
        if name in self._providers or name in VENDORS or name in self._config.providers:
            return
        raise ConfigError(
            f"{where} names the unknown provider {name!r}",
            hint=f"{self._meant_provider(name)}Known providers: {', '.join(sorted(VENDORS))}. "
            f"Any other needs providers.{name} with a wire and a base_url.",
        )

    def _meant_provider(self, name: str) -> str:
        known = {*VENDORS, *self._providers, *self._config.providers} - {name}
        near = [*get_close_matches(name, known, n=1), vendor_of(name)][0]
        return "" if near is None else f"Did you mean {near}? "

    def _wire(self, name: str, model: str = "") -> WireName:
        known = VENDORS.get(name)
        given = self._config.providers.get(name)
        spoken = given.wire if given else None
        if spoken is None and known is not None:
            at_home = known.is_at(urlsplit(self._base_url(name) or "").hostname or "")
            spoken = wire_of(known, model) if at_home else known.wire
        if spoken is None:
            raise ConfigError(
                f"{name} is not a known provider, and providers.{name}.wire is not set",
                hint=f"{self._meant_provider(name)}Set the wire of a provider of your own to one of {', '.join(sorted(WIRES))}.",
            )
        return spoken

    def _base_url(self, name: str) -> str | None:
        given = self._config.providers.get(name)
        return (given.base_url if given else None) or _usual_url(VENDORS.get(name))

    def _make(self, name: str, spoken: WireName) -> Provider:
        given = self._config.providers.get(name)
        usual = _usual_url(VENDORS.get(name))
        base_url = self._base_url(name)
        if base_url is None:
            raise ConfigError(
                f"providers.{name}.base_url is not set",
                hint='Set it to the address of the provider, e.g. "http://127.0.0.1:8080/v1".',
            )
        return wire(spoken)(
            name,
            api_key=self._key(name, at_home=base_url.rstrip("/") == (usual or "").rstrip("/")),
            base_url=base_url,
            headers=given.headers if given else {},
            api_version=given.api_version if given else None,
            embed_at_once=given.embed_at_once if given else None,
            token=function_at(given.token, f"providers.{name}.token", TOKEN) if given else None,
        )

    def _key(self, name: str, *, at_home: bool) -> str | None:
        given = self._config.providers.get(name)
        if given is not None and given.token is not None:
            return None
        if given is not None and "api_key" in given.model_fields_set:
            return given.api_key.get_secret_value() if given.api_key is not None else None
        known = VENDORS.get(name)
        # A key from the environment is for its vendor, and is not carried to another address.
        if known is None or known.key_variable is None or not at_home:
            return None
        key = os.environ.get(known.key_variable)
        if not key:
            raise ConfigError(
                f"there is no API key for {name}",
                hint=f"Set the environment variable {known.key_variable}, "
                f"or providers.{name}.api_key.",
            )
        return key


def _usual_url(known: Vendor | None) -> str | None:
    """Return the vendor's address, or the one that its own environment variable names."""
    if known is None:
        return None
    named = os.environ.get(known.url_variable) if known.url_variable else None
    return named or known.base_url
