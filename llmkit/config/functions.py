"""Functions of the app's in the settings: themselves, or their dotted paths, which are imported when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any

from llmkit.errors import ConfigError

_SHAPE = 'has to be a function, or its dotted path, such as "shop.llm.redact"'


def function(value: object) -> object:
    """Check what a setting names as a function.

    Raises:
        ValueError: it is none, nor a dotted path; or it is async.
    """
    if isinstance(value, str) and all(map(str.isidentifier, value.split("."))) and "." in value:
        return value
    if not callable(value):
        raise ValueError(f"it {_SHAPE}")  # noqa: TRY004  # which pydantic takes
    if iscoroutinefunction(value):
        raise ValueError("it is called in a thread: it has to be a function that is not async")
    return value


def function_at(value: object, setting: str) -> Callable[..., Any] | None:
    """Return a function that a setting names; None if it names none.

    Raises:
        ConfigError: the dotted path leads to none.
    """
    if value is None:
        return None
    named = value_at(value, setting) if isinstance(value, str) else value
    try:
        found = function(named)
    except ValueError as error:
        raise ConfigError(f"{setting}: {error}", hint=f"It {_SHAPE}.") from None
    if not callable(found):
        raise ConfigError(f"{setting} leads to a text", hint=f"It {_SHAPE}.")
    return found


def value_at(path: str, setting: str) -> Any:
    """Return what a dotted path leads to.

    Raises:
        ConfigError: it leads nowhere.
    """
    module, _, name = path.rpartition(".")
    hint = 'It has to be a dotted path, such as "shop.llm.redact" or "shop.main.LLMKIT".'
    if not module:
        raise ConfigError(f"{setting} cannot be imported: {path!r} names no module", hint=hint)
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{setting} cannot be imported: {error}", hint=hint) from error
    except Exception as error:  # the app's own, whose message may quote what it likes
        raise ConfigError(
            f"{setting} cannot be imported: {module} fails ({type(error).__name__})",
            hint=f'python -c "import {module}" shows why.',
        ) from error
