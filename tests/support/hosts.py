"""Real servers for the tests: uvicorn, wsgiref and gunicorn, on ports that the system chooses."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from support.loops import LOOP
from support.processes import environ


@contextlib.contextmanager
def asgi_host(app: Any, **settings: Any) -> Iterator[str]:
    """Serve an ASGI app with uvicorn; yield its address."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="error",
            loop=LOOP,  # type: ignore[arg-type]  # asyncio or uvloop
            timeout_graceful_shutdown=2,
            ws="none",
            **settings,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = False
    block_on_close = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def wsgi_host(app: Callable[..., Any]) -> Iterator[str]:
    """Serve a WSGI app with wsgiref, a thread for each request; yield its address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.set_app(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def gunicorn_host(
    worker: str, config: dict[str, Any], *, threads: int = 8, send_buffer: int | None = None
) -> Iterator[str]:
    """Serve `support.gunicorn_app` with one gunicorn worker of a class; yield its address.

    At the end it must stop when it is told to, without a traceback in its log.
    """
    command = [
        "gunicorn",
        "support.gunicorn_app:app",
        "--bind",
        "fd://{fd}",
        "--log-level",
        "warning",
    ]
    command += ["--worker-class", worker, "--threads", str(threads), "--graceful-timeout", "5"]
    with _process(command, config, send_buffer) as (url, _):
        yield url


@contextlib.contextmanager
def uvicorn_host(
    config: dict[str, Any], *options: str, send_buffer: int | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve `support.uvicorn_app` in a process of its own; yield its address and the process. It must stop as gunicorn must."""
    command = ["uvicorn", "support.uvicorn_app:app", "--fd", "{fd}", "--log-level", "warning"]
    command += ["--timeout-graceful-shutdown", "5", "--loop", LOOP, *options]
    with _process(command, config, send_buffer) as served:
        yield served


@contextlib.contextmanager
def _process(
    command: list[str], config: dict[str, Any], send_buffer: int | None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    if send_buffer is not None:
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer
        )  # connections inherit it
    env = environ(LLMKIT_TEST_CONFIG=json.dumps(config))
    server = subprocess.Popen(
        [sys.executable, "-m", *(word.format(fd=listener.fileno()) for word in command)],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[listener.fileno()],
    )
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
    finally:
        server.terminate()
        try:
            _, log = server.communicate(timeout=20)
        finally:
            server.kill()
            listener.close()
    assert "Traceback" not in log, log
    assert server.returncode in (0, -signal.SIGTERM), log
