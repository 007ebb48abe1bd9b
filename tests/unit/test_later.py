"""What nobody waits for, done by a thread of its own."""

from __future__ import annotations

import logging
import threading

import pytest

from llmkit.concurrency.later import Later


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
