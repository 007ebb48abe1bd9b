"""A lock on a file that lasts as long as the process that took it, and that its children do not hold on to."""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    # Past whatever is written: on Windows nobody else may write where the lock is.
    _FAR = 1 << 40

    def try_lock(descriptor: int) -> bool:
        """Lock an open file for this process; False if another one has it."""
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Lock an open file for this process; False if another one has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_at(number: int, path: Path) -> bool:
    """Whether an open file is the one with this name, and was not deleted."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(number))


class Descriptor:
    """An open file. The child of a fork closes its copy, which would keep the lock when its parent has died."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        _open.add(self)

    def close(self) -> None:
        """Close it, and with it its lock. May be called more than once."""
        _open.discard(self)
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)


_open: weakref.WeakSet[Descriptor] = weakref.WeakSet()


def _close_inherited() -> None:
    for descriptor in list(_open):
        descriptor.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
