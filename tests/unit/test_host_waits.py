"""Waiting for a function of the app's."""

from __future__ import annotations

import threading

import pytest

from llmkit.concurrency.host_threads import Host
from llmkit.concurrency.tasks import async_in_host
from llmkit.concurrency.threads import TookTooLong, in_host


@pytest.mark.anyio
async def test_async_code_waits_so_long() -> None:
    """And no longer, though the function runs on in its thread."""
    go_on, returned = threading.Event(), threading.Event()

    def stuck() -> None:
        go_on.wait()
        returned.set()

    with pytest.raises(TookTooLong):
        await async_in_host(Host(), stuck, 0.01)
    assert not returned.is_set()
    go_on.set()
    assert await async_in_host(Host(), lambda: returned.wait(10), 20)


def test_a_thread_is_told_behind_it() -> None:
    """Nothing can take it out of a function."""
    with pytest.raises(TookTooLong):
        in_host(Host(), lambda: threading.Event().wait(0.02), 0.01)
    assert in_host(Host(), lambda: 7, 20) == 7


@pytest.mark.anyio
async def test_its_own_timeout_is_its_own() -> None:
    """And not that of whoever waits."""

    def gives_up() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await async_in_host(Host(), gives_up, 20)
