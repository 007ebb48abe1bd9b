"""An address that takes no connection and refuses none."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import pytest

needs_full_queue = pytest.mark.skipif(
    sys.platform != "linux",
    reason="only Linux leaves a connection unanswered when a listener's queue is full; others refuse it",
)


@contextlib.contextmanager
def unanswered() -> Iterator[str]:
    """Listen with a full queue and accept nobody, so that connecting waits for ever; yield the address."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003  # the standard library's own signature
            filler.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"
