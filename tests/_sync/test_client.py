# Generated from tests/_async/test_client.py. Do not edit.
"""The client over the emulator: what is asked, what comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmkit import (
    Client,
    AuthenticationFailed,
    ConfigError,
    ConnectionFailed,
    Finish,
    InvalidRequest,
    Kit,
    ProtocolError,
    ProviderTimeout,
    QueueFull,
    RateLimited,
    ServerFailed,
    StreamTruncated,
    TextDelta,
)
from llmkit.testing import Behaviour, Emulator
from support.dead_ends import needs_full_queue, unanswered
from support.kits import TRANSPORTS, WIRES, make_kit
from support.rows import database, rows

TEXT = Behaviour(text="Hello there, dear reader.", delay=0)


@pytest.mark.parametrize("wire", WIRES)
def test_complete_returns_the_whole_answer(wire: str) -> None:
    """A call without streaming gives text, stop reason, reported usage, cost and where it came from."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, wire=wire)
        reply = kit.client.complete("Say hi", max_tokens=50, system="Be kind")
        kit.close()
        body = emulator.requests[0].body
    assert reply.text == "Hello there, dear reader."
    assert (reply.stop_reason, reply.provider) == ("end", wire)
    assert (reply.usage.input_source, reply.usage.output_source) == ("reported", "reported")
    assert reply.usage.output_tokens == 4
    assert reply.cost is not None
    assert reply.cost > 0
    assert reply.request_id
    name = {
        "anthropic": "anthropic-ratelimit-tokens-remaining",
        "openai": "x-ratelimit-remaining-tokens",
    }[wire]
    assert int(reply.rate_limits[name]) > 0
    assert body is not None
    assert not body.get("stream")


@pytest.mark.parametrize("wire", WIRES)
def test_stream_gives_events_and_then_the_response(wire: str) -> None:
    """A stream gives text as it comes and ends with Finish; the response is the same as of a whole answer."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, wire=wire)
        with kit.client.stream("Say hi") as stream:
            events = [event for event in stream]
            reply = stream.response
        whole = kit.client.complete("Say hi")
        kit.close()
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply.text
    assert isinstance(events[-1], Finish)
    assert sum(isinstance(event, Finish) for event in events) == 1
    assert (reply.text, reply.stop_reason, reply.usage) == (
        whole.text,
        whole.stop_reason,
        whole.usage,
    )


def test_text_iterates_over_the_text_alone() -> None:
    """`text()` gives what a reader sees."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator)
        with kit.client.stream("Say hi") as stream:
            texts = [text for text in stream.text()]
        kit.close()
    assert "".join(texts) == "Hello there, dear reader."


