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

from llmkit import Kit
from support import abandoning
from support.abandoning import WAYS
from support.left_over import sockets, threads

GREENLET_WAYS = ("killed", *WAYS)


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
        way, user = GREENLET_WAYS[number % len(GREENLET_WAYS)], str(number)
        greenlet = gevent.spawn(abandoning.read, kit, way, user, chance, ended)
        if way == "killed":
            gevent.sleep(chance.uniform(0, 0.06))
            greenlet.kill()
        greenlet.get()
        ended.setdefault(user, "cancelled")  # before it began

    pool = Pool(40)
    for number in range(streams):
        pool.spawn(run, number)
    pool.join()
    running, attempts = kit.limit.running, len(kit.runtime.open_attempts)
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
