"""`python -m support.budget_worker SETTINGS CALLS`: calls in one process, ten at a time, on the budgets of the settings; prints how many were made."""

from __future__ import annotations

import asyncio
import json
import sys

from llmkit import BudgetExceeded, BudgetUnavailable, Kit


async def main(settings: str, calls: int) -> None:
    """Make the calls. Those that are refused are not counted: for want of room, or because a busy machine answers too late."""
    kit = Kit(json.loads(settings))
    gate = asyncio.Semaphore(10)
    made = 0

    async def call(number: int) -> None:
        nonlocal made
        async with gate:
            try:
                await kit.async_client.complete("Say hi", user=number % 5, max_tokens=50)
            except (BudgetExceeded, BudgetUnavailable):
                return
            made += 1

    await call(0)
    print("begun", flush=True)
    await asyncio.gather(*map(call, range(1, calls)))
    await kit.aclose()
    print(made, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
