"""The environment of a network that knows no proxy and no CA of its own."""

from __future__ import annotations

import pytest

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


def forget_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what names a proxy or a CA out of the environment."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
