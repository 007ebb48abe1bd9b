"""What only the garbage collector frees."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collecting() -> Iterator[list[str]]:
    """Name the types of what a block leaves in cycles of references; the list is filled when it ends."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