def test_a_stream_that_is_not_entered_sends_nothing() -> None:
    """Preparing a stream does not open it."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator)
        kit.client.stream("Say hi")
        kit.close()
        assert emulator.requests == []


def test_a_stream_is_entered_once() -> None:
    """A second `with` over the same stream is an error and not a second call."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator)
        manager = kit.client.stream("Say hi")
        with manager:
            pass
        with pytest.raises(RuntimeError, match="opened once"):
            manager.open()
        kit.close()
        assert len(emulator.requests) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_leaving_early_cuts_the_connection(transport: str) -> None:
    """Who leaves a stream stops the provider: it sees the connection go."""
    with Emulator(behaviour=Behaviour(tokens=50, hold_at=3)) as emulator:
        kit = make_kit(emulator, transport=transport)
        with kit.client.stream("Say hi") as stream:
            stream.read()
        emulator.wait_until_gone(0)
        kit.close()
        assert emulator.requests[0].state == "client_gone"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_complete_answer_leaves_its_connection_for_the_next(transport: str) -> None:
    """Calls one after the other go over one connection."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, transport=transport)
        for _ in range(3):
            kit.client.complete("Say hi")
        assert emulator.open_connections == 1
        kit.close()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("behaviour", "error", "attempts"),
    [
        (Behaviour(status=401), AuthenticationFailed, 1),
        (Behaviour(status=429, retry_after=0), RateLimited, 4),
        (Behaviour(status=500), ServerFailed, 4),
        (Behaviour(status=529), ServerFailed, 4),
        (Behaviour(hang_up=True), ConnectionFailed, 4),
        (Behaviour(body=b"<html>hello</html>", content_type="text/html"), ProtocolError, 4),
        (Behaviour(body=b""), StreamTruncated, 4),
    ],
)
def test_failures_before_content_are_retried_unseen(
    wire: str, behaviour: Behaviour, error: type[Exception], attempts: int
) -> None:
    """What may mend is tried again until the attempts are used up; the last error is raised, by its type."""
    with Emulator(behaviour=behaviour) as emulator:
        kit = make_kit(emulator, wire=wire)
        with pytest.raises(error) as caught:
            with kit.client.stream("Say hi"):
                pass
        kit.close()
        assert len(emulator.requests) == attempts
    assert caught.value.provider == wire  # type: ignore[attr-defined]
    if behaviour.status == 429:
        assert caught.value.rate_limits["retry-after"] == "0"  # type: ignore[attr-defined]


def test_a_second_attempt_may_succeed() -> None:
    """A failed attempt before the first content is not seen by the caller."""
    with Emulator(behaviour=TEXT) as emulator:
        emulator.script(Behaviour(status=503), Behaviour(error_frame_at=0))
        kit = make_kit(emulator)
        with kit.client.stream("Say hi") as stream:
            texts = [text for text in stream.text()]
        kit.close()
        assert len(emulator.requests) == 3
    assert "".join(texts) == "Hello there, dear reader."


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Behaviour(tokens=9, delay=0, error_frame_at=4), ServerFailed),
        (Behaviour(tokens=9, delay=0, terminal=False), StreamTruncated),
        (Behaviour(tokens=9, delay=0, malformed_at=4), ProtocolError),
        (Behaviour(tokens=9, delay=0.001, cut_at=1500), StreamTruncated),
        (Behaviour(tokens=9, delay=0.001, cut_at=1500, reset=True), StreamTruncated),
    ],
)
def test_failures_after_content_carry_the_partial_answer(
    wire: str, behaviour: Behaviour, error: type[Exception]
) -> None:
    """A stream that breaks off raises, with what came of it; it is not retried."""
    with Emulator(behaviour=behaviour) as emulator:
        kit = make_kit(emulator, wire=wire)
        text = ""
        with pytest.raises(error) as caught:
            with kit.client.stream("Say hi") as stream:
                for piece in stream.text():
                    text += piece
        kit.close()
        assert len(emulator.requests) == 1
    assert text
    assert caught.value.response.text == text  # type: ignore[attr-defined]
    assert caught.value.response.stop_reason is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("behaviour", "clock", "timeouts"),
    [
        (Behaviour(head_delay=60), "first_content", {"first_content": 1}),
        (Behaviour(ttft=60, pings=0.05), "first_content", {"first_content": 1}),
        (Behaviour(tokens=9, delay=0, stall_at=3, pings=0.05), "idle", {"idle": 0.2}),
        (Behaviour(tokens=9999, delay=0.01), "total", {"total": 1}),
    ],
)
def test_clocks_say_which_ran_out(
    tmp_path: Path,
    transport: str,
    behaviour: Behaviour,
    clock: str,
    timeouts: dict[str, float],
) -> None:
    """A silent provider is given up by the clock that ran out; its pings do not keep it alive."""
    more = {"timeouts": timeouts, "transport": transport, "retry": {"attempts": 1}}
    with Emulator(behaviour=behaviour) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)}, **more)
        with pytest.raises(ProviderTimeout) as caught:
            with kit.client.stream("Say hi") as stream:
                for _ in stream:
                    pass
        emulator.wait_until_gone(0)
        kit.close()
    assert caught.value.clock == clock
    (row,) = rows(tmp_path)
    assert (row["status"], row["error_type"], row["error_code"]) == ("failed", "timeout", clock)


@needs_full_queue
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("clock", ["connect", "total"])
def test_a_connection_that_never_comes_up(tmp_path: Path, transport: str, clock: str) -> None:
    """It is given up by the connect clock, or by the total one if that is shorter; the row names it."""
    with unanswered() as url:
        kit = Kit(
            {
                "providers": {"local": {"wire": "openai", "base_url": url}},
                "models": {"default": "local:m"},
                "timeouts": {clock: 0.3},
                "retry": {"attempts": 1},
                "transport": transport,
                "ledger": {"database": database(tmp_path)},
            }
        )
        with pytest.raises(ProviderTimeout) as caught:
            kit.client.complete("Say hi")
        kit.close()
    assert caught.value.clock == clock
    assert clock in str(caught.value)
    (row,) = rows(tmp_path)
    assert (row["status"], row["error_type"], row["error_code"]) == ("failed", "timeout", clock)


def test_nothing_listens() -> None:
    """An address where nobody listens gives a clear error, without the address."""
    client = Client.from_config(
        {
            "providers": {"local": {"wire": "openai", "base_url": "http://127.0.0.1:9"}},
            "models": {"default": "local:m"},
            "retry": {"attempts": 1},
            "ledger": False,
        }
    )
    with pytest.raises(ConnectionFailed) as caught:
        client.complete("Say hi")
    client.close()
    assert caught.value.hint
    assert "127.0.0.1" not in str(caught.value)


def test_the_queue_has_an_end() -> None:
    """With all places taken and nobody allowed to wait, a call is refused and nothing is sent."""
    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        kit = make_kit(emulator, concurrency={"per_process": 1, "queue_timeout": 0.01})
        with kit.client.stream("Say hi"):
            with pytest.raises(QueueFull):
                kit.client.complete("Say hi")
        assert kit.limit.running == 0
        assert len(emulator.requests) == 1
        kit.close()


@pytest.mark.parametrize(
    ("prompt", "options", "error"),
    [
        ([], {}, InvalidRequest),
        ([{"role": "wizard", "content": "x"}], {}, InvalidRequest),
        ("x", {"max_tokens": 0}, InvalidRequest),
        ("x", {"model": "nobody:x"}, ConfigError),
        ("x", {"model": "no-alias"}, ConfigError),
        ("x", {"temprature": 1}, TypeError),
    ],
)
def test_bad_input_sends_nothing(
    prompt: object, options: dict[str, object], error: type[Exception]
) -> None:
    """What is wrong is said before anything is sent."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator)
        with pytest.raises(error):
            kit.client.complete(prompt, **options)  # type: ignore[arg-type]
        kit.close()
        assert emulator.requests == []


