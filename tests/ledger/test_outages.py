"""A database that goes away while calls are made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from llmkit import Event, LedgerUnavailable, TextDelta
from llmkit.ledger.outbox.ledger import OutboxLedger
from llmkit.testing import Behaviour, Emulator
from support.kits import ASYNC_TRANSPORTS, make_kit
from support.ledger import locked, read
from support.waits import wait_for

HELD = Behaviour(tokens=3, delay=0, hold_at=2)
Outage = Callable[[], contextlib.AbstractContextManager[None]]


@pytest.fixture
def outage(request: pytest.FixtureRequest, database: str) -> Outage:
    """Return what takes the database away for as long as a block lasts: by a lock, or by ending its server."""
    if database.startswith("sqlite:///"):
        return lambda: locked(database.removeprefix("sqlite:///"))
    from support.postgres import stopped  # needs psycopg

    return stopped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where the outbox is."""
    return tmp_path / "outbox"


def words(events: list[Event]) -> int:
    """Count the words of an answer, which come one by one or together."""
    return len("".join(event.text for event in events if isinstance(event, TextDelta)).split())


def test_calls_go_on_while_it_is_away(database: str, outage: Outage, folder: Path) -> None:
    """One that runs and new ones; when it is back each has one row, closed, and nothing is left in the outbox."""
    with Emulator(behaviour=HELD) as emulator:
        kit = make_kit(emulator, ledger={"database": database, "outbox": str(folder)})
        with kit.client.stream("Say hi") as stream:
            first = stream.read()
            with outage():
                emulator.behaviour = Behaviour(tokens=1)
                assert [kit.client.complete("Say hi").text for _ in range(5)]
                emulator.release(None)
                assert words([*(first or []), *stream]) == 3
                assert list(folder.iterdir())
        wait_for(lambda: list(folder.iterdir()), [])
        kit.client.complete("Say hi")
        kit.close()
        assert len(emulator.requests) == 7
    rows = read(database)
    assert sorted(row["output_tokens"] for row in rows) == [*[1] * 6, 3]
    assert {row["status"] for row in rows} == {"finished"}
    assert len({row["call_id"] for row in rows}) == len(rows)


def test_where_calls_are_refused_meanwhile(database: str, outage: Outage, folder: Path) -> None:
    """The answer arrives in full, new calls are refused unsent, and the rows are right when it is back."""
    with Emulator(behaviour=HELD) as emulator:
        ledger = {"database": database, "outbox": str(folder), "on_store_error": "refuse"}
        kit = make_kit(emulator, ledger=ledger)
        with kit.client.stream("Say hi") as stream:
            first = stream.read()
            with outage():
                emulator.release(None)
                events = [*(first or []), *stream]
                assert stream.response.stop_reason == "end"
                assert words(events) == 3
                with pytest.raises(LedgerUnavailable):
                    kit.client.complete("Say hi")
        assert len(emulator.requests) == 1
        emulator.behaviour = Behaviour(tokens=1)
        books = kit.ledger
        assert isinstance(books, OutboxLedger)
        wait_for(lambda: books._keepers.here.away, None)
        kit.client.complete("Say hi")
        kit.close()
    finished = [row for row in read(database) if row["status"] == "finished"]
    assert [row["output_tokens"] for row in finished] == [3, 1]
    # A lock is waited for, so the refused call may have its row, which says so.
    assert all(row["status"] in ("finished", "refused") for row in read(database))


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_an_async_answer_does_not_wait_for_it(
    database: str, outage: Outage, transport: str
) -> None:
    """A stream that is left while the database is away is cancelled all the same, and its row is closed later."""
    with Emulator(behaviour=HELD) as emulator:
        kit = make_kit(emulator, transport=transport, ledger={"database": database})
        async with kit.async_client.stream("Say hi") as stream:
            await stream.read()
            with outage():
                await stream.aclose()
                emulator.wait_until_gone(0)
        await kit.aclose()
    (row,) = read(database)
    assert (row["status"], row["output_source"]) == ("cancelled", "estimated")
