"""What can be known at the start to be wrong with an app's settings, or to be missing from them: the first call would fail."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from llmkit.config import EXAMPLE, Config, Place
from llmkit.errors import ConfigError
from llmkit.policy.routes import Routes

log = logging.getLogger("llmkit.config")


def missing(config: Config, routes: Routes) -> Iterator[ConfigError]:
    """Find what the settings do not say yet: a model, a key. A machine that only builds or tests the app may do without."""
    if config.relay.model == "default" and "default" not in config.models:
        yield config.unset or _without_default(config)
        return
    for alias in dict.fromkeys((config.relay.model, *config.relay.models, *config.models)):
        try:
            routes.of(alias)
        except ConfigError as error:
            yield ConfigError(f"{alias!r}: {error.message}", hint=error.hint)


def log_missing(config: Config, routes: Routes) -> None:
    """Warn of what the settings do not say yet."""
    for error in missing(config, routes):
        log.warning("%s", error)


def _without_default(config: Config) -> ConfigError:
    place = config.place or Place("config")
    if not config.models:
        return ConfigError(
            f"{place.name} names no model", hint=f"Name one: {place.set_to(EXAMPLE)}."
        )
    name, other = place.name.removeprefix("settings."), next(iter(config.models))
    return ConfigError(
        f'{place.name} has no model called "default", which is the one that browsers use',
        hint=f'Name one of them "default", or choose another: {name}["relay"] = {{"model": "{other}"}}.',
    )
