# Generated from tests/_async/test_environment.py. Do not edit.
"""What the transports take from the environment: a proxy, and nothing that holds credentials."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmkit import Kit, ServerFailed
from llmkit.testing import Behaviour, Emulator
from support.environment import forget_network
from support.kits import TRANSPORTS, make_kit


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without a proxy."""
    forget_network(monkeypatch)


class Refusing(socketserver.StreamRequestHandler):
    """A proxy that notes what it is asked and answers 502."""

    asked: list[str]

    def handle(self) -> None:
        line = self.rfile.readline().decode()
        length = 0
        while (header := self.rfile.readline().decode().lower()) not in ("\r\n", ""):
            if header.startswith("content-length:"):
                length = int(header.partition(":")[2])
        self.rfile.read(length)
        self.server.asked.append(line)  # type: ignore[attr-defined]
        self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def proxy() -> Iterator[socketserver.TCPServer]:
    """Run the proxy."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        server.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_environments_proxy_is_used(
    proxy: socketserver.TCPServer, monkeypatch: pytest.MonkeyPatch, transport: str, name: str
) -> None:
    """A provider behind a proxy is asked through it."""
    monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_address[1]}")
    kit = Kit(
        {
            "providers": {"far": {"wire": "openai", "base_url": "http://model.invalid/v1"}},
            "models": {"default": "far:m"},
            "retry": {"attempts": 1},
            "transport": transport,
        }
    )
    with pytest.raises(ServerFailed, match="502"):
        kit.client.complete("Say hi")
    kit.close()
    assert proxy.asked == [  # type: ignore[attr-defined]
        "POST http://model.invalid/v1/chat/completions HTTP/1.1\r\n"
    ]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_needs_no_proxy_is_asked_directly(
    monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """NO_PROXY holds."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with Emulator(behaviour=Behaviour(text="Hi", delay=0)) as emulator:
        kit = make_kit(emulator, transport=transport)
        assert (kit.client.complete("Say hi")).text == "Hi"
        kit.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_netrc_is_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transport: str
) -> None:
    """A password for the host in ~/.netrc is not sent along."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Emulator(behaviour=Behaviour(text="Hi", delay=0)) as emulator:
        kit = make_kit(emulator, transport=transport)
        kit.client.complete("Say hi")
        kit.close()
        assert "authorization" not in emulator.requests[0].headers
