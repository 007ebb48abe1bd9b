"""The ledger with an outbox: what becomes of rows while their store is away, and when it is back."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llmkit import Kit
from llmkit.errors import LedgerUnavailable
from llmkit.ledger.outbox import ledger as module
from llmkit.ledger.outbox import open as opening_module
from llmkit.ledger.outbox.keeper import Keeper
from llmkit.ledger.outbox.ledger import OutboxLedger
from llmkit.ledger.outbox.open import doubts
from llmkit.ledger.outbox.records import decode, encode
from llmkit.ledger.outbox.store import Outbox
from llmkit.ledger.row import Closing, Opening, Refusals, RowRejected
from support.forks import needs_fork
from support.ledger import closing, opening
from support.memory_store import Down, MemoryStore
from support.waits import wait_for


class Books:
    """A ledger over stores in memory, with an outbox on the disk."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.down = Down()
        self.store, self.spare = MemoryStore(self.down), MemoryStore(self.down)
        self.folder = folder
        options.setdefault("retry_every", 0.01)
        self.outbox = Outbox(
            folder,
            database="db",
            worker=lambda: f"me-{os.getpid()}",
            **{name: options.pop(name) for name in ("limit",) if name in options},
        )
        self.ledger = OutboxLedger(self.store, self.spare, self.outbox, **options)

    @property
    def waiting(self) -> list[Opening | Closing | None]:
        """The rows on the disk."""
        return [row for path in sorted(self.folder.iterdir()) for row in decode(path.read_bytes())]

    @property
    def openings(self) -> list[str]:
        """The calls whose rows the stores were given."""
        stores = (self.store, self.spare)
        return [row.call_id for store in stores for rows, _ in store.groups for row in rows]

    @property
    def closings(self) -> list[str]:
        """The calls whose rows the stores were told to close."""
        return [row.call_id for row in (*self.store.closings, *self.spare.closings)]


@contextmanager
def books(folder: Path, **options: Any) -> Iterator[Books]:
    """Make them, and close them at the end."""
    made = Books(folder, **options)
    try:
        yield made
    finally:
        made.store.gate.set()
        made.spare.gate.set()
        made.ledger.close()


def test_while_the_store_serves_nothing_is_on_the_disk(tmp_path: Path) -> None:
    """Rows go to the store; no file is made."""
    with books(tmp_path) as made:
        made.ledger.begin(opening())
        made.ledger.finish(closing())
        made.ledger.record(opening("two"), closing("two"))
        made.ledger.flush(30)
        assert made.store.closings == [closing(), closing("two")]
        assert list(tmp_path.iterdir()) == []
        assert made.spare.groups == []


