"""The sync side of the relay under gunicorn, with threads and with greenlets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmkit.testing import Behaviour, Emulator
from support.browser import SILENCES, leave, open_page
from support.dead_ends import needs_full_queue, unanswered
from support.hosts import gunicorn_host
from support.kits import WIRES, settings
from support.rows import database, rows

pytest.importorskip("gunicorn")
pytest.importorskip("gevent")

WORKERS = ["gthread", "gevent"]


@pytest.mark.parametrize("worker", WORKERS)
def test_no_token_is_held_back(worker: str, tmp_path: Path) -> None:
    """The emulator withholds each next token until the browser has the one before; three middlewares look on."""
    with Emulator(behaviour=Behaviour(tokens=4, delay=0, hold_at=2)) as emulator:
        for wire in WIRES:
            folder = tmp_path / wire
            folder.mkdir()
            config = settings(emulator, wire=wire, ledger={"database": database(folder)})
            with gunicorn_host(worker, config) as url, open_page(f"{url}/stream") as page:
                for words in range(1, 5):
                    page.read_words(words)
                    emulator.release()
                emulator.release()
                page.read_all()
                assert page.done
            assert [row["status"] for row in rows(folder)] == ["finished"]


@pytest.mark.parametrize("worker", WORKERS)
def test_streams_run_side_by_side(worker: str, tmp_path: Path) -> None:
    """While one stream waits for its model another goes from its start to its end."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        emulator.script(Behaviour(tokens=3, delay=0, hold_at=2))
        config = settings(emulator, ledger={"database": database(tmp_path)})
        with gunicorn_host(worker, config) as url, open_page(f"{url}/stream") as held:
            held.read_words(1)
            for _ in range(3):
                with open_page(f"{url}/stream") as page:
                    page.read_all()
                assert page.done
            emulator.release(None)
            held.read_all()
            assert held.done
    assert [row["status"] for row in rows(tmp_path)] == ["finished"] * 4


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("silent", sorted(SILENCES))
def test_a_closed_tab_stops_the_model(tmp_path: Path, worker: str, silent: str) -> None:
    """The next heartbeats find nobody; the provider sees its connection go; the row says cancelled."""
    with Emulator(behaviour=SILENCES[silent]) as emulator:
        config = settings(
            emulator, relay={"heartbeat": 0.05}, ledger={"database": database(tmp_path)}
        )
        with gunicorn_host(worker, config) as url:
            leave(f"{url}/stream", emulator, reading=silent == "later")
    (row,) = rows(tmp_path)
    assert row["status"] == "cancelled"
    assert row["output_source"] in ("reported", "estimated")


CLOCKS: dict[str, tuple[Behaviour, dict[str, Any]]] = {
    "first_content": (Behaviour(ttft=60, pings=0.05), {"first_content": 1}),
    "idle": (Behaviour(tokens=9, delay=0, stall_at=3, pings=0.05), {"idle": 0.3}),
    "total": (Behaviour(tokens=9999, delay=0.01), {"total": 2}),
}


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("clock", sorted(CLOCKS))
def test_clocks_run(tmp_path: Path, worker: str, clock: str) -> None:
    """Each clock fires; before the first content it is a 504, later an event; the row names it."""
    behaviour, timeouts = CLOCKS[clock]
    with Emulator(behaviour=Behaviour(tokens=1)) as emulator:
        config = settings(
            emulator,
            timeouts=timeouts,
            retry={"attempts": 1},
            ledger={"database": database(tmp_path)},
        )
        with gunicorn_host(worker, config) as url:
            with open_page(
                f"{url}/stream"
            ) as first:  # what the worker has to load is not the clock's
                first.read_all()
            emulator.behaviour, before = behaviour, len(emulator.requests)
            with open_page(f"{url}/stream") as page:
                if clock == "first_content":
                    page.response.read()
                    assert page.status == 504
                else:
                    page.read_all()
                    assert page.error is not None
                    assert page.error["type"] == "timeout"
        emulator.wait_until_gone(before, timeout=30)
    _, row = rows(tmp_path)
    assert (row["status"], row["error_type"], row["error_code"]) == ("failed", "timeout", clock)


@needs_full_queue
@pytest.mark.parametrize("worker", WORKERS)
def test_the_connect_clock_runs(tmp_path: Path, worker: str) -> None:
    """A provider that takes no connection is given up, in greenlets too; the row names the clock."""
    with unanswered() as address:
        config = {
            "providers": {"local": {"wire": "openai", "base_url": address}},
            "models": {"default": "local:m"},
            "timeouts": {"connect": 0.3},
            "retry": {"attempts": 1},
            "ledger": {"database": database(tmp_path)},
        }
        with gunicorn_host(worker, config) as url, open_page(f"{url}/stream") as page:
            page.response.read()
            assert page.status == 504
    (row,) = rows(tmp_path)
    assert (row["status"], row["error_type"], row["error_code"]) == ("failed", "timeout", "connect")
