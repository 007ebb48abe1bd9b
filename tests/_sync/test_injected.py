# Generated from tests/_async/test_injected.py. Do not edit.
"""A client of the app's own, of httpx or of httpx2: it works, its errors are ours, and it stays the app's."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmkit import Client, ConnectionFailed, ProviderTimeout, ServerFailed, StreamClosed
from llmkit.testing import Behaviour, Emulator
from support.answers import document, frames
from support.dead_ends import needs_full_queue, unanswered
from support.kits import make_kit
from support.rows import database, rows

LIBRARIES = ("httpx", "httpx2")


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    """Return each of the two; httpx2 comes with genai-prices."""
    return pytest.importorskip(request.param)


def test_a_client_of_the_apps_own(library: Any) -> None:
    """Whole and streamed answers, over its connections, which live on."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        with library.Client(headers={"x-app": "1"}) as client:
            kit = make_kit(emulator, http_client=client)
            assert (kit.client.complete("Say hi")).text
            with kit.client.stream("Say hi") as stream:
                assert [text for text in stream.text()]
            kit.close()
            assert not client.is_closed
        assert {request.headers["x-app"] for request in emulator.requests} == {"1"}


COUNTS = {"input_tokens": 3, "output_tokens": 2}
WHOLE = json.dumps(document("anthropic", "All quiet.", usage=COUNTS)).encode()
STREAM = b"".join(frames("anthropic", "All quiet.", usage=COUNTS))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_mocked_transport(library: Any, packed: bool) -> None:
    """A response that is given whole, as in the tests of an app, is an answer."""

    def reply(request: Any) -> Any:
        body = STREAM if json.loads(request.content).get("stream") else WHOLE
        if packed:
            return library.Response(
                200, content=gzip.compress(body), headers={"content-encoding": "gzip"}
            )
        return library.Response(200, content=body)

    with library.Client(transport=library.MockTransport(reply)) as client:
        ours = Client("anthropic:claude-sonnet-4-5", api_key="k", http_client=client)
        assert (ours.complete("Say hi")).text == "All quiet."
        with ours.stream("Say hi") as stream:
            assert [text for text in stream.text()] == ["All quiet."]
        ours.close()


def test_a_hook_that_reads_the_answer(library: Any) -> None:
    """A client that logs what it gets has read the answer before us."""

    def read(answer: Any) -> None:
        answer.read()

    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        with library.Client(event_hooks={"response": [read]}) as client:
            kit = make_kit(emulator, http_client=client)
            assert (kit.client.complete("Say hi")).text
            with kit.client.stream("Say hi") as stream:
                assert [text for text in stream.text()]
            kit.close()


class Derived(httpx.Client):
    """A class of the app's own."""


def test_a_class_of_the_apps_own() -> None:
    """It counts by what it is derived from."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        with (
            Derived() as client,
            Client(
                "anthropic:claude-sonnet-4-5",
                api_key="test-key",
                base_url=emulator.base_url,
                http_client=client,
            ) as ours,
        ):
            assert (ours.complete("Say hi")).text


def test_its_errors_are_ours(library: Any) -> None:
    """A status, a refused connection, a cut, a provider that is silent."""
    behaviours = (Behaviour(status=500), Behaviour(hang_up=True), Behaviour(head_delay=60))
    expected = (ServerFailed, ConnectionFailed, ProviderTimeout)
    with Emulator() as emulator:
        emulator.script(*behaviours)
        with library.Client() as client:
            kit = make_kit(
                emulator,
                http_client=client,
                retry={"attempts": 1},
                timeouts={"first_content": 0.3},
            )
            for error in expected:
                with pytest.raises(error):
                    with kit.client.stream("Say hi"):
                        pass
            nowhere = make_kit(
                emulator,
                http_client=client,
                retry={"attempts": 1},
                providers={"anthropic": {"base_url": "http://127.0.0.1:1", "api_key": "test-key"}},
            )
            with pytest.raises(ConnectionFailed, match="could not connect"):
                nowhere.client.complete("Say hi")
            nowhere.close()
            kit.close()


UNSENT = {
    "ConnectError": ConnectionFailed,
    "ConnectTimeout": ProviderTimeout,
    "PoolTimeout": ProviderTimeout,
    "ProxyError": ConnectionFailed,
    "UnsupportedProtocol": ConnectionFailed,
}
SENT = ("ReadError", "WriteError", "RemoteProtocolError", "CloseError")


@pytest.mark.parametrize("name", [*UNSENT, *SENT])
def test_what_its_errors_say_of_the_request(library: Any, name: str, tmp_path: Path) -> None:
    """An error before there was a connection costs nothing; after it nobody knows what was read."""

    def fail(_: object) -> Any:
        raise getattr(library, name)("it failed")

    with Emulator() as emulator:
        with library.Client(transport=library.MockTransport(fail)) as client:
            kit = make_kit(
                emulator,
                http_client=client,
                retry={"attempts": 1},
                timeouts={"connect": 7},
                ledger={"database": database(tmp_path)},
            )
            with pytest.raises(UNSENT.get(name, ConnectionFailed)) as caught:
                kit.client.complete("Say hi")
            kit.close()
    (row,) = rows(tmp_path)
    assert caught.value.sent == (name in SENT)
    assert (row["cost_usd"] is None) == (name in SENT)
    if isinstance(caught.value, ProviderTimeout):
        assert (caught.value.clock, row["error_code"]) == ("connect", "connect")
        assert "7 s" in str(caught.value)
    else:
        assert ("not connect to the provider" in str(caught.value)) == (name in UNSENT)


@needs_full_queue
def test_its_connect_clock_is_ours(library: Any) -> None:
    """An address that does not answer is given up by our own clock."""
    with unanswered() as url, Emulator() as emulator:
        with library.Client() as client:
            kit = make_kit(
                emulator,
                http_client=client,
                retry={"attempts": 1},
                timeouts={"connect": 0.2},
                providers={"anthropic": {"base_url": url, "api_key": "test-key"}},
            )
            with pytest.raises(ProviderTimeout) as caught:
                kit.client.complete("Say hi")
            assert caught.value.clock == "connect"
            kit.close()


def test_leaving_its_stream_stops_the_provider(library: Any) -> None:
    """A stream that is left is cut, and one that is stopped says so."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0, hold_at=2)) as emulator:
        with library.Client() as client:
            kit = make_kit(emulator, http_client=client)
            with kit.client.stream("Say hi") as stream:
                stream.read()
            emulator.wait_until_gone(0)
            with pytest.raises(StreamClosed):
                with kit.client.stream("Say hi") as stream:
                    stream.read()
                    stream.abort()
                    while True:
                        stream.read()
            kit.close()
