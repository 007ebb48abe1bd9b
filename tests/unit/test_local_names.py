"""The names that a local server answers to."""

from __future__ import annotations

import socket

import pytest

from llmkit.testing.local_names import LocalNames

HERE = socket.gethostname()


@pytest.mark.parametrize(
    ("host", "ours", "others"),
    [
        (
            "127.0.0.1",
            (
                "127.0.0.1",
                "127.0.0.1:8000",
                "localhost:8000",
                "LOCALHOST",
                "[::1]:80",
                "localhost.",
            ),
            (
                "evil.example",
                "127.0.0.1.evil.example",
                "10.0.0.1",
                "",
                ":80",
                "[",
                "0",
                "a@localhost",
            ),
        ),
        ("::1", ("[::1]:8000", "localhost", "127.0.0.1"), ("evil.example", "[::2]", "::1:80")),
        ("localhost", ("localhost:1", "127.0.0.1", "[::1]"), ("evil.example", "10.0.0.1")),
        ("10.0.0.1", ("10.0.0.1:80", "localhost"), ("127.0.0.1", "10.0.0.2", "evil.example")),
        ("Box.lan", ("box.lan:80", "localhost"), ("127.0.0.1", "other.lan", "x.box.lan")),
        ("0.0.0.0", ("10.0.0.1", "[fe80::1]:80", HERE, "localhost"), ("evil.example", "")),
        ("::", ("10.0.0.1", "[::1]", HERE), ("evil.example", "evil.example:80")),
    ],
)
def test_names(host: str, ours: tuple[str, ...], others: tuple[str, ...]) -> None:
    """Its own name and address, whatever the port; on all addresses any address, for no page can have one."""
    names = LocalNames(host)
    assert [name for name in ours if name not in names] == []
    assert [name for name in others if name in names] == []
    assert None not in names
