"""The ledger on the host's own connection."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from llmkit import ConfigError, Kit
from llmkit.errors import LedgerUnavailable
from llmkit.ledger import usage
from llmkit.ledger.host import HostLedger
from llmkit.ledger.sql import EngineStore
from llmkit.ledger.worker import WorkerName
from llmkit.relay.pull import PullRelay
from llmkit.testing import Behaviour, Emulator
from support.kits import settings
from support.ledger import closing, opening


def make_ledger(engine: Engine) -> HostLedger:
    """Make a ledger over an engine."""
    return HostLedger(EngineStore(engine, worker=WorkerName()), from_async=asyncio.to_thread)


def statuses(engine: Engine) -> list[str]:
    """Return the statuses of all rows, as this thread sees them."""
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(usage.c.status).order_by(usage.c.id)))


@pytest.fixture
def memory() -> Iterator[Engine]:
    """Make a database of this thread alone: SQLAlchemy gives every thread one of its own."""
    engine = sa.create_engine("sqlite://")
    yield engine
    engine.dispose()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Engine]:
    """Make a database in a file, for which others are waited for a moment only."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/a.db", connect_args={"timeout": 0.05})
    yield engine
    engine.dispose()


def test_rows_are_written_in_the_hosts_thread(memory: Engine) -> None:
    """The relay's reader makes the call, and the thread that iterates writes its rows."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0)) as emulator:
        kit = Kit(settings(emulator), ledger=make_ledger(memory))
        relay = PullRelay(kit.client.stream("Say hi"), heartbeat=15).open()
        assert statuses(memory) == ["started"]
        assert b"[DONE]" in b"".join(relay)
        assert statuses(memory) == ["finished"]
        kit.close()


def test_a_closed_tab_is_written_by_who_closes(memory: Engine) -> None:
    """Closing the body closes the row, before it returns."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0, hold_at=2)) as emulator:
        kit = Kit(settings(emulator), ledger=make_ledger(memory))
        relay = PullRelay(kit.client.stream("Say hi"), heartbeat=15).open()
        next(relay)
        relay.close()
        assert statuses(memory) == ["cancelled"]
        kit.close()


