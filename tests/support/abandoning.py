"""Leave a stream at a random point, in a thread or in a greenlet."""

from __future__ import annotations

import random
import threading

from llmkit import Kit, StreamClosed

WAYS = ("left", "aborted", "dropped", "to the end")


def read(kit: Kit, way: str, user: str, chance: random.Random, ended: dict[str, str]) -> None:
    """Read one stream for a while and leave it; note what its row must say."""
    manager = kit.client.stream("Say hi", user=user)
    if way == "aborted":
        threading.Timer(chance.uniform(0, 0.06), manager.abort).start()
    words = chance.randrange(30) if way in ("left", "dropped") else 1000
    stream = None
    try:
        stream = manager.open()
        while words and stream.read() is not None:
            words -= 1
    except StreamClosed:
        assert way == "aborted"
    finally:
        if stream is not None and way != "dropped":
            stream.close()
        complete = stream is not None and stream.response.stop_reason is not None
        ended[user] = "finished" if complete else "cancelled"
