# Generated from tests/_async/test_strangers.py. Do not edit.
"""Networks of strangers: redirects, a CA of one's own, a certificate that nobody knows, a proxy before TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from llmkit import ConfigError, ConnectionFailed, ProviderError, StreamTruncated, TextDelta
from llmkit.testing import Behaviour, Emulator, Fault, FaultProxy
from support.environment import forget_network
from support.kits import TRANSPORTS, WIRES, make_kit
from support.rows import database, rows
from support.tunnel import tunnelling

ANSWER = Behaviour(tokens=5, delay=0)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without a proxy and without a CA of somebody's own."""
    forget_network(monkeypatch)


@pytest.fixture(scope="module")
def company() -> trustme.CA:
    """Found a CA that no system knows."""
    return trustme.CA()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(behaviour=ANSWER) as running:
        yield running


@pytest.fixture
def proxy(company: trustme.CA, emulator: Emulator) -> Iterator[FaultProxy]:
    """Put TLS before the emulator, with a certificate of that CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    company.issue_cert("127.0.0.1").configure_cert(context)
    with FaultProxy(emulator.base_url, tls=context) as running:
        yield running


@pytest.fixture
def ca_file(company: trustme.CA, tmp_path: Path) -> str:
    """Write the CA's certificate."""
    path = tmp_path / "ca.pem"
    company.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def trusting(ca_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust that CA."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("wire", WIRES)
def test_a_redirect_does_not_get_the_key(
    emulator: Emulator, wire: str, status: int, transport: str
) -> None:
    """It is not followed, to another host or the same; the error says so, and nothing is tried again."""
    with Emulator() as elsewhere:
        for target in (elsewhere, emulator):
            location = f"{target.base_url}/v1/messages"
            emulator.script(Behaviour(status=status, headers={"location": location}))
            kit = make_kit(emulator, wire=wire, transport=transport)
            with pytest.raises(ProviderError, match="Redirects are not followed") as caught:
                kit.client.complete("Say hi")
            kit.close()
            assert caught.value.status_code == status
        assert elsewhere.requests == []
        assert elsewhere.open_connections == 0
        assert len(emulator.requests) == 2


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_ca_of_ones_own(emulator: Emulator, proxy: FaultProxy, transport: str) -> None:
    """SSL_CERT_FILE names it; then all is as without TLS, a cut too, and a connection serves again."""
    kit = make_kit(emulator, transport=transport, through=proxy)
    for _ in range(2):
        with kit.client.stream("Say hi") as stream:
            words = [text for text in stream.text()]
        assert len("".join(words).split()) == 5
    assert proxy.accepted == 1
    proxy.cut("reset")  # the kept connection
    emulator.script(Behaviour(tokens=30, delay=0.001))
    proxy.script(Fault(cut_at=2000))
    with pytest.raises(StreamTruncated) as caught:
        with kit.client.stream("Say hi") as stream:
            for _ in stream:
                pass
    assert caught.value.response is not None
    kit.close()
    emulator.wait_for_connections(0)


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stream_over_tls_is_cut_at_once(
    emulator: Emulator, proxy: FaultProxy, tmp_path: Path, transport: str
) -> None:
    """Leaving early stops the model behind TLS too, before the kit is closed and before its next word; the row says so."""
    emulator.script(Behaviour(tokens=5, delay=0, hold_at=2))
    kit = make_kit(
        emulator, transport=transport, through=proxy, ledger={"database": database(tmp_path)}
    )
    with kit.client.stream("Say hi") as stream:
        (word,) = stream.read() or []
    emulator.wait_until_gone(0)
    emulator.wait_for_connections(0)
    assert isinstance(word, TextDelta)
    assert emulator.requests[0].tokens_sent == 1
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]
    kit.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_certificate_that_is_not_trusted(
    emulator: Emulator,
    proxy: FaultProxy,
    ca_file: str,
    monkeypatch: pytest.MonkeyPatch,
    transport: str,
    name: str,
    tmp_path: Path,
) -> None:
    """One of an unknown CA, or for another host: an error that says so and how to mend it, after one attempt."""
    if name == "localhost":  # the certificate is for 127.0.0.1
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    kit = make_kit(
        emulator,
        transport=transport,
        ledger={"database": database(tmp_path)},
        providers={
            "anthropic": {
                "base_url": proxy.url.replace("127.0.0.1", name),
                "api_key": "test-key",
            }
        },
    )
    with pytest.raises(ConnectionFailed, match="certificate is not trusted") as caught:
        kit.client.complete("Say hi")
    kit.close()
    assert "SSL_CERT_FILE" in str(caught.value.hint)
    assert name not in caught.value.message
    assert not caught.value.can_retry
    assert emulator.requests == []
    assert [row["error_type"] for row in rows(tmp_path)] == ["connection_failed"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_read(
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    transport: str,
    content: str | None,
) -> None:
    """A wrong SSL_CERT_FILE is named."""
    path = tmp_path / "wrong.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    kit = make_kit(emulator, transport=transport)
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        kit.client.complete("Say hi")
    kit.close()


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_proxy_before_tls_sees_no_key(
    emulator: Emulator, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """HTTPS_PROXY: the proxy is asked for a tunnel, and told nothing else."""
    with tunnelling() as (url, heads):
        monkeypatch.setenv("HTTPS_PROXY", url)
        kit = make_kit(emulator, transport=transport, through=proxy)
        with kit.client.stream("Say hi") as stream:
            words = [text for text in stream.text()]
        kit.close()
    assert len("".join(words).split()) == 5
    assert [head.partition(" HTTP")[0] for head in heads] == [
        proxy.url.replace("https://", "CONNECT ")
    ]
    assert "test-key" not in heads[0]
    assert emulator.requests[0].status == 200


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("transport", [*TRANSPORTS, "auto"])
def test_a_proxy_that_speaks_tls_itself(
    company: trustme.CA,
    emulator: Emulator,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    transport: str,
) -> None:
    """An https:// proxy is trusted as the provider is: by the CA that the environment names. What cannot use it says so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    company.issue_cert("127.0.0.1").configure_cert(context)
    with tunnelling() as (url, heads), FaultProxy(url, tls=context) as outer:
        monkeypatch.setenv("HTTPS_PROXY", outer.url)
        kit = make_kit(emulator, transport=transport, through=proxy)
        try:
            reply = kit.client.complete("Say hi")
        except ConfigError as error:
            assert transport == "native"  # of threads, and on uvloop
            assert '"httpx"' in str(error.hint)
            return
        finally:
            kit.close()
    assert len(reply.text.split()) == 5
    assert [head.partition(" HTTP")[0] for head in heads] == [
        proxy.url.replace("https://", "CONNECT ")
    ]
