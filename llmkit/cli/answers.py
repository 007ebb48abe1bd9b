"""`llmkit cache clear`: the answers that an app keeps."""

from __future__ import annotations

import click

from llmkit.cache.made import store_of
from llmkit.cache.response_cache import ResponseCache
from llmkit.cli.settings import SETTINGS, settings_at
from llmkit.commands.answers import COMMANDS
from llmkit.commands.clicked import click_command
from llmkit.config import Config
from llmkit.errors import ConfigError
from llmkit.redis.opened import room_of


def _cache(settings: str | None) -> ResponseCache:
    if settings is None:
        raise ConfigError(
            "it is not known where answers are kept",
            hint="Name the app's settings with --settings, such as shop.main.LLMKIT.",
        )
    config = Config.of(settings_at(settings))
    if config.cache is None:
        raise ConfigError(f"{settings} has no cache", hint='Add "cache": {} to it.')
    if config.cache.store == "host":
        raise ConfigError(
            "answers are kept in the cache of the app's framework",
            hint="Use manage.py llmkit_cache clear, or flask llmkit cache clear.",
        )
    store = store_of(config.cache, config.namespace, room_of(config), None)
    return ResponseCache(store, ttl=config.cache.ttl, scope=config.cache.scope)


cache = click.Group("cache", help="Answers that are kept, to be given again.")
for command in COMMANDS:
    cache.add_command(click_command(command, _cache, [SETTINGS]))
