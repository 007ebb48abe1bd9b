"""Tools that the hosts of the contract offer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from llmkit import ToolContext


def look(word: str, context: ToolContext) -> dict[str, Any]:
    """Look up a word."""
    return {"word": word, "secret": "canary-of-a-result", "user": context.caller.user}


def wait(folder: str, context: ToolContext) -> str:
    """Wait in a thread until the test lets it go, and leave a trace when nobody waits for it, and when it ends."""
    place = Path(folder)
    (place / "began").touch()
    while not (place / "go").exists():
        if context.stopped:
            (place / "stopped").touch()
        time.sleep(
            0.01
        )  # in another process than the test's nothing can wake it, and a greenlet has to let others go on
    (place / "ended").touch()
    return "done"


async def await_(folder: str) -> str:
    """Wait in the event loop until it is cancelled."""
    place = Path(folder)
    (place / "began").touch()
    try:
        await asyncio.sleep(3600)
    finally:
        (place / "ended").touch()
    return "never"
