"""Which names of hosts can be looked up, and what a base URL says of one that cannot."""

from __future__ import annotations

import pytest

from llmkit import ConfigError
from llmkit.providers.host_names import is_host_name
from llmkit.providers.request import checked_base_url

SOUND = [
    "localhost",
    "api.example.com",
    "api.example.com.",
    "my_model-1",
    "127.0.0.1",
    "API.Example",
    "ex\u00e4mple.com",
    "xn--exmple-cua.com",
    "a" * 63 + ".example",
    ".".join(["a" * 49] * 5),
]
WRONG = [
    "a..b",
    ".x",
    "x..",
    ".",
    "a" * 64 + ".example",
    ".".join(["a" * 50] * 5),
    "xn--a.invalid",
    "XN--a.invalid",
    "ex\u00e4mple..com",
    "\u00e4" * 64,
    "\u2603.example",
    "a%41.example",
    "a,b",
]


@pytest.mark.parametrize("name", SOUND)
def test_a_name_that_can_be_looked_up(name: str) -> None:
    """It may be the host of a base URL."""
    assert is_host_name(name)
    assert checked_base_url("mine", f"https://{name}:8443/v1/") == f"https://{name}:8443/v1"


@pytest.mark.parametrize("name", WRONG)
def test_a_name_that_cannot(name: str) -> None:
    """It is an error of the settings that names the setting."""
    assert not is_host_name(name)
    with pytest.raises(ConfigError, match="the base URL of mine .*host name") as caught:
        checked_base_url("mine", f"http://{name}/v1")
    assert "providers.mine.base_url" in str(caught.value.hint)


@pytest.mark.parametrize("address", ["[::1]", "[fe80::1%25eth0]"])
def test_an_address_is_no_name(address: str) -> None:
    """It needs none."""
    assert checked_base_url("mine", f"http://{address}:1") == f"http://{address}:1"