def test_a_body_that_is_dropped_leaves_its_row_to_the_next(memory: Engine) -> None:
    """Nobody is there to write it, and no thread waits for somebody: the next write takes it along."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0)) as emulator:
        emulator.script(Behaviour(tokens=5, delay=0, hold_at=2))
        kit = Kit(settings(emulator), ledger=make_ledger(memory))
        relay = PullRelay(kit.client.stream("Say hi"), heartbeat=15).open()
        next(relay)
        reader = relay._thread
        del relay
        reader.join(10)
        assert not reader.is_alive()
        kit.client.complete("Say hi")
        assert statuses(memory) == ["cancelled", "finished"]
        kit.close()


def test_a_call_that_fails(memory: Engine) -> None:
    """A failure before the first content has its row too."""
    with Emulator(behaviour=Behaviour(status=500)) as emulator:
        kit = Kit(settings(emulator, retry={"attempts": 1}), ledger=make_ledger(memory))
        assert PullRelay(kit.client.stream("Say hi"), heartbeat=15).open().status == 502
        assert statuses(memory) == ["failed"]
        kit.close()


async def _complete(kit: Kit) -> None:
    async with kit.async_client.stream("Say hi") as stream:
        async for _ in stream.text():
            pass
    await kit.aclose()


def test_async_calls_write_where_the_host_says(file: Engine) -> None:
    """The host says in which thread its async code uses the connection."""
    threads = []

    async def from_async(work: Any) -> None:
        threads.append(threading.current_thread())
        await asyncio.to_thread(work)

    ledger = HostLedger(EngineStore(file, worker=WorkerName()), from_async=from_async)
    with Emulator(behaviour=Behaviour(tokens=5, delay=0)) as emulator:
        asyncio.run(_complete(Kit(settings(emulator), ledger=ledger)))
    assert statuses(file) == ["finished"]
    assert len(threads) == 2


def test_a_closing_waits_for_a_store_that_is_down(file: Engine, tmp_path: Path) -> None:
    """While somebody holds the database the closing is kept, and the next write takes it along."""
    ledger = make_ledger(file)
    ledger.begin(opening())
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerUnavailable):
        ledger.finish(closing())
    with pytest.raises(LedgerUnavailable):
        ledger.begin(opening("call-2"))
    other.execute("ROLLBACK")
    ledger.begin(opening("call-3"))
    assert statuses(file) == ["finished", "started"]
    other.close()


def test_a_closing_at_fault_takes_no_other_row_along(memory: Engine) -> None:
    """A closing that the database refuses for itself is given up, and the row after it is written."""
    ledger = make_ledger(memory)
    ledger.begin(opening())
    ledger.finish_soon(closing(finished_at=closing().finished_at.replace(tzinfo=None)))
    ledger.begin(opening("call-2"))
    assert statuses(memory) == ["started", "started"]


def test_what_waits_is_written_at_the_end(memory: Engine) -> None:
    """A closing that came from a destructor is written when the ledger closes, if nothing was before."""
    ledger = make_ledger(memory)
    ledger.begin(opening())
    ledger.finish_soon(closing())
    assert statuses(memory) == ["started"]
    ledger.close()
    assert statuses(memory) == ["finished"]


def test_a_table_that_another_makes_meanwhile(file: Engine) -> None:
    """Whoever comes second to make it writes its row all the same."""
    ledger, other = make_ledger(file), sa.create_engine(file.url)

    def make(target: Any, connection: Any, **_: Any) -> None:
        if connection.engine is file:
            usage.create(other)

    sa.event.listen(usage, "before_create", make)
    ledger.begin(opening())
    sa.event.remove(usage, "before_create", make)
    other.dispose()
    assert statuses(file) == ["started"]


def test_a_database_that_is_not_supported() -> None:
    """Another kind of database is a clear error."""
    engine = sa.create_mock_engine("mysql://", executor=print)
    with pytest.raises(ConfigError, match="mysql"):
        EngineStore(engine, worker=WorkerName())  # type: ignore[arg-type]


def test_without_a_host_there_is_no_connection_of_the_hosts(tmp_path: Path) -> None:
    """The setting needs an adapter that has a connection to give."""
    with pytest.raises(ConfigError, match="no app to take the connection from"):
        Kit({"ledger": {"database": f"sqlite:///{tmp_path}/a.db", "connection": "host"}})


@pytest.mark.anyio
async def test_a_row_that_nobody_waits_for_any_more(file: Engine) -> None:
    """Its call was cancelled while the thread wrote it: the row is closed, for the call was not made."""
    go_on = threading.Event()
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slowly(work: Any) -> None:
        loop.call_soon(began.set)
        await asyncio.to_thread(lambda: (go_on.wait(10), work()))

    ledger = HostLedger(EngineStore(file, worker=WorkerName()), from_async=slowly)
    task = asyncio.create_task(ledger.abegin(opening("left")))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    async with asyncio.timeout(10):
        while not ledger._waiting:
            await asyncio.sleep(0)
    assert statuses(file) == ["started"]
    await ledger.arecord(opening("next"), closing("next"))
    assert statuses(file) == ["cancelled", "finished"]


def test_what_waits_outlives_an_error_of_any_kind(file: Engine) -> None:
    """A closing that waits for the next write is not lost with whatever that fails of."""

    class Fails(EngineStore):
        fails = False

        def write(self, openings: Any, closings: Any) -> Any:
            if self.fails:
                raise MemoryError
            return super().write(openings, closings)

    store = Fails(file, worker=WorkerName())
    ledger = HostLedger(store, from_async=asyncio.to_thread)
    ledger.begin(opening("one"))
    ledger.finish_soon(closing("one"))
    store.fails = True
    with pytest.raises(MemoryError):
        ledger.begin(opening("two"))
    store.fails = False
    ledger.begin(opening("three"))
    assert statuses(file) == ["finished", "started"]


@pytest.mark.parametrize("fault", ["row", "table"])
def test_no_error_shows_a_row(fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whose values the host's engine, unlike ours, would put into its message."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'host.db'}")
    store = EngineStore(engine, worker=WorkerName())
    store.write([opening()], [])
    with engine.begin() as connection:
        if fault == "table":
            connection.exec_driver_sql("ALTER TABLE llmkit_usage RENAME TO gone")
        else:
            connection.exec_driver_sql(
                "CREATE TRIGGER no BEFORE UPDATE ON llmkit_usage BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
    end = closing(content={"messages": [{"role": "user", "content": "canary-prompt"}]})
    with pytest.raises(LedgerUnavailable) as raised:
        store.write([], [end])
    assert "canary" not in "".join(traceback.format_exception(raised.value))
    ledger = HostLedger(store, from_async=asyncio.to_thread)
    with pytest.raises(LedgerUnavailable):
        ledger.finish(end)
    assert "canary" not in caplog.text
    engine.dispose()
