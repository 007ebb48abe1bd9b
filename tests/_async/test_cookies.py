"""No cookie of a provider is kept: it would go out with the next user's call."""

from __future__ import annotations

import httpx
import pytest

from llmkit import Kit
from llmkit.testing import Behaviour, Emulator
from support.kits import ASYNC_TRANSPORTS, make_kit

SETS = Behaviour(
    tokens=1, delay=0, headers={"set-cookie": "session=of-the-first; Path=/; Domain=127.0.0.1"}
)


async def sent(kit: Kit, emulator: Emulator) -> list[str | None]:
    """Call a few times, failing once; return the cookies that were sent."""
    emulator.script(SETS, Behaviour(status=500, headers=SETS.headers), SETS, SETS)
    for _ in range(2):
        await kit.async_client.complete("Say hi")
    async with kit.async_client.stream("Say hi") as stream:
        async for _ in stream:
            pass
    await kit.aclose()
    return [request.headers.get("cookie") for request in emulator.requests]


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_no_cookie_is_kept(transport: str) -> None:
    """Neither of an answer nor of an error."""
    with Emulator() as emulator:
        kit = make_kit(emulator, transport=transport)
        assert await sent(kit, emulator) == [None] * 4


@pytest.mark.anyio
async def test_a_client_of_the_apps_own_sends_none() -> None:
    """Whatever it has kept from other answers."""
    with Emulator() as emulator:
        async with httpx.AsyncClient(cookies={"other": "1"}) as client:
            kit = make_kit(emulator, async_http_client=client)
            assert await sent(kit, emulator) == [None] * 4


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_a_cookie_of_the_settings_is_sent(transport: str) -> None:
    """For a gateway that wants one: it is the app's own, and the same for every call."""
    with Emulator() as emulator:
        provider = {
            "base_url": emulator.base_url,
            "api_key": "test-key",
            "headers": {"Cookie": "a=b"},
        }
        kit = make_kit(emulator, transport=transport, providers={"anthropic": provider})
        assert (
            await sent(kit, emulator) == ["[redacted]"] * 4
        )  # the emulator shows no cookie, either
