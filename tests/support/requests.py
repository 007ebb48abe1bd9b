"""Requests that go to a transport without a client."""

from __future__ import annotations

from llmkit.providers.base import HTTPRequest


def models(url: str, **headers: str) -> HTTPRequest:
    """Ask which models there are."""
    return HTTPRequest("GET", f"{url}/v1/models", {"x-api-key": "test-key", **headers}, b"")
