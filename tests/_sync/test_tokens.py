# Generated from tests/_async/test_tokens.py. Do not edit.
"""A token in place of a key, fetched for each call."""

from __future__ import annotations

import sys
import threading
from itertools import count
from typing import Any

import pytest

from llmkit import AuthenticationFailed, Kit, ProviderTimeout
from llmkit.testing import Behaviour, Emulator

PROJECT = "/v1/projects/p/locations/eu/publishers"
PLACES = {"anthropic": f"{PROJECT}/anthropic", "gemini": f"{PROJECT}/google"}


def kit_of(emulator: Emulator, wire: str, token: Any, **more: Any) -> Kit:
    """Make a kit whose provider takes a token."""
    provider = {"wire": wire, "base_url": emulator.base_url + PLACES[wire], "token": token}
    return Kit(
        {
            "providers": {"vertex": provider},
            "models": {"default": "vertex:claude-sonnet-4-5"},
            "retry": {"wait_initial": 0.001, "wait_max": 0.002},
            "ledger": False,
            **more,
        }
    )


@pytest.mark.parametrize("wire", PLACES)
def test_each_request_has_its_own(wire: str) -> None:
    """Also one that is made again; it is fetched beside the event loop, and is in no address."""
    numbers, threads = count(1), []

    def token() -> str:
        threads.append(threading.current_thread())
        return f"token-{next(numbers)}"

    with Emulator(behaviour=Behaviour(delay=0, tokens=3)) as emulator:
        emulator.script(Behaviour(status=500))
        kit = kit_of(emulator, wire, token)
        reply = kit.client.complete("Hi")
        with kit.client.stream("Hi") as stream:
            for _ in stream:
                pass
        kit.close()
        requests = emulator.requests
    assert reply.text == stream.response.text == "Hello! This answer"
    assert [request.status for request in requests] == [500, 200, 200]
    assert {request.headers["authorization"] for request in requests} == {"[redacted]"}
    assert not any("x-api-key" in request.headers for request in requests)
    assert len(threads) == 3


def fails() -> str:
    """Fail with a secret."""
    raise RuntimeError("secret-of-the-app")


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (fails, r"its function failed \(RuntimeError\)"),
        (sys.exit, r"its function failed \(SystemExit\)"),
        (lambda: next(iter(())), "its function failed"),
        (lambda: None, "its function returned none"),
        (lambda: "", "its function returned none"),
        (lambda: "secret\nof", "its function returned none"),
        (lambda: b"secret", "its function returned none"),
    ],
)
def test_without_one_nothing_is_sent(token: Any, words: str) -> None:
    """The error says whose token it is, and not what the function said."""
    with Emulator() as emulator:
        kit = kit_of(emulator, "gemini", token)
        with pytest.raises(AuthenticationFailed, match=f"no token for vertex: {words}") as raised:
            kit.client.complete("Hi")
        kit.close()
        assert emulator.requests == []
    assert "secret" not in str(raised.value)
    assert raised.value.provider == "vertex"


def test_a_slow_function_is_not_the_providers_time() -> None:
    """The wait for it ends with the call's time; the error says whose time it was, and nothing is asked."""
    go_on = threading.Event()

    def slow() -> str:
        go_on.wait(0.3)
        return "late"

    with Emulator() as emulator:
        kit = kit_of(emulator, "gemini", slow, timeouts={"total": 0.1})
        with pytest.raises(
            ProviderTimeout, match=r"providers\.vertex\.token did not return"
        ) as raised:
            kit.client.complete("Hi")
        go_on.set()
        kit.close()
        assert emulator.requests == []
    assert (raised.value.clock, raised.value.provider, raised.value.sent) == (
        "total",
        "vertex",
        False,
    )
    assert "timeouts.total" in str(raised.value)


def test_a_timeout_of_its_own() -> None:
    """Is a failure of the function, as any other."""

    def gives_up() -> str:
        raise TimeoutError

    with Emulator() as emulator:
        kit = kit_of(emulator, "gemini", gives_up)
        with pytest.raises(AuthenticationFailed, match=r"its function failed \(TimeoutError\)"):
            kit.client.complete("Hi")
        kit.close()


def test_a_refused_token_is_no_refused_key() -> None:
    """The error says whose function it is of; a key beside it cannot be set."""
    with Emulator(behaviour=Behaviour(status=401)) as emulator:
        kit = kit_of(emulator, "gemini", lambda: "old")
        with pytest.raises(AuthenticationFailed) as raised:
            kit.client.complete("Hi")
        kit.close()
    assert "providers.vertex.token" in str(raised.value)
    assert "API key" not in str(raised.value)


def test_another_model_answers() -> None:
    """Where one has no token, the next one of the alias is asked."""
    with Emulator(behaviour=Behaviour(delay=0, tokens=3)) as emulator:
        kit = kit_of(
            emulator,
            "gemini",
            fails,
            providers={
                "vertex": {
                    "wire": "gemini",
                    "base_url": emulator.base_url + PLACES["gemini"],
                    "token": fails,
                },
                "openai": {"base_url": emulator.openai_base_url, "api_key": "k"},
            },
            models={"default": ["vertex:m", "openai:gpt-5-mini"]},
        )
        reply = kit.client.complete("Hi")
        kit.close()
    assert reply.provider == "openai"
