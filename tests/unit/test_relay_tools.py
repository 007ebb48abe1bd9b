"""Tools of the settings: found at the start, or refused with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from llmkit import ConfigError, Kit, Tool
from llmkit._sync.tool_loop import ToolLoop
from llmkit.config import Config
from llmkit.relay._sync.door import Door
from llmkit.testing import Emulator
from support.browser import SAY_HI
from support.kits import settings


def look(word: str) -> str:
    """Look it up."""
    return word


async def later(word: str) -> str:
    """Look it up."""
    return word


def test_functions_tools_and_dotted_paths() -> None:
    """Each is found once, when the kit is made."""
    with Emulator() as emulator:
        tools = ["support.tools.remember", look, Tool(look, name="look_again")]
        kit = Kit(settings(emulator, relay={"tools": tools}))
        assert [tool.name for tool in kit.runtime.relay_tools] == ["remember", "look", "look_again"]
        kit.close()
        kit = Kit(settings(emulator, relay={"tools": "support.tools.remember"}))
        assert [tool.name for tool in kit.runtime.relay_tools] == ["remember"]
        kit.close()


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        (["a b.c"], "it has to be a function, an llmkit.Tool or the dotted path"),
        (["no.where"], "relay.tools cannot be imported: No module named 'no'"),
        (["support.tools.missing"], "relay.tools cannot be imported"),
        (["support.tools.NO_TOOL"], "relay.tools: a tool is an int, not a function"),
        ([look, look], "relay.tools: two tools have the name look"),
        ([lambda word: word], "relay.tools: a tool cannot have the name"),
    ],
)
def test_what_is_no_tool(tools: list[Any], words: str) -> None:
    """Said when the kit is made, and not when a browser asks; but for dotted paths when the settings are read."""
    with Emulator() as emulator, pytest.raises(ConfigError, match=words):
        given = settings(emulator, relay={"tools": tools})
        if any(map(callable, tools)):
            Config.of(given)
        Kit(given)


class Request:
    """A request as an adapter passes it on."""

    headers = {"content-type": "application/json"}  # noqa: RUF012
    has_get_user = True

    def check_origin(self) -> None:
        """Let it pass."""

    def user(self) -> str:
        """Say who it is."""
        return "7"

    def body(self, limit: int) -> bytes:
        """Say hi."""
        import json

        return json.dumps(SAY_HI).encode()


def test_an_async_tool_needs_an_async_host() -> None:
    """The browser is told that the app is at fault; the log says how to mend it."""
    with Emulator() as emulator:
        kit = Kit(settings(emulator, relay={"tools": [later]}))
        answer: Any = Door(kit).admit(Request(), streaming=True)
        assert answer.status == 503
        assert emulator.requests == []
        with pytest.raises(ValueError, match="the tool later is async"):
            ToolLoop(kit.client, [later])
        kit.close()
