# Generated from tests/_async/test_dropped.py. Do not edit.
"""A stream that nobody closed: what its dropping lets go, while the kit lives on."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from llmkit import Kit, TextDelta
from llmkit.testing import Behaviour, Emulator
from support.kits import TRANSPORTS, WIRES, make_kit
from support.left_over import sockets
from support.rows import database, rows
from support.waits import call, wait_for

HELD = Behaviour(tokens=5, delay=0, hold_at=2)


def drop_one(kit: Kit) -> None:
    """Open a stream, read its first word, and drop it."""
    stream = kit.client.stream("Say hi").open()
    (first,) = stream.read() or []
    assert isinstance(first, TextDelta)
    with pytest.warns(ResourceWarning, match="was dropped without being closed"):
        del stream
        gc.collect()


def states(folder: Path) -> list[tuple[Any, ...]]:
    """Return what the rows say of how it ended."""
    names = ("status", "input_source", "output_source", "error_type")
    return [tuple(row[name] for name in names) for row in rows(folder)]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("wire", WIRES)
def test_everything_is_let_go(tmp_path: Path, wire: str, transport: str) -> None:
    """The provider sees its connection closed, our socket goes, the row is closed, and the one place is free for the next call."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        kit = make_kit(
            emulator,
            wire=wire,
            transport=transport,
            concurrency={"per_process": 1, "queue": 0},
            ledger={"database": database(tmp_path)},
        )
        kit.client.complete("Say hi")
        emulator.script(HELD, HELD)
        gc.collect()  # what earlier tests have left may close sockets, too
        connections, before = emulator.open_connections, sockets()
        drop_one(kit)
        assert kit.limit.running == 0
        assert not kit.runtime.open_attempts
        call(lambda: emulator.wait_until_gone(1))
        # The one that was kept after the first call was taken for this one; both its ends are in this process.
        call(lambda: emulator.wait_for_connections(connections - 1))
        call(lambda: wait_for(sockets, before - 2))
        source = "reported" if wire == "anthropic" else "estimated"
        closed = [
            ("finished", "reported", "reported", None),
            ("cancelled", source, "estimated", None),
        ]
        call(lambda: wait_for(lambda: states(tmp_path), closed))
        drop_one(kit)
        reply = kit.client.complete("Say hi")
        assert len(reply.text.split()) == 3
        kit.close()
    assert [row["status"] for row in rows(tmp_path)] == [
        "finished",
        "cancelled",
        "cancelled",
        "finished",
    ]
