# Generated from tests/_async/test_cookies.py. Do not edit.
"""No cookie of a provider is kept: it would go out with the next user's call."""

from __future__ import annotations

import httpx
import pytest

from llmkit import Kit
from llmkit.testing import Behaviour, Emulator
from support.kits import TRANSPORTS, make_kit

SETS = Behaviour(
    tokens=1, delay=0, headers={"set-cookie": "session=of-the-first; Path=/; Domain=127.0.0.1"}
)


def sent(kit: Kit, emulator: Emulator) -> list[str | None]:
    """Call a few times, failing once; return the cookies that were sent."""
    emulator.script(SETS, Behaviour(status=500, headers=SETS.headers), SETS, SETS)
    for _ in range(2):
        kit.client.complete("Say hi")
    with kit.client.stream("Say hi") as stream:
        for _ in stream:
            pass
    kit.close()
    return [request.headers.get("cookie") for request in emulator.requests]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_cookie_is_kept(transport: str) -> None:
    """Neither of an answer nor of an error."""
    with Emulator() as emulator:
        kit = make_kit(emulator, transport=transport)
        assert sent(kit, emulator) == [None] * 4


def test_a_client_of_the_apps_own_sends_none() -> None:
    """Whatever it has kept from other answers."""
    with Emulator() as emulator:
        with httpx.Client(cookies={"other": "1"}) as client:
            kit = make_kit(emulator, http_client=client)
            assert sent(kit, emulator) == [None] * 4


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_cookie_of_the_settings_is_sent(transport: str) -> None:
    """For a gateway that wants one: it is the app's own, and the same for every call."""
    with Emulator() as emulator:
        provider = {
            "base_url": emulator.base_url,
            "api_key": "test-key",
            "headers": {"Cookie": "a=b"},
        }
        kit = make_kit(emulator, transport=transport, providers={"anthropic": provider})
        assert (
            sent(kit, emulator) == ["[redacted]"] * 4
        )  # the emulator shows no cookie, either
