"""The transport of our own for threads where gevent has taken the place of sockets, TLS and locks."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from llmkit.testing import Behaviour, Emulator, FaultProxy
from support.processes import environ

SCRIPT = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from llmkit import Kit

kit = Kit({
    "providers": {"anthropic": {"api_key": "any", "base_url": sys.argv[1]}},
    "models": {"default": "anthropic:claude-haiku-4-5"},
    "transport": "native",
    "ledger": False,
})
begun, ended, most = 0, 0, 0

def read():
    global begun, ended, most
    with kit.client.stream("Say hi") as stream:
        stream.read()
        begun += 1
        most = max(most, begun - ended)
        while stream.read() is not None:
            pass
    ended += 1

for _ in range(2):
    gevent.joinall([gevent.spawn(read) for _ in range(10)], raise_error=True)
left = kit.client.stream("Say hi")
leaving = gevent.spawn(lambda: (gevent.sleep(0.05), left.abort()))
try:
    with left as stream:
        while stream.read() is not None:
            pass
    print("read to its end")
except Exception as error:
    print(type(error).__name__)
print(ended, most > 1)
kit.close()
"""


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_greenlets(scheme: str, tmp_path: Path) -> None:
    """They read side by side, one that is left ends at once, and connections serve again."""
    pytest.importorskip("gevent")
    authority = trustme.CA()
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    answer = Behaviour(tokens=20, delay=0.01)
    with (
        Emulator(behaviour=answer) as emulator,
        FaultProxy(emulator.base_url, tls=tls if scheme == "https" else None) as proxy,
    ):
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT, proxy.url],
            env=environ(SSL_CERT_FILE=str(trusted)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines() == ["StreamClosed", "20 True"]
        assert proxy.accepted <= 11
