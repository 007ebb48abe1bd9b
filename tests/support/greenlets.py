"""Run by itself: leave streams at random points in greenlets, and say as JSON what is left and how each ended.

Arguments: the kit's settings as JSON, and how many streams.
"""

# ruff: noqa: E402  # the patch comes first
from gevent import monkey

monkey.patch_all()

import json
import random
import sys
import warnings
from typing import Any

import gevent
from gevent.pool import Pool

from llmkit import Kit, StreamClosed
from support.left_over import sockets, threads

WAYS = ("left", "killed", "aborted", "dropped", "to the end")


def read(kit: Kit, way: str, user: str, chance: random.Random, ended: dict[str, str]) -> None:
    """Read one stream for a while and leave it; note what its row must say."""
    manager = kit.client.stream("Say hi", user=user)
    words = chance.randrange(30) if way in ("left", "dropped") else 1000
    if way == "aborted":
        gevent.spawn_later(chance.uniform(0, 0.06), manager.abort)
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


def main(config: dict[str, Any], streams: int) -> None:
    """Read so many streams, forty at once."""
    warnings.simplefilter("ignore", ResourceWarning)  # that one was dropped
    chance = random.Random(7)
    kit = Kit(config)
    kit.client.complete("Say hi")  # what is made once: the hub's own threads and sockets
    kit.close()
    before = sockets()
    ended: dict[str, str] = {}

    def run(number: int) -> None:
        way, user = WAYS[number % len(WAYS)], str(number)
        greenlet = gevent.spawn(read, kit, way, user, chance, ended)
        if way == "killed":
            gevent.sleep(chance.uniform(0, 0.06))
            greenlet.kill()
        greenlet.get()
        ended.setdefault(user, "cancelled")  # before it began

    pool = Pool(40)
    for number in range(streams):
        pool.spawn(run, number)
    pool.join()
    running, attempts = kit.limit.running, len(kit.open_attempts)
    kit.close()
    left = {
        "running": running,
        "attempts": attempts,
        "sockets": sockets() - before,
        "threads": threads(),
    }
    print(json.dumps({"left": left, "ended": ended}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]))
