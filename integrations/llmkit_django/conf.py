"""The settings, read when they are first needed and again when a test changes them; and the kit made of them."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed
from django.http import HttpRequest
from django.utils.module_loading import import_string

from llmkit.budget.rules import Rules
from llmkit.cache.host import HostCache
from llmkit.config import Config, Place
from llmkit.config.functions import takes_one
from llmkit.errors import ConfigError
from llmkit.kinds import kind_of
from llmkit.kit import Kit
from llmkit.relay.rules import User
from llmkit.tracebacks import forgetful
from llmkit_django.caching import DjangoBackend
from llmkit_django.connections import closing_connections, in_request_thread
from llmkit_django.signals import tell_receivers
from llmkit_django.transactions import is_testing

Permission = Callable[[HttpRequest], bool | Awaitable[bool]]
GetUser = Callable[[HttpRequest], User | Awaitable[User]]

# What only this adapter reads. Each is a function of the request, or its dotted path; sync or async.
_HOOKS = ("permission", "get_user")
_MEND = "Correct settings.LLMKIT; the README shows all settings."
NOT_INSTALLED = '"llmkit_django" is not in INSTALLED_APPS: add it, then run manage.py migrate'


class Conf:
    """`settings.LLMKIT`, read once per process.

    Attributes:
        config: the settings that are the same in every framework.
        permission: says whether a request may call; None requires only a login.
        get_user: says who calls; None means `request.user`.

    Raises:
        ConfigError: a key is wrong.
    """

    @forgetful
    def __init__(self, given: Mapping[str, Any] | None) -> None:
        hooks = given if isinstance(given, Mapping) else {}
        for key in hooks:
            near = get_close_matches(str(key), _HOOKS, n=1, cutoff=0.8)
            if near and key not in _HOOKS:
                raise ConfigError(f"{key} is not a setting; did you mean {near[0]}?", hint=_MEND)
        others = {key: value for key, value in hooks.items() if key not in _HOOKS}
        self.config = Config.of(others if hooks else given, place=Place("settings.LLMKIT"))
        if self.config.time_zone is None:  # as the rest of the project
            self.config = self.config.model_copy(update={"time_zone": settings.TIME_ZONE})
        if self.config.relay.allowed_origins:
            raise ConfigError(
                "relay.allowed_origins is not a setting in Django",
                hint="Set CSRF_TRUSTED_ORIGINS, as for the project's own forms.",
            )
        self.permission: Permission | None = _hook(hooks, "permission")
        self.get_user: GetUser | None = _hook(hooks, "get_user")
        self._lock = threading.Lock()
        self._kit: Kit | None = None

    @cached_property
    def budgets(self) -> Rules:
        """The budgets of the settings, by which an account is known.

        Raises:
            ConfigError: the path of a limit leads nowhere.
        """
        return Rules(self.config.budgets)

    @property
    def kit(self) -> Kit:
        """The project's kit.

        Raises:
            ConfigError: the settings cannot be used.
        """
        with self._lock:
            if self._kit is None:
                if not apps.is_installed("llmkit_django"):
                    raise ConfigError(NOT_INSTALLED)
                from llmkit_django.ledger import (  # noqa: PLC0415  # needs the app registry
                    is_seen_here_alone,
                    make_ledger,
                )

                config = self.config
                if is_testing() and config.ledger is not False:
                    # Redis rolls nothing back: tests would count into the app's own budgets, and disturb one another.
                    config = config.model_copy(update={"redis": None, "partition": None})
                self._kit = Kit(
                    config,
                    ledger=make_ledger(config),
                    from_async=in_request_thread,
                    on_budget_warning=tell_receivers,
                    within=closing_connections,
                    at_once=is_seen_here_alone,
                    host_cache=HostCache(DjangoBackend(), namespace=config.namespace),
                )
            return self._kit

    def close(self) -> None:
        """Close the kit, if it was made."""
        with self._lock:
            kit, self._kit = self._kit, None
        if kit is not None:
            kit.close()


_lock = threading.Lock()
_current: Conf | None = None


def current() -> Conf:
    """Return what the settings say now.

    Raises:
        ConfigError: a key is wrong.
    """
    global _current  # noqa: PLW0603  # Django's settings are the process's, and so is what is made of them
    with _lock:
        if _current is None:
            _current = Conf(getattr(settings, "LLMKIT", None))
        return _current


def reset(*, setting: str, **_: object) -> None:
    """Forget what was made of settings that a test changes."""
    global _current
    if setting in ("LLMKIT", "DATABASES", "DATABASE_ROUTERS", "TIME_ZONE"):
        with _lock:
            conf, _current = _current, None
        if conf is not None:
            conf.close()


setting_changed.connect(reset, dispatch_uid="llmkit")


def _hook(given: Mapping[str, Any], name: str) -> Any:
    value = given.get(name)
    if isinstance(value, str):
        try:
            value = import_string(value)
        except ImportError as error:
            raise ConfigError(
                f"LLMKIT[{name!r}] cannot be imported: {error}",
                hint="It has to be the dotted path of a function that takes the request.",
            ) from None
    if value is not None and not callable(value):
        raise ConfigError(
            f"LLMKIT[{name!r}] is {kind_of(value)}, not a function",
            hint="It has to be a function that takes the request, or its dotted path.",
        )
    if value is not None:
        takes_one(value, f"LLMKIT[{name!r}]", "the request")
    return value
