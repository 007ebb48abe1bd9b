"""What relaying costs: llmkit, a raw byte relay and a hand-written relay over the vendor's SDK, side by side.

    pip install -e '.[demo]' uvicorn[standard] anthropic sse-starlette
    python tests/bench/bench.py
    python tests/bench/bench.py --wires

The second compares llmkit with itself: the same relay over each wire format.

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from llmkit.testing import Behaviour, Emulator

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class App:
    """What is measured: the module, the wire format it reads, and whether it has a ledger."""

    module: str
    wire: str = "anthropic"
    has_ledger: bool = False


RELAYS: Mapping[str, App] = {
    "raw aiohttp": App("raw_relay"),
    "llmkit": App("llmkit_relay"),
    "llmkit, SQLite ledger": App("llmkit_relay", has_ledger=True),
    "anthropic SDK": App("sdk_relay"),
}
WIRES = ("anthropic", "openai", "gemini", "ollama", "openai-responses")
OVER_WIRES: Mapping[str, App] = {wire: App("llmkit_relay", wire) for wire in WIRES}
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
def serving(app: App, upstream: str) -> Iterator[int]:
    """Serve an app with uvicorn; yield its port."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as line:
        env = {**os.environ, "UPSTREAM": upstream, "WIRE": app.wire, "PYTHONPATH": str(HERE)}
        env.pop("LEDGER", None)
        if app.has_ledger:
            env["LEDGER"] = f"sqlite:///{folder}/ledger.db"
        command = [sys.executable, "-m", "uvicorn", f"relays.{app.module}:app", "--no-access-log"]
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


def compare(load: Load, apps: Mapping[str, App], runs: int) -> dict[str, float]:
    """Measure the apps in turns; return the median cost of each, in seconds a unit."""
    costs: dict[str, list[float]] = {name: [] for name in apps}
    behaviour = Behaviour(tokens=load.tokens, delay=load.delay)
    with contextlib.ExitStack() as stack:
        emulator = stack.enter_context(Emulator(behaviour=behaviour))
        ports = {
            name: stack.enter_context(serving(app, emulator.base_url)) for name, app in apps.items()
        }
        for name in apps:
            run(ports[name], load)  # what is made once
        for _ in range(runs):
            for name in apps:
                costs[name].append(run(ports[name], load))
    return {name: statistics.median(found) for name, found in costs.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="What relaying costs, side by side.")
    parser.add_argument("loads", nargs="*", default=list(LOADS), metavar=f"{{{','.join(LOADS)}}}")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--wires", action="store_true", help="llmkit over each wire format, and nothing else"
    )
    wanted = parser.parse_args()
    apps = OVER_WIRES if wanted.wires else RELAYS
    print("| load | " + " | ".join(apps) + " |\n|---" + "|---" * len(apps) + "|")
    for name in wanted.loads:
        load = LOADS[name]
        costs = compare(load, apps, wanted.runs)
        scale = 1e6 if load.unit.startswith("µs") else 1e3
        base = next(iter(costs.values()))
        cells = [f"{cost * scale:.3g} ({cost / base:.2f}x)" for cost in costs.values()]
        print(f"| {load.title}, {load.unit} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