def test_a_call_goes_on_while_the_store_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once its row is on the disk; when the store is back it is written, once, and the file goes."""
    with books(tmp_path) as made:
        made.down.down.set()
        made.ledger.begin(opening())
        made.ledger.finish(closing())
        made.ledger.record(opening("two"), closing("two", status="refused"))
        assert made.waiting == [
            opening(),
            closing(),
            opening("two"),
            closing("two", status="refused"),
        ]
        assert made.openings == []
        assert caplog.text.count("rows go to the outbox in") == 1
        assert str(tmp_path) in caplog.text
        made.down.down.clear()
        wait_for(lambda: list(tmp_path.iterdir()), [])
        assert (made.openings, made.closings) == (["call-1", "two"], ["call-1", "two"])
        wait_for(lambda: made.ledger._keepers.here.away, None)
        made.ledger.begin(opening("three"))
        assert made.store.groups[-1] == ([opening("three")], [])
    assert "the ledger's database is back" in caplog.text


def test_a_closing_follows_its_opening(tmp_path: Path) -> None:
    """Into the outbox where that is, though the store is back; else into the store."""
    with books(tmp_path, retry_every=60) as made:
        made.ledger.begin(opening("before"))
        made.down.down.set()
        made.ledger.begin(opening("within"))
        made.down.down.clear()
        made.spare.gate.clear()
        made.ledger._keepers.here._came_back()
        assert made.spare.entered.acquire(timeout=30)
        made.ledger.finish(closing("before"))
        assert made.store.closings == [closing("before")]
        made.ledger.finish(closing("within"))
        assert made.waiting == [opening("within"), closing("within")]
        assert made.store.closings == [closing("before")]
    assert made.spare.groups == [([opening("within")], []), ([], [closing("within")])]


def test_a_store_that_hangs_holds_up_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first row is late and goes to the disk, all others at once; nothing is doubled when it goes on."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with books(tmp_path, retry_every=60) as made:
        made.store.gate.clear()
        made.ledger.begin(opening("late"))
        assert made.ledger._keepers.here.away is not None
        made.ledger.finish(closing("late"))
        for number in range(20):
            made.ledger.begin(opening(f"call-{number}"))
            made.ledger.finish(closing(f"call-{number}"))
        assert made.store.entered.acquire(timeout=30)
        assert not made.store.entered.acquire(blocking=False)
        made.store.gate.set()
    assert list(tmp_path.iterdir()) == []
    assert sorted(set(made.closings)) == sorted(["late", *(f"call-{n}" for n in range(20))])
    assert made.closings.count("late") == 1


def test_a_flush_brings_what_a_store_that_hangs_does_not_take_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nobody waits for it: the process may end at once."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with books(tmp_path, retry_every=60) as made:
        made.ledger.begin(opening("one"))
        made.store.gate.clear()
        made.ledger.finish_soon(closing("one", status="lost"))
        made.ledger.flush(30)
        assert made.waiting == [closing("one", status="lost")]


@pytest.mark.anyio
async def test_async_twins_do_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits in an event loop as the store begins to hang goes on at once when one of them has noticed."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with books(tmp_path) as made:
        made.store.gate.clear()
        made.spare.gate.clear()
        await asyncio.gather(*(made.ledger.abegin(opening(f"call-{n}")) for n in range(20)))
        await asyncio.gather(*(made.ledger.afinish(closing(f"call-{n}")) for n in range(20)))
        await made.ledger.arecord(opening("refused"), closing("refused"))
        names = [f"call-{n}" for n in range(20)]
        assert {row.call_id for row in made.waiting if row} == {*names, "refused"}
        made.store.gate.set()
        made.spare.gate.set()
        await asyncio.to_thread(wait_for, lambda: list(tmp_path.iterdir()), [])
        assert set(made.closings) == {*names, "refused"}


def test_what_nobody_waits_for_is_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends of dropped streams: those that the store fails to take, and those that wait behind one that hangs."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with books(tmp_path, retry_every=60) as made:
        for name in ("one", "two", "three"):
            made.ledger.begin(opening(name))
        made.store.gate.clear()
        assert made.store.entered.acquire(timeout=30)
        while made.store.entered.acquire(blocking=False):
            pass
        made.ledger.finish_soon(closing("one"))
        assert made.store.entered.acquire(timeout=30)
        made.ledger.finish_soon(closing("two"))
        made.ledger.begin(opening("late"))
        made.ledger.finish_soon(closing("three"))
        made.ledger._file.flush(30)
        kept = {row.call_id for row in made.waiting if isinstance(row, Closing)}
        assert kept == {"one", "two", "three"}


def test_a_closing_that_the_store_fails_to_take_is_kept(tmp_path: Path) -> None:
    """Whether somebody waits for it or not."""
    with books(tmp_path, retry_every=60) as made:
        made.ledger.begin(opening("one"))
        made.ledger.begin(opening("two"))
        made.down.down.set()
        made.ledger.finish_soon(closing("one"))
        wait_for(lambda: made.waiting, [closing("one")])
        made.ledger.finish(closing("two"))
        assert made.waiting == [closing("one"), closing("two")]
        made.down.down.clear()
    assert made.closings == ["one", "two"]
    assert list(tmp_path.iterdir()) == []


def test_who_would_rather_not_call_is_refused(tmp_path: Path) -> None:
    """With the store's own reason; the ends of calls that were made are kept all the same."""
    with books(tmp_path, refuses=True) as made:
        made.ledger.begin(opening("one"))
        made.down.down.set()
        for name in ("two", "three"):
            with pytest.raises(LedgerUnavailable, match="^the server is gone$"):
                made.ledger.begin(opening(name))
        made.ledger.finish(closing("one"))
        made.ledger.record(opening("refused"), closing("refused", status="refused"))
        assert [row.call_id for row in made.waiting if row] == ["one", "refused", "refused"]
        made.down.down.clear()
        wait_for(lambda: made.ledger._keepers.here.away, None)
        made.ledger.begin(opening("four"))
    assert (made.openings, made.closings) == (["one", "four", "refused"], ["one", "refused"])


