"""What a process still holds: sockets and threads."""

from __future__ import annotations

import os
import threading
from typing import Any

from llmkit import Kit
from support.waits import wait_for


def sockets(pid: int | str = "self") -> int:
    """Count the open sockets of a process of this machine, this one by default."""
    folder, found = f"/proc/{pid}/fd", 0
    for fd in os.listdir(folder):
        try:
            found += os.readlink(f"{folder}/{fd}").startswith("socket:")
        except OSError:
            continue  # closed meanwhile: the folder's own descriptor, at least
    return found


def no_more_sockets(before: int) -> None:
    """See that there are no more sockets than before; the other side of one that is closed follows a moment later."""
    wait_for(lambda: sockets() <= before, wanted=True)


def threads() -> list[str]:
    """Name llmkit's threads, but for the one that a process keeps for all its timers."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("llmkit") and name != "llmkit-timers"]


def held_by(kit: Kit) -> dict[str, Any]:
    """Say what a kit and its process hold; `memory` is in bytes, and None where nobody says."""
    try:
        with open("/proc/self/statm") as numbers:
            memory: int | None = int(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        memory = None
    return {
        "running": kit.limit.running,
        "attempts": len(kit.runtime.open_attempts),
        "sockets": sockets(),
        "threads": threads(),
        "memory": memory,
    }
