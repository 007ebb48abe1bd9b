"""What nobody waits for, done by a thread of its own."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest

from llmkit.concurrency.later import Later
from support.forks import needs_fork
from support.processes import environ


def test_no_more_than_so_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    """The rest is left undone, and logged: what cannot be done would fill the memory."""
    go, done = threading.Event(), list[int]()

    class Work:
        def do(self, thing: int) -> None:
            go.wait(30)
            done.append(thing)

    work = Work()
    later = Later(work.do, name="work", log=logging.getLogger("llmkit.test"), most=3)
    for thing in range(5):
        later.put(thing)
    assert later.waiting == [0, 1, 2]
    go.set()
    later.flush(30)
    later.put(5)
    later.close(30)
    assert done == [0, 1, 2, 5]
    assert caplog.messages == ["work: 3 wait already, one more is left undone"] * 2


FORKS = """
import logging, os, sys, threading
from llmkit.concurrency.later import Later

class Work:
    def __init__(self):
        self.did = threading.Event()
        self.later = Later(self.do, name="work", log=logging.getLogger("work"))

    def do(self, thing):
        print(thing, flush=True)
        self.did.set()
        return 3600.0 if thing == "never" else None

work = Work()
work.later.put("never")
work.did.wait()
(queue,) = work.later._queues.values()
held, let_go = threading.Event(), threading.Event()

def hold():
    with queue._changed:
        held.set()
        let_go.wait()

threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    work.later.put("child")
    if sys.argv[1] == "collected":
        del work
    sys.exit(0)
_, status = os.waitpid(child, 0)
let_go.set()
os._exit(os.waitstatus_to_exitcode(status))
"""


def run(*arguments: str) -> list[str]:
    """Run it; return what was done."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS, *arguments],
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@needs_fork
def test_a_child_ends_without_what_waits_in_its_parent() -> None:
    """Whatever its parent did at the fork; what the child has to do itself it does first."""
    assert run("kept") == ["never", "child"]
    assert run("collected") == ["never", "child"]
