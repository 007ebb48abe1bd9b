"""What an attempt holds: a lease of one's own, and that all are let go of, once, whatever becomes of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmkit import LLMKitError
from llmkit._async.attempt import AsyncAttempt
from llmkit._async.leases import AsyncLease, AsyncLeases
from llmkit.ledger.record import Ending
from llmkit.testing import Behaviour, Emulator
from support.kits import ASYNC_TRANSPORTS, make_kit
from support.ledger import closing
from support.rows import database

FINISHED = Ending("finished", lambda: closing("one"))
CANCELLED = Ending("cancelled", lambda: closing("one", status="cancelled"))


class Hold(AsyncLease):
    """Holds an amount of a budget, and charges what the answer cost."""

    def __init__(self, budget: list[str], name: str, *, waits: bool = False) -> None:
        self._budget = budget
        self._name = name
        self._waits = waits

    async def acquire(self) -> None:
        """Hold it."""
        self._budget.append(f"hold {self._name}")

    async def settle(self, ending: Ending) -> None:
        """Charge the cost."""
        self._budget.append(f"charge {self._name} {ending.closing.cost}")

    def try_release(self) -> bool:
        """Give the rest back, if that needs no wait."""
        if not self._waits:
            self._budget.append(f"free {self._name}")
        return not self._waits

    async def release(self, ending: Ending) -> None:
        """Give the rest back."""
        self._budget.append(f"free {self._name} ({ending.status})")

    def abandon(self, ending: Ending) -> None:
        """Do both without waiting."""
        self._budget.append(f"drop {self._name} ({ending.status})")


class Broken(Hold):
    """Fails whenever it is asked to let go."""

    async def settle(self, ending: Ending) -> None:
        """Fail."""
        raise OSError("the budget is away")

    async def release(self, ending: Ending) -> None:
        """Fail."""
        raise OSError("the budget is still away")

    def abandon(self, ending: Ending) -> None:
        """Fail."""
        raise OSError("the budget is away for good")


async def held(budget: list[str], *leases: AsyncLease) -> AsyncLeases:
    """Acquire them, and forget that."""
    all_of_them = AsyncLeases()
    for lease in leases:
        await all_of_them.acquire(lease)
    budget.clear()
    return all_of_them


@pytest.mark.anyio
async def test_the_last_is_let_go_of_first() -> None:
    """All are settled before the first is released, and nothing twice."""
    budget: list[str] = []
    leases = await held(budget, Hold(budget, "a"), Hold(budget, "b"))
    await leases.aclose(FINISHED)
    end = ["charge b 0.000600000", "charge a 0.000600000", "free b (finished)", "free a (finished)"]
    assert budget == end
    await leases.aclose(CANCELLED)
    leases.abandon(CANCELLED)
    assert leases.try_release()
    assert budget == end


@pytest.mark.anyio
async def test_the_first_ending_counts() -> None:
    """An attempt that was settled when it finished is only released afterwards."""
    budget: list[str] = []
    leases = await held(budget, Hold(budget, "a", waits=True))
    await leases.settle(FINISHED)
    assert not leases.try_release()
    await leases.aclose(CANCELLED)
    assert budget == ["charge a 0.000600000", "free a (cancelled)"]


@pytest.mark.anyio
async def test_what_needs_no_wait_is_released_down_to_what_does() -> None:
    """What was acquired before that stays until it can be waited for."""
    budget: list[str] = []
    leases = await held(budget, Hold(budget, "a"), Hold(budget, "b", waits=True), Hold(budget, "c"))
    assert not leases.try_release()
    assert budget == []
    await leases.settle(FINISHED)
    assert not leases.try_release()
    assert budget[3:] == ["free c"]
    await leases.aclose(FINISHED)
    assert budget[4:] == ["free b (finished)", "free a (finished)"]


@pytest.mark.anyio
async def test_one_that_fails_keeps_no_other_from_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged: the answer is there, and is not lost because of it."""
    budget: list[str] = []
    leases = await held(budget, Hold(budget, "a"), Broken(budget, "x"), Hold(budget, "b"))
    await leases.aclose(FINISHED)
    assert caplog.text.count("could not let go of all that it held") == 2
    assert budget == [
        "charge b 0.000600000",
        "charge a 0.000600000",
        "free b (finished)",
        "free a (finished)",
    ]


@pytest.mark.anyio
async def test_dropping_keeps_no_other_from_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is there to be told, so it is logged."""
    budget: list[str] = []
    leases = await held(budget, Hold(budget, "a"), Broken(budget, "x"), Hold(budget, "b"))
    leases.abandon(CANCELLED)
    assert budget == ["drop b (cancelled)", "drop a (cancelled)"]
    assert "could not let go of all that it held" in caplog.text


@pytest.mark.anyio
async def test_what_could_not_be_acquired_is_not_held() -> None:
    """It gave back what it had taken; the others are let go of as ever."""

    class Refuses(Hold):
        async def acquire(self) -> None:
            raise OSError("the budget is spent")

    budget: list[str] = []
    leases = await held(budget, Hold(budget, "a"))
    with pytest.raises(OSError, match="spent"):
        await leases.acquire(Refuses(budget, "b"))
    leases.abandon(CANCELLED)
    assert budget == ["drop a (cancelled)"]


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every attempt hold one more lease, acquired before its request goes out."""
    said: list[str] = []
    send = AsyncAttempt._send

    async def holding(self: AsyncAttempt) -> None:
        await self._leases.acquire(Hold(said, "a"))
        await send(self)

    monkeypatch.setattr(AsyncAttempt, "_send", holding)
    return said


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
@pytest.mark.parametrize("recorded", [True, False])
async def test_every_attempt_settles_and_releases(
    transport: str, recorded: bool, budget: list[str], tmp_path: Path
) -> None:
    """Once each, with or without a ledger, however the answer ended."""
    ledger = {"database": database(tmp_path)} if recorded else False
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        kit = make_kit(emulator, transport=transport, ledger=ledger, retry={"attempts": 1})
        ends = []
        await kit.async_client.complete("Say hi")
        ends.append(budget.copy())
        budget.clear()
        async with kit.async_client.stream("Say hi") as stream:
            async for _ in stream:
                pass
        ends.append(budget.copy())
        budget.clear()
        emulator.script(Behaviour(tokens=3, delay=0, hold_at=2))
        async with kit.async_client.stream("Say hi") as stream:
            await stream.read()
        ends.append(budget.copy())
        budget.clear()
        emulator.script(Behaviour(status=500))
        with pytest.raises(LLMKitError):
            await kit.async_client.complete("Say hi")
        ends.append(budget.copy())
        await kit.aclose()
    words = [[line.split()[0] for line in end] for end in ends]
    assert words == [["hold", "charge", "free"]] * 4
    assert "(cancelled)" in ends[2][2]
