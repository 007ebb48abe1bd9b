"""Google's SDK, that calls the emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any


def _client(base_url: str, *, vertex: bool = False, **more: Any) -> Any:
    from google import genai
    from google.genai import types

    # Nothing here is over TLS, whose certificates take longer to load than an answer.
    options = types.HttpOptions(base_url=base_url, client_args={"verify": False}, **more)
    if not vertex:
        return genai.Client(api_key="test-key", http_options=options)
    from google.oauth2.credentials import Credentials

    own: dict[str, Any] = {"project": "p", "location": "eu", "credentials": Credentials("token")}
    return genai.Client(vertexai=True, http_options=options, **own)


@contextmanager
def google(base_url: str, *, vertex: bool = False) -> Iterator[Any]:
    """Make a client for threads."""
    client = _client(base_url, vertex=vertex)
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def async_google(base_url: str, *, vertex: bool = False) -> AsyncIterator[Any]:
    """Make a client for event loops, over httpx2: the SDK's own choice warns that it inherits from aiohttp."""
    import httpx2

    client = _client(
        base_url,
        vertex=vertex,
        async_client_args={"transport": httpx2.AsyncHTTPTransport(verify=False)},
    )
    try:
        yield client.aio
    finally:
        await client.aio.aclose()
        client.close()
