"""What is left when a host is told to stop in the midst of an answer."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from contract.hosts import HOSTS, running
from contract.tab import Tab
from llmkit.testing import Behaviour


@pytest.mark.parametrize("name", HOSTS)
def test_no_row_stays_open(name: str, tmp_path: Path) -> None:
    """At SIGTERM the rows of the streams that still run are closed, also where the server has no lifespan."""
    # uvicorn logs a traceback for each request that it cancels.
    with running(name, tmp_path, cut=True) as host, contextlib.ExitStack() as tabs:
        host.emulator.behaviour = Behaviour(tokens=9, delay=0, hold_at=3)
        for _ in range(3):
            tab = Tab(host)
            tabs.callback(tab.close)
            tab.read_until(b'"text"')
        assert [row["status"] for row in host.rows()] == ["started"] * 3
        host.process.terminate()
        host.process.wait(20)
        for row in host.rows():  # lost, where the server was killed before the streams could end
            assert row["status"] in ("cancelled", "lost")
            assert row["output_source"] in ("reported", "estimated")
            assert row["finished_at"] is not None


@pytest.mark.parametrize("name", [name for name in HOSTS if "gthread" in name or "gevent" in name])
def test_gunicorn_is_stopped_by_hand(name: str, tmp_path: Path) -> None:
    """Ctrl-C: its workers end at once, whatever still runs in them."""
    with running(name, tmp_path, cut=True) as host, contextlib.ExitStack() as tabs:
        host.emulator.behaviour = Behaviour(tokens=9, delay=0, hold_at=3)
        tab = tabs.enter_context(contextlib.closing(Tab(host)))
        tab.read_until(b'"text"')
        host.process.send_signal(signal.SIGINT)
        host.process.wait(20)
        (row,) = host.rows()
        assert row["status"] in ("cancelled", "lost")
        assert row["output_source"] in ("reported", "estimated")


@pytest.mark.parametrize("name", [name for name in HOSTS if "waitress" not in name])
def test_rows_are_marked_as_lost_at_once(name: str, tmp_path: Path) -> None:
    """At SIGTERM, since nobody knows whether the server will live to the end of its streams; one that does end corrects its row.

    waitress knows no SIGTERM: it is gone at once.
    """
    with running(name, tmp_path) as host, contextlib.ExitStack() as tabs:
        host.emulator.behaviour = Behaviour(tokens=9, delay=0, hold_at=3)
        tab = tabs.enter_context(contextlib.closing(Tab(host)))
        tab.read_until(b'"text"')
        host.wait_for_rows("started")
        host.process.terminate()
        (row,) = host.wait_for_rows("lost")
        assert row["output_source"] in ("reported", "estimated")
        assert row["finished_at"] is not None
        host.emulator.release(None)
        tab.read_until(b"[DONE]")
        host.wait_for_rows("finished")
