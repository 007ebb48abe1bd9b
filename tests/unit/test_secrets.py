"""What is shown of values that hold a key or a prompt."""

from __future__ import annotations

import pytest

from llmkit import AsyncClient, Client, Config, Kit, Message
from llmkit.call import build_call
from llmkit.relay.payload import Payload
from support.canary import leaks
from support.decoding import PROVIDERS, call

CONFIG = {
    "providers": {
        "openai": {"api_key": "test-key", "headers": {"x-secret": "test-key"}},
        "local": {"wire": "openai", "base_url": "http://127.0.0.1:9/v1"},
    },
    "models": {"default": "openai:gpt-5-mini"},
    "relay": {"system": "Say hi"},
}


def test_settings_show_no_secret() -> None:
    """Neither a key nor a header, nor the password of a database, nor the system prompt."""
    database = {"database": "postgresql://user:test-key@db/app"}
    config = Config.of({**CONFIG, "ledger": database})
    assert leaks(config, str(config), config.providers["openai"], config.ledger) == []


@pytest.mark.parametrize("wire", sorted(PROVIDERS))
def test_requests_show_no_secret(wire: str) -> None:
    """A request that goes out holds the key and the prompt, and shows neither."""
    asked = call(messages=(Message.user("Say hi"),), system="Say hi", extra={"x": "Say hi"})
    request = PROVIDERS[wire].build_request(asked, "m")
    assert leaks(request.content.decode(), dict(request.headers)) == ["test-key", "Say hi"]
    assert leaks(request, PROVIDERS[wire], asked) == []


def test_calls_show_no_prompt() -> None:
    """A call may be logged by a middleware: it shows who and what model, not what was said."""
    asked = build_call(
        "Say hi",
        {"system": "Say hi", "stop": "Say hi", "user": "7"},
        call_id="c-1",
        default_model="default",
        default_max_tokens=9,
        streaming=True,
    )
    assert leaks(asked, Payload((Message.user("Say hi"),), "default")) == []
    assert "c-1" in repr(asked)


def test_clients_show_no_secret() -> None:
    """Nor does what holds them all."""
    kit = Kit(CONFIG)
    shown = [kit, kit.client, kit.async_client, kit.client.stream("Say hi")]
    shown += [Client("openai:m", api_key="test-key"), AsyncClient("openai:m", api_key="test-key")]
    assert leaks(*shown) == []
    kit.close()
