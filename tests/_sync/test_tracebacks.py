# Generated from tests/_async/test_tracebacks.py. Do not edit.
"""What a traceback shows to a debug page or an error tracker: where, and nothing of what was said."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from llmkit import Client, Stream, ConfigError, Kit, LLMKitError
from llmkit.errors import LedgerUnavailable
from llmkit.ledger.host import HostLedger
from llmkit.ledger.sql import EngineStore
from llmkit.ledger.worker import WorkerName
from llmkit.providers.anthropic import Anthropic
from llmkit.testing import Behaviour, Emulator
from support.dead_ends import needs_full_queue, unanswered
from support.kits import TRANSPORTS, WIRES, make_kit, settings
from support.raw_provider import raw_provider
from support.tracebacks import PROVIDERS_WORDS, shown

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WORDS = PROVIDERS_WORDS.encode()
SAID = Behaviour(text=("a", "b", "c"), delay=0)

# How the emulator fails.
FAILURES = {
    "status 400": Behaviour(status=400, message=PROVIDERS_WORDS),
    "status 401": Behaviour(status=401, message=PROVIDERS_WORDS),
    "status 429": Behaviour(status=429, message=PROVIDERS_WORDS),
    "status 500": Behaviour(status=500, message=PROVIDERS_WORDS),
    "a page": Behaviour(status=503, body=WORDS, content_type="text/html"),
    "no stream": Behaviour(body=WORDS, content_type="text/html"),
    "an error inside": Behaviour(error_frame_at=2, message=PROVIDERS_WORDS, delay=0),
    "not JSON": Behaviour(malformed_at=1, delay=0),
    "no end": Behaviour(text=("a", PROVIDERS_WORDS), terminal=False, delay=0),
    "cut": Behaviour(text=(PROVIDERS_WORDS,) * 40, cut_at=900, delay=0),
    "reset": Behaviour(text=(PROVIDERS_WORDS,) * 40, cut_at=900, reset=True, delay=0),
    "cut at once": Behaviour(cut_at=0),
    "hung up": Behaviour(hang_up=True),
    "hung up hard": Behaviour(hang_up=True, reset=True),
    "silent": Behaviour(head_delay=60),
    "fell silent": Behaviour(text=(PROVIDERS_WORDS, "a"), delay=0, stall_at=1),
    "brotli": Behaviour(headers={"content-encoding": "br"}, body=WORDS),
    "not gzip": Behaviour(headers={"content-encoding": "gzip"}, body=WORDS),
}
# What no emulator sends.
GARBAGE = {
    "no status": WORDS + b" 200\r\n\r\n",
    "no HTTP": b"\x00\x01" + WORDS,
    "a bad header": b"HTTP/1.1 200 OK\r\n" + WORDS + b"\r\n\r\n",
    "a bad chunk": HEAD + WORDS + b"\r\n",
    "half a chunk": HEAD + b"ff\r\n" + WORDS,
    "a long header": b"HTTP/1.1 200 OK\r\nx-long: " + WORDS * 20_000 + b"\r\n\r\n",
    "half a body": b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + WORDS,
}
TIMEOUTS = {"first_content": 0.3, "idle": 0.3, "total": 0.4}


def ask(client: Client, *, streaming: bool, **options: Any) -> None:
    """Ask, and read all of the answer."""
    if streaming:
        with client.stream("Say hi", **options) as stream:
            for _ in stream:
                pass
    else:
        client.complete("Say hi", **options)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("failure", FAILURES)
def test_failures_of_a_provider(failure: str, streaming: bool, transport: str) -> None:
    """Whatever a provider does, no frame of the error or of what it came from holds key, prompt or answer."""
    for wire in WIRES:
        with Emulator(behaviour=FAILURES[failure]) as emulator:
            kit = make_kit(
                emulator,
                wire=wire,
                transport=transport,
                retry={"attempts": 1},
                timeouts=TIMEOUTS,
            )
            with pytest.raises(LLMKitError) as caught:
                ask(kit.client, streaming=streaming, system="Say hi")
            kit.close()
        assert shown(caught.value) == []


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage(garbage: str, transport: str) -> None:
    """What an HTTP library stumbles over is not in the error, its frames or what it came from."""
    with Emulator() as emulator, raw_provider(GARBAGE[garbage]) as url:
        kit = make_kit(
            emulator,
            transport=transport,
            retry={"attempts": 1},
            providers={"anthropic": {"base_url": url, "api_key": "test-key"}},
        )
        for streaming in (True, False):
            with pytest.raises(LLMKitError) as caught:
                ask(kit.client, streaming=streaming)
            assert shown(caught.value) == []
        kit.close()


@needs_full_queue
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_connection(transport: str) -> None:
    """Refused, unanswered, or to a server that is not trusted."""
    with Emulator() as emulator, unanswered() as nowhere:
        for url in (nowhere, "http://127.0.0.1:1", emulator.base_url.replace("http:", "https:")):
            kit = make_kit(
                emulator,
                transport=transport,
                retry={"attempts": 1},
                timeouts={"connect": 0.2},
                providers={"anthropic": {"base_url": url, "api_key": "test-key"}},
            )
            with pytest.raises(LLMKitError) as caught:
                ask(kit.client, streaming=True)
            kit.close()
            assert shown(caught.value) == []


class Spoils:
    """A middleware that fails, before the call or after."""

    def __init__(self, *, before: bool) -> None:
        self._before = before

    def handle(self, call: Any, call_next: Any) -> Stream:
        if not self._before:
            call_next(call)
        raise FileNotFoundError("a middleware's own error")


WRONG: dict[str, Callable[[Client], Any]] = {
    "a model": lambda client: client.complete("Say hi", model="nobody:x"),
    "an option": lambda client: client.complete("Say hi", max_tokens=0),
    "an unknown option": lambda client: client.complete("Say hi", sytem="Say hi"),
    "a user": lambda client: client.complete("Say hi", user=["Say hi"]),
    "a role": lambda client: client.complete([{"role": "Say hi", "content": "Say hi"}]),
    "a part": lambda client: client.complete([{"role": "user", "content": ["Say hi", 1]}]),
    "half a pair": lambda client: client.complete("Say hi\ud800"),
    "extra": lambda client: client.complete("Say hi", extra={"Say hi": object()}),
    "a key in extra": lambda client: client.complete("Say hi", extra={"stream": "Say hi"}),
    "half a pair in extra": lambda client: client.complete("a", extra={"x": "Say hi\ud800"}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_calls(wrong: str) -> None:
    """What is wrong with a call is said without what was said in it."""
    with Emulator(behaviour=SAID) as emulator:
        kit = make_kit(emulator)
        with pytest.raises((LLMKitError, TypeError)) as caught:
            WRONG[wrong](kit.client)
        kit.close()
    assert shown(caught.value) == []


@pytest.mark.parametrize("before", [True, False])
def test_a_middlewares_own_error(before: bool) -> None:
    """It comes through as it is, and our frames show nothing."""
    with Emulator(behaviour=SAID) as emulator:
        kit = make_kit(emulator, middleware=[Spoils(before=before)])
        with pytest.raises(FileNotFoundError) as caught:
            ask(kit.client, streaming=True)
        kit.close()
    assert shown(caught.value) == []


def test_a_stopped_call() -> None:
    """Nor does a call that somebody stopped."""
    with Emulator(behaviour=Behaviour(text=(PROVIDERS_WORDS,) * 3, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator)
        with pytest.raises(LLMKitError) as caught:
            with kit.client.stream("Say hi") as stream:
                for _ in stream:
                    stream.abort()
        kit.close()
    assert shown(caught.value) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: Client("anthropic:m", api_key="test-key\n\x00"),
        lambda: Client("anthropic:m", api_key="test-key", base_url="ftp://test-key"),
        lambda: Client("nobody:m", api_key="test-key"),
        lambda: Anthropic(api_key="test-key\x00"),
        lambda: Client.from_config({"providers": {"x": {"api_key": ["test-key"]}}}),
        lambda: Client.from_config(
            {
                "providers": {"openai": {"api_key": "test-key"}},
                "ledger": {"database": "mysql://ann:test-key@x/y"},
            }
        ),
    ],
)
def test_wrong_settings(make: Callable[[], object]) -> None:
    """What is wrong in the settings is said without a key or a password."""
    with pytest.raises(ConfigError) as caught:
        make()
    assert shown(caught.value) == []


class Lazy(Mapping[str, object]):
    """Settings that are looked up when they are read, and cannot be."""

    def __getitem__(self, name: str) -> object:
        raise FileNotFoundError("the host's own error")

    def __iter__(self) -> Iterator[str]:
        raise FileNotFoundError("the host's own error")

    def __len__(self) -> int:
        return 1


def test_settings_that_fail_by_themselves() -> None:
    """The host's own error comes through; what reads the settings holds those beside it, and shows none."""
    with pytest.raises(FileNotFoundError) as caught:
        Client.from_config({"providers": {"x": {"api_key": "test-key"}, "y": Lazy()}})
    assert shown(caught.value) == []