def test_who_would_rather_not_call_does_not_wait_for_a_store_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is known to be away, calls are refused without asking it."""
    monkeypatch.setattr(module, "PATIENCE_BEFORE_REFUSAL", 0.05)
    with books(tmp_path, refuses=True, retry_every=60) as made:
        made.store.gate.clear()
        for name in ("one", "two", "three"):
            with pytest.raises(LedgerUnavailable, match="did not answer within"):
                made.ledger.begin(opening(name))
        assert made.store.entered.acquire(timeout=30)
        assert not made.store.entered.acquire(blocking=False)


def test_where_neither_takes_it_the_call_is_refused(tmp_path: Path) -> None:
    """The error says both, and names the path."""
    with books(tmp_path / "file") as made:
        (tmp_path / "file").write_text("")
        made.down.down.set()
        with pytest.raises(LedgerUnavailable) as raised:
            made.ledger.begin(opening())
        said = str(raised.value)
        assert said.startswith(f"the server is gone, and the outbox {tmp_path / 'file'} cannot be")
        assert "Set ledger.outbox to a folder" in said
        made.down.down.clear()
        wait_for(lambda: made.ledger._keepers.here.away, None)
        made.ledger.begin(opening("two"))
        assert made.openings == ["two"]


def test_a_full_outbox_refuses_until_there_is_room(tmp_path: Path) -> None:
    """It names the path and its size."""
    with books(tmp_path, limit=700) as made:
        made.down.down.set()
        made.ledger.begin(opening("one"))
        with pytest.raises(LedgerUnavailable, match=r"is full \(0\.00066"):
            for number in range(9):
                made.ledger.begin(opening(f"call-{number}"))
        made.down.down.clear()
        wait_for(lambda: list(tmp_path.iterdir()), [])
        made.ledger.begin(opening("two"))


def test_a_row_at_fault_is_rejected_as_before(tmp_path: Path) -> None:
    """It is no reason to take the store for away."""

    def refuse(call_ids: Sequence[str]) -> None:
        if "bad" in call_ids:
            raise RowRejected("the row does not fit")

    with books(tmp_path) as made:
        made.store._fail = refuse
        with pytest.raises(RowRejected):
            made.ledger.begin(opening("bad"))
        assert made.ledger._keepers.here.away is None
        made.ledger.begin(opening("good"))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_a_cancelled_begin_leaves_no_open_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever its row was on the way to: it is closed, or was never written."""
    with books(tmp_path) as made:
        made.store.gate.clear()
        waits = asyncio.create_task(made.ledger.abegin(opening("one")))
        assert await asyncio.to_thread(made.store.entered.acquire, timeout=30)
        waits.cancel()
        await asyncio.wait([waits])
        assert waits.cancelled()
        made.down.down.set()
        made.store.gate.set()
        await asyncio.to_thread(wait_for, lambda: len(made.waiting), 2)
        assert made.waiting == [opening("one"), made.waiting[1]]
        end = made.waiting[1]
        assert isinstance(end, Closing)
        assert (end.call_id, end.status) == ("one", "cancelled")
        made.down.down.clear()


