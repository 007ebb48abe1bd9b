"""What relaying costs: llmkit, a raw byte relay and a hand-written relay over the vendor's SDK, side by side.

    pip install -e '.[demo]' uvicorn[standard] anthropic sse-starlette
    python tests/bench/bench.py

Each app runs in a process of its own under uvicorn. The emulator and the browsers share this one, so that what is measured is the
processor time of the app alone, which it tells itself. The runs of the apps take turns, and the medians are compared: the ratios hold on
another machine where the figures do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from llmkit.testing import Behaviour, Emulator

HERE = Path(__file__).parent
APPS: Mapping[str, tuple[str, bool]] = {
    "raw aiohttp": ("raw_relay", False),
    "llmkit": ("llmkit_relay", False),
    "llmkit, SQLite ledger": ("llmkit_relay", True),
    "anthropic SDK": ("sdk_relay", False),
}
TEXT = re.compile(rb'"text": ?"[^"]')
QUESTION = json.dumps({"messages": [{"role": "user", "content": "Tell me about relays."}]}).encode()


@dataclass(frozen=True, slots=True)
class Load:
    """What the browsers ask for.

    Attributes:
        title: what it shows.
        unit: what the cost is given for.
        path: which door they use.
        tokens: how many tokens an answer has; `delay` seconds lie between two.
        at_once: how many browsers there are; `each` is how many answers one reads.
        per: how many units one answer counts for.
    """

    title: str
    unit: str
    path: str
    tokens: int
    delay: float
    at_once: int
    each: int
    per: int


LOADS: Mapping[str, Load] = {
    "burst": Load("a token, all at once", "µs a token", "/stream", 500, 0.0, 64, 1, 500),
    "paced": Load("a token, one each 20 ms", "µs a token", "/stream", 100, 0.02, 64, 1, 100),
    "setup": Load("a stream of one token", "ms a stream", "/stream", 1, 0.0, 64, 8, 1),
    "call": Load("a whole answer", "ms a call", "/complete", 50, 0.0, 64, 8, 1),
}


@contextlib.contextmanager
def serving(name: str, upstream: str) -> Iterator[int]:
    """Serve an app with uvicorn; yield its port."""
    module, has_ledger = APPS[name]
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as line:
        env = {**os.environ, "UPSTREAM": upstream, "PYTHONPATH": str(HERE)}
        env.pop("LEDGER", None)
        if has_ledger:
            env["LEDGER"] = f"sqlite:///{folder}/ledger.db"
        command = [sys.executable, "-m", "uvicorn", f"relays.{module}:app", "--no-access-log"]
        command += ["--fd", str(line.fileno()), "--log-level", "warning"]
        server = subprocess.Popen(command, env=env, pass_fds=[line.fileno()])
        try:
            yield line.getsockname()[1]
        finally:
            server.terminate()
            server.wait()


async def browse(port: int, load: Load, count: int) -> None:
    """Read so many answers, one after the other, over one connection.

    Raises:
        RuntimeError: one of them is not complete.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    head = f"POST {load.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    for _ in range(count):
        writer.write(f"{head}content-length: {len(QUESTION)}\r\n\r\n".encode() + QUESTION)
        answer = await reader.readuntil(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in answer.lower():
            while not answer.endswith(b"\r\n0\r\n\r\n"):
                answer += await reader.read(1 << 20)
        else:
            length = re.search(rb"content-length: *(\d+)", answer, re.IGNORECASE)
            answer += await reader.readexactly(int(length[1]) if length else 0)
        if not answer.startswith(b"HTTP/1.1 200") or not TEXT.search(answer):
            raise RuntimeError(f"not an answer: {answer[:300]!r}")
        if load.path == "/stream" and not (b"[DONE]" in answer or b"message_stop" in answer):
            raise RuntimeError(f"not a whole answer: {answer[-300:]!r}")
    writer.close()
    await writer.wait_closed()


def run(port: int, load: Load) -> float:
    """Let all browsers read; return the processor seconds it cost the app, for each unit."""

    async def all_browsers() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(load.at_once):
                group.create_task(browse(port, load, load.each))

    before = cpu(port)
    asyncio.run(all_browsers())
    return (cpu(port) - before) / (load.at_once * load.each * load.per)


def cpu(port: int) -> float:
    """Ask an app for the processor seconds it has used. While it starts the question waits: its port is open already."""
    with urlopen(f"http://127.0.0.1:{port}/cpu", timeout=30) as answer:
        return float(answer.read())


def compare(load: Load, names: Sequence[str], runs: int) -> dict[str, float]:
    """Measure the apps in turns; return the median cost of each, in seconds a unit."""
    costs: dict[str, list[float]] = {name: [] for name in names}
    behaviour = Behaviour(tokens=load.tokens, delay=load.delay)
    with contextlib.ExitStack() as stack:
        emulator = stack.enter_context(Emulator(behaviour=behaviour))
        ports = {name: stack.enter_context(serving(name, emulator.base_url)) for name in names}
        for name in names:
            run(ports[name], load)  # what is made once
        for _ in range(runs):
            for name in names:
                costs[name].append(run(ports[name], load))
    return {name: statistics.median(found) for name, found in costs.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="What relaying costs, side by side.")
    parser.add_argument("loads", nargs="*", default=list(LOADS), metavar=f"{{{','.join(LOADS)}}}")
    parser.add_argument("--runs", type=int, default=5)
    wanted = parser.parse_args()
    print("| load | " + " | ".join(APPS) + " |\n|---" * (1) + "|---" * len(APPS) + "|")
    for name in wanted.loads:
        load = LOADS[name]
        costs = compare(load, list(APPS), wanted.runs)
        scale = 1e6 if load.unit.startswith("µs") else 1e3
        base = costs["raw aiohttp"]
        cells = [f"{cost * scale:.3g} ({cost / base:.2f}x)" for cost in costs.values()]
        print(f"| {load.title}, {load.unit} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
