"""Tools in the settings: functions of the app's, or their dotted paths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmkit.config.functions import value_at
from llmkit.errors import ConfigError, InvalidRequest
from llmkit.tools.tool import Tool, to_tools

_EXAMPLE = "shop.tools.order_status"


def tool(value: object) -> object:
    """Check what a setting names as a tool.

    Raises:
        ValueError: it is none, nor a dotted path.
    """
    if isinstance(value, str) and all(map(str.isidentifier, value.split("."))) and "." in value:
        return value
    if isinstance(value, str) or not (callable(value) or isinstance(value, Tool)):
        raise ValueError(  # noqa: TRY004  # which pydantic takes
            f'it has to be a function, an llmkit.Tool or the dotted path of one, such as "{_EXAMPLE}"'
        )
    return value


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