def test_a_hosts_database_that_is_down() -> None:
    """Row and password of the database were in the hands of SQLAlchemy and of its driver: their frames show neither."""
    engine = sa.create_engine("postgresql+psycopg://ann:test-key@127.0.0.1:1/app")
    store = EngineStore(engine, worker=WorkerName())
    ledger = HostLedger(store, from_async=asyncio.to_thread)
    with Emulator(behaviour=SAID) as emulator:
        kit = Kit(settings(emulator), ledger=ledger)
        with pytest.raises(LedgerUnavailable) as caught:
            kit.client.complete("a", user=PROVIDERS_WORDS)
        kit.close()
        assert emulator.requests == []
    frames = [
        frame.f_code.co_filename
        for frame, _ in traceback.walk_tb(caught.value.__cause__.__traceback__)
    ]
    assert any("psycopg" in name for name in frames)
    assert shown(caught.value) == []


def test_what_the_system_said_is_the_cause_alone() -> None:
    """It is shown, for it says what was wrong with the network; what it came from may hold a request, and is not."""

    def fail(_: object) -> Any:
        try:
            try:
                raise ValueError(PROVIDERS_WORDS)
            except ValueError as error:
                raise ConnectionRefusedError("refused") from error
        except OSError as error:
            raise httpx.ConnectError(PROVIDERS_WORDS) from error

    with Emulator() as emulator:
        with httpx.Client(transport=httpx.MockTransport(fail)) as client:
            kit = make_kit(emulator, http_client=client, retry={"attempts": 1})
            with pytest.raises(LLMKitError) as caught:
                kit.client.complete("Say hi")
            kit.close()
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert shown(caught.value) == []


def test_the_hosts_own_error_stays_in_the_chain() -> None:
    """A call that is made while the host deals with an error of its own does not take that away."""
    with Emulator(behaviour=Behaviour(status=400)) as emulator:
        kit = make_kit(emulator)
        with pytest.raises(LLMKitError) as caught:
            try:
                raise LookupError("the host's")
            except LookupError:
                kit.client.complete("Say hi")
        kit.close()
    assert isinstance(caught.value.__context__, LookupError)
    assert caught.value.__context__.__traceback__ is not None
