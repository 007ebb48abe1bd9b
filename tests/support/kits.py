"""Kits that call the emulator."""

from __future__ import annotations

import os
from typing import Any

from llmkit import Kit
from llmkit.testing import Emulator, FaultProxy

WIRES = ("anthropic", "openai")
"""Those that most tests run over."""
ALL_WIRES = ("anthropic", "gemini", "ollama", "openai", "openai-responses")
MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3-flash",
    "ollama": "smollm2:135m",
    "openai": "gpt-5-mini",
    "openai-responses": "gpt-5-mini",
}
# All of them, but where an environment of tox leaves some to the others.
ASYNC_TRANSPORTS = tuple(
    os.environ.get("LLMKIT_TEST_TRANSPORTS", "httpx,aiohttp,native").split(",")
)
TRANSPORTS = tuple(each for each in ASYNC_TRANSPORTS if each != "aiohttp")


def url_of(emulator: Emulator, wire: str) -> str:
    """Return the address of a wire."""
    return emulator.openai_base_url if wire.startswith("openai") else emulator.base_url


def settings(emulator: Emulator, *, wire: str = "anthropic", **more: Any) -> dict[str, Any]:
    """Return settings whose one model answers at the emulator; retries hardly wait."""
    return {
        "providers": {
            wire: {"base_url": url_of(emulator, wire), "api_key": "test-key", "wire": wire}
        },
        "models": {"default": f"{wire}:{MODELS[wire]}"},
        "retry": {"wait_initial": 0.001, "wait_max": 0.002},
        "ledger": False,
        **more,
    }


def make_kit(
    emulator: Emulator, *, wire: str = "anthropic", through: FaultProxy | None = None, **more: Any
) -> Kit:
    """Make a kit of such settings, through a proxy or not; what is not a setting goes to the kit itself."""
    own = {"middleware", "http_client", "async_http_client", "clock", "now", "new_id"}
    options = {key: more.pop(key) for key in own & more.keys()}
    config = settings(emulator, wire=wire, **more)
    if through is not None:
        provider = config["providers"][wire]
        provider["base_url"] = provider["base_url"].replace(emulator.base_url, through.url)
    return Kit(config, **options)
