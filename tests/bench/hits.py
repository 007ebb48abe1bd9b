"""`python tests/bench/hits.py URL`: what a call costs that goes to the provider, and one whose answer is kept: processor seconds, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from llmkit import Kit

CALLS = 300


async def cost(kit: Kit, *, keeps: bool) -> float:
    """Make calls, one after the other; return the processor seconds of one."""
    before = time.process_time()
    for _ in range(CALLS):
        async with kit.async_client.stream("Tell me about relays.", cache=keeps) as stream:
            while await stream.read() is not None:
                pass
        assert stream.response.cached is keeps
    return (time.process_time() - before) / CALLS


async def main(url: str) -> None:
    """Measure both in turns, and print the best of each."""
    provider = {"base_url": url, "api_key": "any"}
    kit = Kit(
        {
            "providers": {"anthropic": provider},
            "models": {"default": "anthropic:claude-sonnet-4-5"},
            "ledger": False,
            "cache": {"scope": "all"},
        }
    )
    await kit.async_client.complete("Tell me about relays.", cache=True)
    async with kit.async_client.stream("Tell me about relays.", cache=True):
        pass
    costs = {
        keeps: min([await cost(kit, keeps=keeps) for _ in range(3)]) for keeps in (False, True)
    }
    await kit.aclose()
    print(json.dumps({"made": costs[False], "kept": costs[True]}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
