"""Calls that processes share: a hundred ask in four of them, some are killed, some stand still."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmkit.testing import Behaviour, Emulator
from support.kits import settings
from support.processes import environ
from support.rows import database, rows

pytest.importorskip("redis", minversion="6")

HELD = Behaviour(tokens=60, delay=0.001, hold_at=4)
EACH = 25
Start = Callable[[str, float], subprocess.Popen[str]]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Start a provider."""
    with Emulator(behaviour=HELD) as emulator:
        yield emulator


@pytest.fixture
def start(emulator: Emulator, tmp_path: Path) -> Iterator[Start]:
    """Give what starts a worker; at the end those that are left are killed."""
    from support.redis_server import any_redis_url

    config = settings(
        emulator,
        ledger={"database": database(tmp_path)},
        cache={"scope": "all"},
        redis=any_redis_url(),
        namespace=f"{tmp_path.name}",
    )
    started: list[subprocess.Popen[str]] = []

    def new(how: str, lease: float) -> subprocess.Popen[str]:
        command = ["support.flight_worker", json.dumps(config), str(EACH), how, str(lease)]
        made = subprocess.Popen(
            [sys.executable, "-m", *command], env=environ(), stdout=subprocess.PIPE, text=True
        )
        started.append(made)
        return made

    yield new
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def begun(process: subprocess.Popen[str]) -> None:
    """Wait until all of a process have heard something."""
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"


def told(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Return what they have heard, at the end."""
    assert process.stdout is not None
    found: list[dict[str, Any]] = json.loads(process.stdout.readline())
    assert process.wait() == 0
    assert all(isinstance(each, dict) for each in found), found
    return found


def test_four_processes_pay_once(start: Start, emulator: Emulator, tmp_path: Path) -> None:
    """A hundred answers, equal to the byte, for one request, in event loops and in threads."""
    processes = [start(how, 60) for how in ("async", "sync") * 2]
    for process in processes:
        begun(process)
    emulator.release(None)
    found = [each for process in processes for each in told(process)]
    assert len(emulator.requests) == 1
    assert len(found) == 4 * EACH
    assert {(len(each["text"].split()), each["at"], each["resets"]) for each in found} == {
        (60, "end", 0)
    }
    assert len({each["text"] for each in found}) == 1
    assert Counter(each["shared"] for each in found) == {False: 1, True: 4 * EACH - 1}
    statuses = Counter(row["status"] for row in rows(tmp_path))
    assert statuses == {"finished": 1, "shared": 4 * EACH - 1}


@pytest.mark.parametrize(
    ("how", "kind"),
    [(signal.SIGKILL, "async"), (signal.SIGSTOP, "sync")],
)
def test_who_makes_the_call_is_gone(
    start: Start, emulator: Emulator, tmp_path: Path, how: signal.Signals, kind: str
) -> None:
    """Killed, or standing still for as long as all others need, and on: nobody is without an answer."""
    first = start(kind, 4)
    begun(first)
    others = [start(each, 4) for each in ("async", "sync", kind)]
    for process in others:
        begun(process)
    os.kill(first.pid, how)
    emulator.wait_for_requests(2, timeout=60)
    emulator.release(None, index=1)
    found = [each for process in others for each in told(process)]
    assert {(len(each["text"].split()), each["at"], each["resets"]) for each in found} == {
        (60, "end", 1)
    }
    assert len({each["text"] for each in found}) == 1
    assert Counter(each["shared"] for each in found) == {False: 1, True: 3 * EACH - 1}
    expected = {"finished": 1, "shared": 3 * EACH - 1, "started": 1}
    if how == signal.SIGSTOP:
        emulator.release(None, index=0)
        os.kill(first.pid, signal.SIGCONT)
        late = told(first)
        assert {(len(each["text"].split()), each["resets"]) for each in late} == {(60, 0)}
        expected = {"finished": 2, "shared": 4 * EACH - 2}
    assert len(emulator.requests) == 2
    assert Counter(row["status"] for row in rows(tmp_path)) == expected
