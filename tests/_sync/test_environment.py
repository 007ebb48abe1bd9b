# Generated from tests/_async/test_environment.py. Do not edit.
"""What the transports take from the environment: a proxy, and nothing that holds credentials."""

from __future__ import annotations

import base64
import socketserver
import threading
from collections.abc import Iterator
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from llmkit import ConfigError, ConnectionFailed, Kit, ServerFailed
from llmkit.testing import Behaviour, Emulator
from support.environment import forget_network
from support.kits import TRANSPORTS, make_kit
from support.rows import database, rows


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
        self.server.said = []  # type: ignore[attr-defined]
        while (header := self.rfile.readline().decode().lower()) not in ("\r\n", ""):
            self.server.said.append(header.strip())  # type: ignore[attr-defined]
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
    kit = far_away(transport=transport)
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


def far_away(scheme: str = "http", **more: Any) -> Kit:
    """Make a kit whose provider nobody reaches without a proxy."""
    return Kit(
        {
            "providers": {"far": {"wire": "openai", "base_url": f"{scheme}://model.invalid/v1"}},
            "models": {"default": "far:m"},
            "retry": {"attempts": 1},
            **more,
        }
    )


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_we_are_to_the_proxy(
    proxy: socketserver.TCPServer, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """The user and password of its URL, with what is escaped in them, in a header for the proxy."""
    address = f"127.0.0.1:{proxy.server_address[1]}"
    monkeypatch.setenv("HTTP_PROXY", f"http://me:p%23%40ss@{address}")
    kit = far_away(transport=transport)
    with pytest.raises(ServerFailed, match="502"):
        kit.client.complete("Say hi")
    kit.close()
    given = base64.b64encode(b"me:p#@ss").decode().lower()
    assert f"proxy-authorization: basic {given}" in proxy.said  # type: ignore[attr-defined]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_proxy_that_does_not_lead_to_the_provider(
    proxy: socketserver.TCPServer, monkeypatch: pytest.MonkeyPatch, transport: str, tmp_path: Path
) -> None:
    """Where it opens no tunnel nothing was sent: it is no connection, and costs nothing."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
    kit = far_away("https", transport=transport, ledger={"database": database(tmp_path)})
    with pytest.raises(ConnectionFailed, match="the proxy did not connect") as caught:
        kit.client.complete("Say hi")
    kit.close()
    assert proxy.asked == ["CONNECT model.invalid:443 HTTP/1.1\r\n"]  # type: ignore[attr-defined]
    assert not caught.value.sent
    (row,) = rows(tmp_path)
    assert Decimal(row["cost_usd"]) == 0


NOT_ALL_UNDERSTAND = "fd07:b51a:cc66:f0::/64,::1,[::2]:80,10.0.0.0/8,*.example,http://[,model.other"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_addresses_and_networks_in_no_proxy(
    proxy: socketserver.TCPServer, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """They are no error, with a proxy and without one, and the proxy is used for all that they do not mean."""
    monkeypatch.setenv("NO_PROXY", NOT_ALL_UNDERSTAND)
    with Emulator(behaviour=Behaviour(text="Hi", delay=0)) as emulator:
        kit = make_kit(emulator, transport=transport)
        assert (kit.client.complete("Say hi")).text == "Hi"
        kit.close()
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
        monkeypatch.setenv("NO_PROXY", f"{NOT_ALL_UNDERSTAND},127.0.0.0/8")
        kit = make_kit(emulator, transport=transport)
        assert (kit.client.complete("Say hi")).text == "Hi"
        kit.close()
    kit = far_away(transport=transport)
    with pytest.raises(ServerFailed, match="502"):
        kit.client.complete("Say hi")
    kit.close()
    assert len(proxy.asked) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "value", ["socks4://127.0.0.1:9", "http://127.0.0.1:port", "http://me:se#cret@127.0.0.1:9"]
)
def test_a_proxy_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, transport: str, value: str
) -> None:
    """It is an error of the settings that names the variable; what does not go there is called all the same."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    kit = far_away("https", transport=transport)
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as raised:
        kit.client.complete("Say hi")
    assert "cret" not in str(raised.value)
    kit.close()
    with Emulator(behaviour=Behaviour(text="Hi", delay=0)) as emulator:
        kit = make_kit(emulator, transport=transport)
        assert (kit.client.complete("Say hi")).text == "Hi"
        kit.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_socks_proxy(monkeypatch: pytest.MonkeyPatch, transport: str) -> None:
    """Over httpx it needs an extra of httpx's, over aiohttp there is none: the error says which it is."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    kit = far_away(transport=transport)
    if transport == "httpx" and find_spec("socksio") is not None:
        pytest.skip("it is installed here")
    with pytest.raises(ConfigError, match=r"ALL_PROXY names a socks5 proxy.*httpx\[socks\]"):
        kit.client.complete("Say hi")
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
