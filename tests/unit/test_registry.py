"""Which providers are known by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from llmkit.providers.registry import wire
from llmkit.providers.vendors import VENDORS
from support.decoding import call

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_known_providers_can_be_built(name: str) -> None:
    """Each row names a wire that takes its address, over TLS unless it is this machine."""
    known = VENDORS[name]
    key = None if known.key_variable is None else "test-key"
    provider = wire(known.wire)(name, api_key=key, base_url=known.base_url, headers={})
    request = provider.build_request(call(max_tokens=1), "m")
    assert provider.name == name
    assert request.url.startswith(("https://", "http://127.0.0.1:"))
    assert ("test-key" in str(request.headers)) == (key is not None)
    assert "test-key" not in repr(provider)


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_the_readme_knows_them(name: str) -> None:
    """Its table has a line for each, with where its key and its address come from."""
    lines = README.read_text(encoding="utf-8").splitlines()
    [line] = [line for line in lines if line.startswith(f"| `{name}` |")]
    known = VENDORS[name]
    assert f"| `{known.key_variable}` |" in line or (known.key_variable is None and "none" in line)
    assert known.url_variable is None or f"`{known.url_variable}`" in line


def test_rows_are_data() -> None:
    """Neither the tables nor a row can be changed by accident."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        VENDORS["openai"].wire = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        VENDORS["x"] = VENDORS["openai"]  # type: ignore[index]
