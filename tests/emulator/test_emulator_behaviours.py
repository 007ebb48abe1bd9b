"""What a behaviour changes in an answer, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.testing import Behaviour
from support.emulator import BY_NAME, WIRES, answer, events, text_of, whole


def test_own_headers_win() -> None:
    """Headers can be added, replaced and left out."""
    behaviour = Behaviour(
        headers={"Request-Id": "mine", "retry-after-ms": "5", "anthropic-organization-id": None}
    )
    headers = answer("anthropic", behaviour).framed_headers(keep_alive=True)
    assert headers["request-id"] == "mine"
    assert headers["retry-after-ms"] == "5"
    assert "anthropic-organization-id" not in headers


@pytest.mark.parametrize(
    ("status", "anthropic", "openai"),
    [
        (400, ("invalid_request_error", None), ("invalid_request_error", None)),
        (401, ("authentication_error", None), ("invalid_request_error", "invalid_api_key")),
        (418, ("invalid_request_error", None), ("invalid_request_error", None)),
        (429, ("rate_limit_error", None), ("requests", "rate_limit_exceeded")),
        (500, ("api_error", None), ("server_error", None)),
        (529, ("overloaded_error", None), ("server_error", None)),
    ],
)
def test_error_bodies(
    status: int, anthropic: tuple[str, None], openai: tuple[str, str | None]
) -> None:
    """An error status comes with the error body that the vendor would send with it."""
    sent = answer("anthropic", Behaviour(status=status))
    document = json.loads(sent.body)
    assert sent.status == status
    assert document["type"] == "error"
    assert document["request_id"] == sent.headers["request-id"]
    assert (document["error"]["type"], document["error"].get("details")) == anthropic
    assert sent.headers["x-should-retry"] == ("true" if status >= 429 else "false")
    document = json.loads(answer("openai", Behaviour(status=status)).body)
    assert (document["error"]["type"], document["error"]["code"]) == openai
    assert set(document["error"]) == {"message", "type", "param", "code"}


def test_named_errors() -> None:
    """A behaviour can name the error: an empty account, a spend limit, a wait in any form."""
    error = json.loads(
        answer("openai", Behaviour(status=429, error_type="insufficient_quota")).body
    )["error"]
    assert error["type"] == error["code"] == "insufficient_quota"
    behaviour = Behaviour(
        status=429, error_code="enforced_spend_limit_reached", message="No more.", retry_after=1.5
    )
    sent = answer("anthropic", behaviour)
    error = json.loads(sent.body)["error"]
    assert error["details"] == {"error_code": "enforced_spend_limit_reached"}
    assert error["message"] == "No more."
    assert sent.headers["retry-after"] == "1.5"
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert answer("openai", Behaviour(retry_after=date)).headers["retry-after"] == date


@pytest.mark.parametrize("wire", WIRES)
def test_error_inside_a_200(wire: str) -> None:
    """The error comes after so many tokens and ends the stream; whole, it is the body of a 200."""
    sent = answer(wire, Behaviour(error_frame_at=2, message="Sorry"))
    assert sent.status == 200
    assert sent.tokens == 2
    name, last = events(sent.body)[-1]
    assert name == ("error" if wire == "anthropic" else "")
    assert last["error"]["message"] == "Sorry"
    assert whole(wire, Behaviour(error_frame_at=0))["error"]["type"] in (
        "overloaded_error",
        "server_error",
    )


@pytest.mark.parametrize("wire", WIRES)
def test_malformed_frame(wire: str) -> None:
    """One event is broken off, after so many tokens, and the rest follows."""
    sound = answer(wire, Behaviour(tokens=3)).body
    for at in (0, 2, 3, 9):
        body = answer(wire, Behaviour(tokens=3, malformed_at=at)).body
        broken = BY_NAME[wire].broken
        assert body.count(broken) == 1
        assert body.replace(broken, b"") == sound
        before = body[: body.index(broken)]
        assert before.count(b"_delta" if wire == "anthropic" else b"null}],") >= min(at, 3)
    with pytest.raises(ValueError, match="Expecting|Unterminated"):
        whole(wire, Behaviour(malformed_at=1))


@pytest.mark.parametrize("wire", WIRES)
def test_missing_end(wire: str) -> None:
    """A stream can end without anything after its tokens, or without its very last event."""
    sound = answer(wire, Behaviour(tokens=3)).body
    marker = b"message_stop" if wire == "anthropic" else b"[DONE]"
    unmarked = answer(wire, Behaviour(tokens=3, end_marker=False)).body
    assert sound.startswith(unmarked)
    assert marker not in unmarked
    assert b"stop_reason" in unmarked or b'"finish_reason":"stop"' in unmarked
    cut = answer(wire, Behaviour(tokens=3, terminal=False)).body
    assert sound.startswith(cut)
    assert text_of(cut) == text_of(sound)
    assert b"end_turn" not in cut
    assert b'"finish_reason":"stop"' not in cut


def test_raw_body() -> None:
    """Any bytes can be the body, under any status and content type."""
    behaviour = Behaviour(status=502, body=b"<html>", content_type="text/html")
    sent = answer("openai", behaviour)
    assert (sent.status, sent.body) == (502, b"<html>")
    assert sent.headers["content-type"] == "text/html"
    stream = answer("openai", Behaviour(body=b"data: [DONE]\n\n"))
    assert stream.streaming
    assert stream.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
@pytest.mark.parametrize("wire", WIRES)
def test_newlines(wire: str, newline: Any) -> None:
    """The event stream can have any of the three line ends, and says the same."""
    body = answer(wire, Behaviour(newline=newline)).body
    sound = answer(wire, Behaviour()).body
    assert body == sound.replace(b"\n", newline.encode())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tokens": -1}, "tokens must be a whole number from 0"),
        ({"tokens": None}, "tokens must be"),
        ({"hold_at": 0}, "hold_at must be a whole number from 1"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"cut_at": 1.5}, "cut_at"),
        ({"delay": -0.1}, "delay must be a number of seconds"),
        ({"delay": None}, "delay"),
        ({"ttft": "1"}, "ttft"),
        ({"pings": 0}, "pings"),
        ({"status": 99}, "status must be an HTTP status"),
        ({"newline": "\n\n"}, "newline must be one of"),
        ({"encoding": "br"}, "encoding must be one of"),
        ({"headers": {"a b": "c"}}, "not a header name"),
        ({"headers": {"a": "b\r\nc: d"}}, "one line"),
        ({"retry_after": "1\n"}, "one line"),
        ({"content_type": "€"}, "latin-1"),
        ({"reset": 1}, "reset must be true or false"),
        ({"usage": 3}, "usage must be"),
        ({"text": 3}, "text must be a string"),
        ({"text": ["a", 1]}, "text must be a string"),
        ({"body": 3}, "body must be bytes"),
        ({"tokenz": 3}, "there is no setting 'tokenz'"),
        ([], "a JSON object of settings"),
    ],
)
def test_settings_that_mean_nothing(settings: Any, words: str) -> None:
    """A wrong setting is refused with a message that names it."""
    with pytest.raises(ValueError, match=words):
        Behaviour.from_json(settings)


def test_from_json() -> None:
    """JSON has no bytes and no tuples: text and lists stand for them."""
    behaviour = Behaviour.from_json({"body": "é", "text": ["a", "b"], "headers": {"x": None}})
    assert behaviour == Behaviour(body="é".encode(), text=("a", "b"), headers={"x": None})
