"""Functions and providers of the app's in the settings: themselves, or their dotted paths, which are imported when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from llmkit.concurrency.jobs import can_take, is_async
from llmkit.errors import ConfigError
from llmkit.kinds import kind_of


@dataclass(frozen=True, slots=True)
class Shape:
    """What a function of the app's looks like.

    Attributes:
        takes: its one argument; None if it takes none.
        example: a dotted path.
    """

    takes: str | None
    example: str

    def __str__(self) -> str:
        return f'has to be a function, or its dotted path, such as "{self.example}"'


LIMIT = Shape("the llmkit.Caller", "billing.plan_limit")
WARNING = Shape("the llmkit.BudgetWarning", "billing.mail_us")
TOKEN = Shape(None, "shop.google.token")
REDACT = Shape("the content as a dict", "shop.llm.redact")


def is_path(value: object) -> bool:
    """Whether a setting is a dotted path."""
    if not isinstance(value, str):
        return False
    return "." in value and all(map(str.isidentifier, value.split(".")))


def function(value: object, shape: Shape) -> object:
    """Check what a setting names as a function; None names none.

    Raises:
        ValueError: it is none, nor a dotted path; or it is async.
    """
    if value is None:
        return None
    if is_path(value):
        return value
    if not callable(value):
        raise ValueError(f"it {shape}")  # noqa: TRY004  # which pydantic takes
    if is_async(value):
        raise ValueError("it is called in a thread: it has to be a function that is not async")
    return value


def own_provider(value: object) -> object:
    """Check what a setting names as a provider of the app's own; None names none.

    Raises:
        ValueError: it is none, nor a dotted path.
    """
    if value is None or hasattr(value, "build_request"):
        return value
    if is_path(value):
        return value
    raise ValueError(f"it {_OWN}")


_OWN = 'has to be a provider, such as a llmkit.FunctionProvider, or its dotted path, such as "shop.llm.local"'


def provider_at(value: object, name: str) -> Any:
    """Return the provider of the app's own that `providers.<name>.provider` names.

    Raises:
        ConfigError: the dotted path leads to none, or the provider has another name.
    """
    setting = f"providers.{name}.provider"
    found: Any = value_at(value, setting, "shop.llm.local") if isinstance(value, str) else value
    if not hasattr(found, "build_request"):
        raise ConfigError(f"{setting}: {value} is {kind_of(found)}", hint=f"It {_OWN}.")
    if found.name != name:
        raise ConfigError(
            f"{setting}: the provider calls itself {found.name!r}",
            hint="Give it the name that it has in the settings, for it stands in the ledger, too.",
        )
    return found


def function_at(value: object, setting: str, shape: Shape) -> Callable[..., Any] | None:
    """Return a function that a setting names; None if it names none.

    Raises:
        ConfigError: the dotted path leads to none, or it does not take what it is called with.
    """
    if value is None:
        return None
    found: Any = value_at(value, setting, shape.example) if isinstance(value, str) else value
    if not callable(found):
        leads = f"{value} is" if isinstance(value, str) else "it is"
        raise ConfigError(
            f"{setting}: {leads} {kind_of(found)}, not a function", hint=f"It {shape}."
        )
    try:
        function(found, shape)
    except ValueError as error:
        raise ConfigError(f"{setting}: {error}", hint="Write it with def, not async def.") from None
    called: Callable[..., Any] = found
    if shape.takes is not None:
        takes_one(called, setting, shape.takes)
    elif not can_take(called, 0):
        raise ConfigError(
            f"{setting}: {_name(called)} has to take no arguments", hint="It is called without any."
        )
    return called


def check_get_user(value: object, what: str) -> None:
    """See that an adapter's `get_user` can be called with what it takes.

    Raises:
        ConfigError: it cannot.
    """
    if not callable(value):
        raise ConfigError(
            f"get_user is {kind_of(value)}, not a function",
            hint=f"It has to be a function that takes {what}.",
        )
    takes_one(value, "get_user", what)


def takes_one(function: Callable[..., Any], setting: str, what: str) -> None:
    """See that a function can be called with one argument. One whose signature cannot be read is taken as it is.

    Raises:
        ConfigError: it cannot.
    """
    if not can_take(function, 1):
        raise ConfigError(
            f"{setting}: {_name(function)} has to take one argument, {what}",
            hint="It is called with that alone.",
        )


def _name(function: Callable[..., Any]) -> str:
    """Return the name by which an app knows a function."""
    function = getattr(function, "func", function)  # of a partial
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def value_at(path: str, setting: str, example: str = "shop.main.LLMKIT") -> Any:
    """Return what a dotted path leads to.

    Raises:
        ConfigError: it leads nowhere.
    """
    module, _, name = path.rpartition(".")
    hint = f'It has to be a dotted path, such as "{example}".'
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