def test_a_row_that_waits_for_its_callers_transaction_is_on_the_disk(tmp_path: Path) -> None:
    """A kill in that moment loses nothing; it is written when the transaction has ended, not before."""
    ended = threading.Event()
    with books(tmp_path) as made:
        made.ledger.begin_later(opening("mine"), until=ended.is_set)
        made.ledger.begin_later(opening("final"), closing("final"), until=ended.is_set)
        made.ledger.finish(closing("mine"))
        made.ledger.begin(opening("another"))
        made.ledger.flush(30)
        assert made.openings == ["another"]
        assert made.waiting == [
            opening("mine"),
            opening("final"),
            closing("final"),
            closing("mine"),
        ]
        ended.set()
        made.ledger.flush(30)
        assert made.openings == ["another", "mine", "final"]
        assert made.closings == ["final", "mine"]
        assert list(tmp_path.iterdir()) == []


def test_whoever_waits_for_a_transaction_does_not_ask_without_pause(tmp_path: Path) -> None:
    """Though the store is away, and its turn to be tried has come."""
    made = Books(tmp_path)
    now = [0.0]
    keeper = Keeper(
        made.spare,
        made.outbox,
        retry_every=1.0,
        scan_every=60.0,
        sweep_every=600.0,
        silent=180.0,
        clock=lambda: now[0],
    )
    keeper.went_away(LedgerUnavailable("the server is gone"))
    keeper.wait_for(lambda: False)
    now[0] = 10.0
    keeper._step()
    assert keeper._patience() > 0


def test_when_the_outbox_is_looked_through_and_when_it_is_swept(tmp_path: Path) -> None:
    """Files of others at the start and every minute; rows of the dead when this process knows who lives, and then every ten minutes."""
    swept: list[float] = []
    looked: list[float] = []
    now = [0.0]

    class Store(MemoryStore):
        def sweep(self, *, silent: float, every: float = 0.0) -> int | None:
            assert (silent, every) == (180.0, 600.0)
            swept.append(now[0])
            return None

        def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> Refusals:
            looked.append(now[0])
            return {}

    outbox = Outbox(tmp_path, database="db", worker=lambda: "me")
    keeper = Keeper(
        Store(),
        outbox,
        retry_every=1.0,
        scan_every=60.0,
        sweep_every=600.0,
        silent=180.0,
        clock=lambda: now[0],
    )
    for second in range(0, 1000, 10):
        now[0] = float(second)
        if second % 30 == 0:
            (tmp_path / f"{outbox.prefix}dead.outbox").write_bytes(encode(opening("one")))
        keeper._step()
        assert keeper._patience() > 0
    assert swept == [180.0, 780.0]
    assert looked == [float(second) for second in range(0, 1000, 60)]


def test_a_store_that_fails_as_the_files_of_others_are_written_is_away(tmp_path: Path) -> None:
    """What is in them waits, and so do new rows."""
    made = Books(tmp_path)
    (tmp_path / f"{made.outbox.prefix}dead.outbox").write_bytes(encode(opening("one")))
    made.down.down.set()
    keeper = Keeper(
        made.spare, made.outbox, retry_every=1.0, scan_every=60.0, sweep_every=600.0, silent=180.0
    )
    keeper._step()
    assert keeper.away is not None
    assert len(made.waiting) == 1


def test_a_store_is_asked_whether_it_serves_again(tmp_path: Path) -> None:
    """Where no row waits that it could be tried with: it stays away until it says so."""
    with books(tmp_path, refuses=True) as made:
        made.down.down.set()
        with pytest.raises(LedgerUnavailable):
            made.ledger.begin(opening())
        tried = made.down.tried
        for _ in range(5):
            assert tried.acquire(timeout=30)
        assert made.ledger._keepers.here.away is not None
        made.down.down.clear()
        wait_for(lambda: made.ledger._keepers.here.away, None)


def test_without_a_file_such_a_row_waits_in_memory(tmp_path: Path) -> None:
    """An outbox that cannot be written refuses no call whose database serves."""
    ended = threading.Event()
    with books(tmp_path / "file") as made:
        (tmp_path / "file").write_text("")
        made.ledger.begin_later(opening("mine"), until=ended.is_set)
        made.ledger.finish(closing("mine"))
        assert made.openings == []
        ended.set()
        made.store.wait_for_closings(1)
        assert made.openings == ["mine"]


