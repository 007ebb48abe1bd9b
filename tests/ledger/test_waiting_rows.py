"""The writer's rows that have to wait: for their caller's transaction, or for a store that is back."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.row import RowRejected
from support.ledger import closing, opening
from support.memory_store import Down, MemoryStore, writing


def busy(store: MemoryStore) -> None:
    """Wait until the writer's thread is in the store, which holds it up."""
    assert store.entered.acquire(timeout=30)


def test_a_row_that_waits_holds_up_no_other() -> None:
    """Only its own closing waits with it: not that of another call, nor that of another attempt of its own call."""
    store = MemoryStore()
    with writing(store) as writer:
        writer.begin(opening("another"))
        writer.begin(opening("mine", attempt=2))
        writer.begin_later(opening("mine"), until=lambda: False)
        writer.finish(closing("another"))
        writer.finish(closing("mine", attempt=2))
        assert store.closings == [closing("another"), closing("mine", attempt=2)]
        writer.finish(closing("mine"))
        assert closing("mine") not in store.closings
    assert store.groups[-1] == ([opening("mine")], [closing("mine")])


def test_each_row_waits_for_its_own_caller() -> None:
    """Where two transactions are open, the end of one lets its own rows go and no others."""
    store = MemoryStore()
    first, second = threading.Event(), threading.Event()
    with writing(store) as writer:
        writer.begin_later(opening("first"), until=first.is_set)
        writer.begin_later(opening("second"), until=second.is_set)
        writer.finish(closing("first"))
        writer.finish(closing("second"))
        second.set()
        busy(store)
        writer.begin(opening("another"))
        assert store.groups[0] == ([opening("second")], [closing("second")])
        assert closing("first") not in store.closings
        first.set()
        store.wait_for_closings(2)
    assert store.groups[-1] == ([opening("first")], [closing("first")])


def test_a_closing_never_goes_before_its_opening() -> None:
    """A transaction that ends while the rows are looked through lets all of a row go, or nothing."""
    store = MemoryStore()
    answers = iter([False])
    with writing(store) as writer:
        store.gate.clear()
        writer.finish_soon(closing("first"))
        busy(store)
        writer.begin_later(opening("mine"), until=lambda: next(answers, True))
        writer.finish_soon(closing("mine"))
        store.gate.set()
        store.wait_for_closings(2)
    assert store.groups[1:] == [([opening("mine")], [closing("mine")])]


def test_closings_that_waited_go_before_what_came_later() -> None:
    """A store that is back gets them, in order, though the writer has no idle moment."""
    fail = Down()
    store = MemoryStore(fail)
    with writing(store, max_group=1, retry_every=60) as writer:
        fail.down.set()
        for call_id in ("kept-1", "kept-2", "kept-3"):
            with pytest.raises(LedgerUnavailable):
                writer.finish(closing(call_id))
            busy(store)
        store.gate.clear()
        for call_id in ("new-1", "new-2", "new-3"):
            writer.finish_soon(closing(call_id))
        busy(store)
        fail.down.clear()
        store.gate.set()
    written = [row.call_id for row in store.closings]
    assert written == ["new-1", "kept-1", "kept-2", "kept-3", "new-2", "new-3"]


def test_closings_that_wait_keep_their_order() -> None:
    """Where the store goes again in the midst of them, the others follow when it is back; none is lost, none goes twice."""
    gone = threading.Event()
    gone.set()
    down = {"kept-1", "kept-2", "kept-3"}

    def fail(call_ids: Sequence[str]) -> None:
        if gone.is_set() and not down.isdisjoint(call_ids):
            raise LedgerUnavailable("the server is gone")

    store = MemoryStore(fail)
    with writing(store, max_group=1, retry_every=60) as writer:
        for call_id in ("kept-1", "kept-2", "kept-3"):
            with pytest.raises(LedgerUnavailable):
                writer.finish(closing(call_id))
        down.remove("kept-1")
        writer.finish(closing("new-1"))
        writer.finish(closing("new-2"))
        assert [row.call_id for row in store.closings] == ["new-1", "kept-1", "new-2"]
        gone.clear()
        writer.finish(closing("new-3"))
    written = [row.call_id for row in store.closings]
    # Whether the thread looks at what it has kept before or after it takes the last one is chance.
    assert [name for name in written if name != "new-3"] == [
        *("new-1", "kept-1", "new-2", "kept-2", "kept-3")
    ]
    assert written.count("new-3") == 1


def test_a_group_with_a_bad_row_shows_that_the_store_is_back() -> None:
    """What waited is written then as well: a bad row is no fault of the store's."""
    gone = threading.Event()
    gone.set()

    def fail(call_ids: Sequence[str]) -> None:
        if "kept" in call_ids and gone.is_set():
            gone.clear()
            raise LedgerUnavailable("the server is gone")
        if "bad" in call_ids:
            raise RowRejected("the row does not fit")

    store = MemoryStore(fail)
    with writing(store, retry_every=60) as writer:
        store.gate.clear()
        writer.finish_soon(closing("kept"))
        busy(store)
        writer.finish_soon(closing("bad"))
        writer.finish_soon(closing("good"))
        store.gate.set()
        store.wait_for_closings(2)
        writer.finish(closing("last"))
    assert [row.call_id for row in store.closings] == ["good", "kept", "last"]


def test_a_row_that_waited_is_kept_while_the_store_is_down() -> None:
    """Its transaction has ended, but the store does not take it: it is written when the store is back."""
    down = Down()
    store = MemoryStore(down)
    down.down.set()
    with writing(store, retry_every=0.01) as writer:
        writer.begin_later(opening("mine"), until=lambda: True)
        writer.finish_soon(closing("mine"))
        for _ in range(3):
            assert down.tried.acquire(timeout=30)
        down.down.clear()
        store.wait_for_closings(1)
    assert store.groups == [([opening("mine")], [closing("mine")])]


def test_rows_that_wait_are_bounded() -> None:
    """Beyond the limit a row is refused, rather than to fill the memory behind a transaction that never ends."""
    store = MemoryStore()
    with writing(store, limit=2) as writer:
        for call_id in ("one", "two"):
            writer.begin_later(opening(call_id), until=lambda: False)
            writer.flush(30)
        with pytest.raises(LedgerUnavailable, match="2 rows are already waiting"):
            writer.begin_later(opening("three"), until=lambda: False)
    assert [row.call_id for openings, _ in store.groups for row in openings] == ["one", "two"]


def test_a_flush_waits_for_rows_whose_transaction_has_ended() -> None:
    """They are written before it returns, though nobody has looked at their transactions since."""
    store = MemoryStore()
    ended = threading.Event()
    with writing(store) as writer:
        writer.begin_later(opening("mine"), closing("mine"), until=ended.is_set)
        writer.flush(30)
        assert store.groups == [([], [])]
        ended.set()
        writer.flush(30)
        assert store.closings == [closing("mine")]
