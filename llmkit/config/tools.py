"""Tools in the settings: functions of the app's, or their dotted paths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmkit.concurrency.threads import refuse_awaited
from llmkit.config.functions import is_path, value_at
from llmkit.errors import ConfigError, InvalidRequest
from llmkit.tools.tool import Tool, to_tools

_EXAMPLE = "shop.tools.order_status"


def tool(value: object) -> object:
    """Check what a setting names as a tool.

    Raises:
        ValueError: it is none, nor a dotted path.
    """
    if is_path(value):
        return value
    if isinstance(value, str) or not (callable(value) or isinstance(value, Tool)):
        raise ValueError(  # noqa: TRY004  # which pydantic takes
            f'it has to be a function, an llmkit.Tool or the dotted path of one, such as "{_EXAMPLE}"'
        )
    return value


def usable(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Check those that are no dotted paths, which are imported later.

    Raises:
        ValueError: one cannot be used, or two have one name.
    """
    try:
        to_tools([value for value in values if not isinstance(value, str)])
    except InvalidRequest as error:
        raise ValueError(str(error)) from None
    return values


def refuse_async(values: Iterable[Any], setting: str) -> None:
    """Refuse tools that nobody awaits, under a framework of threads alone; a dotted path is not known yet.

    Raises:
        ConfigError: one is async.
    """
    try:
        refuse_awaited(
            (f"the tool {tool.name}", tool.run)
            for tool in to_tools([each for each in values if not isinstance(each, str)])
        )
    except InvalidRequest as error:
        raise ConfigError(f"{setting}: {error.message}", hint=error.hint) from None


def tools_at(values: Iterable[Any], setting: str) -> tuple[Tool, ...]:
    """Return the tools that a setting names.

    Raises:
        ConfigError: a dotted path leads to none, or one cannot be used.
    """
    found = [
        value_at(value, setting, _EXAMPLE) if isinstance(value, str) else value for value in values
    ]
    try:
        return to_tools(found)
    except InvalidRequest as error:
        raise ConfigError(f"{setting}: {error.message}", hint=error.hint) from None
