"""Calls that are made within the allowance while budgets cannot be asked."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llmkit import BudgetUnavailable
from llmkit.errors import ConfigError
from llmkit.testing import Emulator
from support.kits import make_kit
from support.ledger import locked as locked_file
from support.redis_server import RedisServer
from support.rows import rows
from support.waits import wait_for

redis = pytest.importorskip("redis")

from support.redis_outages import BUDGETS, OUTAGES, calls_again, new_kit, used  # noqa: E402

ALLOWED = {"requests": 2, "tokens": 100_000}


@pytest.mark.parametrize("outage", ["killed", "frozen"])
def test_calls_within_the_allowance_are_made_while_redis_is_away(
    server: RedisServer, emulator: Emulator, tmp_path: Path, outage: str
) -> None:
    """So many, in each outage. They are charged when it is back, though it knew nothing of them."""
    later = [0.0]
    more = {"on_store_error": ALLOWED, "clock": lambda: time.monotonic() + later[0]}
    with closing(new_kit(server, emulator, tmp_path, **more)) as kit:
        made = 0
        for _ in range(2):
            with OUTAGES[outage](server):
                for _ in range(2):
                    kit.client.complete("Say hi", user=7)
                with pytest.raises(BudgetUnavailable):
                    kit.client.complete("Say hi", user=7)
            calls_again(kit)
            made += 3
            wait_for(lambda: used(kit), made)
            # Those of a minute are over before anything is compared: they count once, or not.
            minute = next(left for left in kit.budgets.left(7) if left.per == "minute")
            assert minute.used <= made
            later[0] += 60  # nothing fails for a while
            calls_again(kit)
            made += 1
    assert [row["status"] for row in rows(tmp_path)].count("finished") == made


def test_calls_within_the_allowance_without_a_ledger(
    server: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """Redis has all there is, then: it counts them when it is back."""
    more = {"on_store_error": ALLOWED, "ledger": False}
    with closing(new_kit(server, emulator, tmp_path, **more)) as kit:
        kit.client.complete("Say hi", user=7)
        kit.runtime.flush(30)
        with server.frozen():
            kit.client.complete("Say hi", user=7)
        kit.runtime.flush(30)
        assert [left.used for left in kit.budgets.left(7) if left.unit == "requests"] == [2, 2]


@pytest.mark.parametrize("colour", ["threads", "event loop"])
def test_calls_within_the_allowance_are_made_while_the_database_is_away(
    emulator: Emulator, tmp_path: Path, colour: str
) -> None:
    """Without Redis it is the ledger's database that decides: their rows wait in the outbox, with what they are charged. So many in each outage."""
    pytest.importorskip("sqlalchemy")

    file = tmp_path / "ledger.db"
    ledger = {"database": f"sqlite:///{file}", "outbox": str(tmp_path / "outbox")}
    later = [0.0]
    more = {
        "on_store_error": ALLOWED,
        "budgets": BUDGETS,
        "ledger": ledger,
        "clock": lambda: time.monotonic() + later[0],
    }

    async def ask() -> None:
        await kit.async_client.complete("Say hi", user=7)
        await kit.runtime.connections.aclose()

    def call() -> None:
        if colour == "threads":
            kit.client.complete("Say hi", user=7)
        else:
            asyncio.run(ask())

    def is_made() -> bool:
        try:
            call()
        except BudgetUnavailable:
            return False
        return True

    with closing(make_kit(emulator, **more)) as kit:
        call()
        made = 1
        for _ in range(2):
            with locked_file(str(file)):
                for _ in range(2):
                    call()
                with pytest.raises(BudgetUnavailable):
                    call()
            wait_for(is_made, wanted=True)
            made += 3
            wait_for(lambda: used(kit), made)
            later[0] += 60  # nothing fails for a while
            wait_for(is_made, wanted=True)
            made += 1
    assert [row["status"] for row in rows(tmp_path)].count("finished") == made


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ({}, "set one of usd, tokens, requests"),
        ({"usd": 1}, "on_store_error limits usd, which none of your budgets counts"),
        ({"requests": -1}, "on_store_error.requests: it has to be a whole number"),
        ({"seconds": 1}, "on_store_error.seconds"),
        ("open", "on_store_error"),
    ],
)
def test_an_allowance_that_is_none(emulator: Emulator, allowed: Any, said: str) -> None:
    """It is said what is right."""
    with pytest.raises(ConfigError, match=said):
        make_kit(emulator, budgets=BUDGETS, redis="redis://localhost", on_store_error=allowed)
