"""The proxy that fails on demand, as a socket sees it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

from llmkit.testing import Fault, FaultProxy

BODY = bytes(range(256)) * 40


@pytest.fixture
def target() -> Iterator[str]:
    """Serve whoever connects: wait for a byte, send the body, close."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line, contextlib.suppress(OSError):
                    if line.recv(1):
                        line.sendall(BODY)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://user:secret@127.0.0.1:{listener.getsockname()[1]}/v1?x=1"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@contextlib.contextmanager
def asking(proxy: FaultProxy) -> Iterator[socket.socket]:
    """Connect to the proxy and ask."""
    port = urlsplit(proxy.url).port
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        line.sendall(b"?")
        yield line


def read_all(line: socket.socket) -> bytes:
    """Read to the end."""
    found = b""
    while data := line.recv(65536):
        found += data
    return found


@pytest.mark.parametrize(
    "fault",
    [Fault(), Fault(piece=1), Fault(rate=1e6), Fault(latency=0.01), Fault(cut_at=len(BODY) + 1)],
)
def test_what_is_not_cut_arrives(target: str, fault: Fault) -> None:
    """However slowly and in however many pieces, the bytes are the target's."""
    with FaultProxy(target, fault=fault) as proxy, asking(proxy) as line:
        assert read_all(line) == BODY


@pytest.mark.parametrize("cut_at", [0, 1, 5000])
def test_a_cut_that_is_an_orderly_end(target: str, cut_at: int) -> None:
    """After so many bytes comes a FIN."""
    with FaultProxy(target, fault=Fault(cut_at=cut_at)) as proxy, asking(proxy) as line:
        assert read_all(line) == BODY[:cut_at]


@pytest.mark.parametrize("cut_at", [0, 5000])
def test_a_cut_that_is_a_reset(target: str, cut_at: int) -> None:
    """After so many bytes comes an RST."""
    fault = Fault(cut_at=cut_at, end="reset")
    with (
        FaultProxy(target, fault=fault) as proxy,
        asking(proxy) as line,
        pytest.raises(ConnectionResetError),
    ):
        read_all(line)


def test_silence_is_no_end(target: str) -> None:
    """A peer that is gone without a word sends nothing more, and takes whatever is sent to it."""
    fault = Fault(cut_at=10, end="silence")
    with FaultProxy(target, fault=fault) as proxy, asking(proxy) as line:
        assert line.recv(100) == BODY[:10]
        line.sendall(b"hello?")
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(1)


def test_each_connection_has_its_fault(target: str) -> None:
    """Those of the script come first, one each, then the default; it may be changed at any time."""
    with FaultProxy(target) as proxy:
        proxy.script(Fault(cut_at=1), Fault(cut_at=2))
        lengths = []
        for _ in range(3):
            with asking(proxy) as line:
                lengths.append(len(read_all(line)))
        proxy.fault = Fault(cut_at=3)
        with asking(proxy) as line:
            lengths.append(len(read_all(line)))
        assert lengths == [1, 2, len(BODY), 3]
        assert proxy.accepted == 4


def test_the_url_is_the_targets_elsewhere(target: str) -> None:
    """Only the address changes."""
    with FaultProxy(target) as proxy:
        here, there = urlsplit(proxy.url), urlsplit(target)
        assert here.port != there.port
        assert (here.username, here.password) == ("user", "secret")
        assert (here.path, here.query, here.hostname) == ("/v1", "x=1", "127.0.0.1")


def test_a_target_that_is_not_there() -> None:
    """A connection that cannot be passed on is reset."""
    with (
        FaultProxy("http://127.0.0.1:9") as proxy,
        pytest.raises(ConnectionError),
        asking(proxy) as line,
    ):
        read_all(line)


@pytest.mark.parametrize("end", ["close", "reset"])
def test_all_connections_cut_at_once(target: str, end: Literal["close", "reset"]) -> None:
    """Whoever is connected is cut off, and who comes later is served."""
    with FaultProxy(target) as proxy:
        proxy.script(Fault(cut_at=0, end="silence"), Fault(cut_at=9, end="silence"))
        with asking(proxy) as one, asking(proxy) as two:
            assert two.recv(100) == BODY[:9]
            proxy.cut(end)
            for line in (one, two):
                with contextlib.suppress(ConnectionResetError):
                    assert line.recv(1) == b""
                    assert end == "close"
        with asking(proxy) as line:
            assert read_all(line) == BODY


def test_it_stops_with_everything(target: str) -> None:
    """Stopping cuts the connections and may be done twice; then there is no address."""
    proxy = FaultProxy(target, fault=Fault(cut_at=0, end="silence")).start()
    with asking(proxy) as line:
        proxy.stop()
        with contextlib.suppress(ConnectionResetError):
            assert line.recv(1) == b""
    proxy.stop()
    with pytest.raises(RuntimeError, match="not running"):
        proxy.url  # noqa: B018


@pytest.mark.parametrize(
    "wrong", [{"latency": -1}, {"rate": 0}, {"piece": 0}, {"cut_at": -1}], ids=str
)
def test_a_wrong_fault_is_refused(wrong: dict[str, Any]) -> None:
    """A number that makes no sense is said so at once."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Fault(**wrong)


def test_a_wrong_target_is_refused() -> None:
    """A target needs a host and a port."""
    with pytest.raises(ValueError, match="with a port"):
        FaultProxy("redis://")