def test_what_the_process_before_left_is_written(tmp_path: Path) -> None:
    """By the next one, when it begins."""
    first = Books(tmp_path)
    first.down.down.set()
    first.ledger.begin(opening("one"))
    first.ledger.finish(closing("one"))
    first.ledger.close()
    assert first.waiting == [opening("one"), closing("one")]
    with books(tmp_path) as made:
        made.ledger.begin(opening("two"))
        wait_for(lambda: list(tmp_path.iterdir()), [])
        assert (made.spare.groups, made.openings) == (
            [([opening("one")], [closing("one")])],
            ["two", "one"],
        )


def test_it_can_be_used_again_after_it_was_closed(tmp_path: Path) -> None:
    """As a ledger without an outbox can; no thread is left behind."""
    with books(tmp_path) as made:
        made.down.down.set()
        made.ledger.begin(opening("one"))
        made.ledger.close()
        made.down.down.clear()
        made.ledger.begin(opening("two"))
        wait_for(lambda: list(tmp_path.iterdir()), [])
        assert sorted(made.openings) == ["one", "two"]
    gc.collect()
    names = [thread.name for thread in threading.enumerate()]
    assert "llmkit-outbox" not in names


@needs_fork
def test_a_child_has_an_outbox_of_its_own(tmp_path: Path) -> None:
    """It neither drains nor holds its parent's."""
    with books(tmp_path, retry_every=60) as made:
        made.down.down.set()
        made.ledger.begin(opening("parent"))
        pid = os.fork()
        if pid == 0:
            try:
                made.ledger.begin(opening("child"))
                made.down.down.clear()
                made.ledger.close()
            finally:
                os._exit(0 if made.openings == ["child"] else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert made.waiting == [opening("parent")]
        made.down.down.clear()
    assert made.openings == ["parent"]


def test_what_speaks_against_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be written, or does not last; what is beside the database is as safe as that."""
    assert list(doubts(tmp_path / "new", None)) == []
    monkeypatch.setattr(opening_module, "fleeting", lambda folder: "tmpfs")
    (doubt,) = doubts(tmp_path, None)
    assert f"{tmp_path} is on tmpfs, which goes with this machine or container" in doubt.message
    assert doubt.hint is not None
    assert "Set ledger.outbox" in doubt.hint
    assert list(doubts(tmp_path, tmp_path / "app.db")) == []
    monkeypatch.setattr(opening_module, "is_writable", lambda folder: False)
    (doubt,) = doubts(tmp_path, tmp_path / "app.db")
    assert f"{tmp_path} cannot be written" in doubt.message


def test_the_log_says_where_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By default beside a SQLite file; else where the settings say."""
    caplog.set_level("INFO", logger="llmkit.ledger")
    for outbox, folder in ((None, tmp_path), (str(tmp_path / "x"), tmp_path / "x")):
        caplog.clear()
        ledger = {"database": f"sqlite:///{tmp_path / 'app.db'}", "outbox": outbox}
        Kit({"models": {"default": "openai:m"}, "ledger": ledger}).close()
        assert f"if the ledger's database is away, rows will wait in {folder}" in caplog.text


def test_a_fault_of_the_store_ends_no_thread(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the one that writes nor the one that drains: rows are written as before."""
    with books(tmp_path, sweep_every=0.01, silent=0.01, alive_every=0.01) as made:

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("an unforeseen fault")

        made.store.note = fail  # type: ignore[method-assign]
        made.spare.sweep = fail  # type: ignore[method-assign]
        made.ledger.begin(opening("open"))
        wait_for(lambda: "so far could not be written down" in caplog.text, wanted=True)
        wait_for(lambda: "could not be looked through" in caplog.text, wanted=True)
        made.ledger.begin(opening("two"))
        made.down.down.set()
        made.ledger.begin(opening("three"))
        made.down.down.clear()
        wait_for(lambda: sorted(made.openings), ["open", "three", "two"])