def test_a_client_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key is said at construction, with the variable to set."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY"):
        Client("anthropic:claude-sonnet-4-5")


@pytest.mark.parametrize("model", [None, "nobody:x", "gpt-5"])
def test_a_client_needs_a_model_that_exists(model: str | None) -> None:
    """No model, an unknown provider and a bare name are refused at construction."""
    with pytest.raises(ConfigError):
        Client(model)


def test_settings_are_for_a_kit() -> None:
    """Whoever passes settings, or anything else that is no model, is told what takes them."""
    for given in ({"models": {"default": "anthropic:claude-sonnet-4-5"}}, Kit({}).config, 7):
        with pytest.raises(TypeError) as caught:
            Client(given)  # type: ignore[arg-type]
        assert "Kit(settings).client" in str(caught.value)
        assert str(caught.value).startswith("Client takes a model such as 'anthropic:")


def test_a_stream_that_is_not_open_says_how_to_open_it() -> None:
    """Whoever forgets the block is told of it, and not of a class that they have never heard of."""
    manager = Client("ollama:m").stream("hi")
    for name in ("text", "response", "read"):
        with pytest.raises(AttributeError, match="with client.stream") as caught:
            getattr(manager, name)
        assert "Open it first" in str(caught.value)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(manager, "nonsense")  # noqa: B009  # mypy knows that there is none
    with pytest.raises(TypeError, match="Open it first: with client.stream"):
        for _ in manager:  # type: ignore[attr-defined]
            pass
