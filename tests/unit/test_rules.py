"""What is asked under the prefix, and who may ask it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from llmkit import Caller, ConfigError
from llmkit.relay.answer import Answer
from llmkit.relay.hooks import is_yes
from llmkit.relay.problem import Refusal
from llmkit.relay.rules import (
    PATHS,
    caller_of,
    check_length,
    check_media_type,
    check_origin,
    find,
    to_answer,
)
from llmkit.response import Response
from llmkit.usage import Usage
from support.browser import SAY_HI


def refused(answer: object, status: int) -> str:
    """Return the word of a refusal."""
    assert isinstance(answer, Answer)
    assert answer.status == status
    word: str = json.loads(answer.body)["error"]["type"]
    return word


def test_calls() -> None:
    """A POST to one of two paths is a call, and the prefix itself is the chat page."""
    assert find("/", "GET") == find("/", "HEAD") == "page"
    assert find("/stream", "POST") == "stream"
    assert find("/complete", "POST") == "complete"


@pytest.mark.parametrize("path", PATHS)
def test_each_path_has_its_methods(path: str) -> None:
    """What is not allowed is told what is, in the body and in Allow."""
    answer = find(path, "DELETE")
    assert refused(answer, 405) == "method_not_allowed"
    assert isinstance(answer, Answer)
    assert answer.headers["allow"] == ("POST" if path in ("/stream", "/complete") else "GET, HEAD")


@pytest.mark.parametrize("path", ["/chat.css", "/llmkit.js", "/stream"])
def test_head_is_told_all_but_the_body(path: str) -> None:
    """HEAD gets the headers of a GET, with the length of the body that is not sent."""
    answer = find(path, "HEAD")
    assert isinstance(answer, Answer)
    assert answer == find(path, "GET") == answer.to("GET")
    assert answer.to("HEAD") == Answer(answer.status, answer.headers)
    assert int(answer.headers["content-length"]) == len(answer.body) > 0


@pytest.mark.parametrize("path", ["", "/nothing", "/stream/", "stream", "/../llmkit.js"])
def test_what_is_not_ours(path: str) -> None:
    """Anything else is the host's to answer."""
    assert find(path, "GET") is None


COOKIE = {"cookie": "a=b"}
BASIC = {"authorization": "Basic YTpi"}
HERE = {"host": "app.example"}


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        (COOKIE, False),
        ({**COOKIE, "sec-fetch-site": "same-origin"}, True),
        ({**COOKIE, "sec-fetch-site": "none"}, True),
        ({**COOKIE, "sec-fetch-site": "same-site"}, False),
        ({**COOKIE, "sec-fetch-site": "cross-site"}, False),
        ({**COOKIE, "sec-fetch-site": "same-origin, cross-site"}, False),
        ({**COOKIE, **HERE, "origin": "https://app.example"}, True),
        ({**COOKIE, **HERE, "origin": "https://App.Example"}, True),
        ({**COOKIE, "host": "app.example:443", "origin": "https://app.example"}, True),
        ({**COOKIE, "host": "app.example:80", "origin": "http://app.example"}, True),
        ({**COOKIE, "host": "app.example:443", "origin": "http://app.example"}, False),
        ({**COOKIE, "host": "[::1]:8000", "origin": "http://[::1]:8000"}, True),
        ({**COOKIE, **HERE, "origin": "https://app.example:8443"}, False),
        ({**COOKIE, **HERE, "origin": "https://app.example/"}, False),
        ({**COOKIE, **HERE, "origin": "https://app.example, https://evil.example"}, False),
        ({**COOKIE, **HERE, "origin": "ftp://app.example"}, False),
        ({**COOKIE, **HERE, "origin": "http://["}, False),
        ({**COOKIE, **HERE, "origin": "http://[::1"}, False),
        ({**COOKIE, **HERE, "origin": "null"}, False),
        ({**COOKIE, "origin": "null"}, False),
        ({**COOKIE, "host": "", "origin": "null"}, False),
        ({**COOKIE, "host": "", "origin": "http://"}, False),
        ({**COOKIE, "host": "", "origin": ""}, False),
        ({**BASIC, **HERE}, True),
        ({**BASIC, **HERE, "origin": "https://app.example"}, True),
        ({**BASIC, **HERE, "origin": "https://evil.example"}, False),
        ({**BASIC, "sec-fetch-site": "cross-site"}, False),
        ({**HERE, "authorization": "Negotiate x", "origin": "https://evil.example"}, False),
        ({**HERE, "authorization": "Bearer x", "origin": "http://localhost:3000"}, True),
        ({**HERE, "authorization": "Bearer x", **COOKIE, "origin": "http://localhost:3000"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://other.example"}, True),
        ({**COOKIE, **HERE, "origin": "https://friend.example"}, True),
        ({**COOKIE, "origin": "https://Friend.example", "sec-fetch-site": "cross-site"}, True),
        (
            {**COOKIE, "origin": "https://friend.example.evil", "sec-fetch-site": "cross-site"},
            False,
        ),
    ],
)
def test_where_a_request_comes_from(headers: dict[str, str], allowed: bool) -> None:
    """What a browser sends along unasked needs a page of the app, or of an origin that it allows; a bearer token does not."""
    friends = ("https://friend.example",)
    if allowed:
        check_origin(headers, friends)
        return
    with pytest.raises(Refusal) as caught:
        check_origin(headers, friends)
    assert caught.value.status == 403


@pytest.mark.parametrize("given", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_taken(given: str) -> None:
    """The parameters of the content type do not matter."""
    check_media_type({"content-type": given})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/json, text/plain"},
        {"content-type": "application/json; charset=utf-8, text/plain"},
    ],
)
def test_all_else_is_not(headers: dict[str, str]) -> None:
    """A form, a text, or no word at all: 415."""
    with pytest.raises(Refusal) as caught:
        check_media_type(headers)
    assert caught.value.status == 415


def test_a_body_that_says_that_it_is_too_long() -> None:
    """It is refused before it is read; what says nothing, or nonsense, is measured while it is read."""
    for length in ("10", "010", "9", "", "-1", "ten", "\xb2", "\u0663"):
        check_length({"content-length": length}, 10)
    check_length({}, 10)
    for length in ("11", "100", "9" * 5000):
        with pytest.raises(Refusal) as caught:
            check_length({"content-length": length}, 10)
        assert caught.value.status == 413


def test_who_calls() -> None:
    """An id is a text in the books; what the host made of its user stays as it is."""
    for user in (7, "7"):
        assert caller_of(user, anonymous=False, has_get_user=False) == Caller(user="7")
    uuid = UUID("12345678123456781234567812345678")
    assert caller_of(uuid, anonymous=False, has_get_user=False) == Caller(user=str(uuid))
    assert caller_of(0, anonymous=False, has_get_user=False) == Caller(user="0")
    made = Caller(user="7", tenant="t")
    assert caller_of(made, anonymous=False, has_get_user=False) is made


@pytest.mark.parametrize("user", [None, False, "", Caller(), Caller(user="", tenant="t")])
def test_nobody_calls(user: Any) -> None:
    """None, False and an empty id are nobody, who may call only where all may."""
    with pytest.raises(Refusal) as caught:
        caller_of(user, anonymous=False, has_get_user=False)
    assert caught.value.status == 401
    admitted = caller_of(user, anonymous=True, has_get_user=False)
    assert admitted.user is None
    assert admitted.tenant == getattr(user, "tenant", None)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        (None, "get_user returned None for this request"),
        (False, "get_user returned False"),
        ("", "get_user returned ''"),
        (Caller(tenant="t"), "get_user returned a Caller without a user"),
    ],
)
def test_a_get_user_that_knows_nobody(user: Any, said: str) -> None:
    """The log does not tell to set what is set; without one it does."""
    with pytest.raises(Refusal) as caught:
        caller_of(user, anonymous=False, has_get_user=True)
    assert said in str(caught.value.advice)
    with pytest.raises(Refusal) as caught:
        caller_of(user, anonymous=False, has_get_user=False)
    assert "set get_user" in str(caught.value.advice)


@pytest.mark.parametrize(
    "user", [True, 1.5, b"7", ["7"], {"id": 7}, object(), len, (each for each in "7"), SAY_HI]
)
def test_what_is_no_id(user: Any) -> None:
    """What cannot be an id is a mistake that is said, and lets nobody in."""
    for anonymous in (False, True):
        with pytest.raises(ConfigError, match="get_user"):
            caller_of(user, anonymous=anonymous, has_get_user=False)
    with pytest.raises(TypeError, match=type(user).__name__):
        Caller(user=user)


@pytest.mark.parametrize(
    ("answer", "yes"),
    [(True, True), (1, True), (False, False), (0, False), (None, False)],
)
def test_a_permission(answer: object, yes: bool) -> None:
    """A truth or a number is a yes or a no, and None is a no."""
    assert is_yes(answer) is yes


async def _numbers() -> AsyncIterator[int]:
    yield 0


def test_what_is_no_permission() -> None:
    """What is true only because it was not called, awaited or run decides nothing, nor does any other object."""
    coroutine = asyncio.sleep(0)
    uncalled = (len, Refusal, iter(()), coroutine, _numbers(), _numbers)
    for answer in (*uncalled, "no", "", [], ["x"], object()):
        with pytest.raises(ConfigError, match="permission"):
            is_yes(answer)
    coroutine.close()


@pytest.mark.parametrize(
    ("cost", "said"),
    [(None, None), ("0E-9", "0.000000000"), ("1.50E-7", "0.000000150"), ("3.2", "3.2")],
)
def test_a_cost_is_a_plain_decimal(cost: str | None, said: str | None) -> None:
    """The browser gets no exponent, however little an answer costs."""
    reply = Response(
        text="Hi",
        thinking="",
        stop_reason="end",
        raw_stop_reason="stop",
        usage=Usage(),
        cost=None if cost is None else Decimal(cost),
        provider="openai",
        model="m",
        request_id=None,
        call_id="1",
    )
    assert json.loads(to_answer(reply).body)["cost_usd"] == said
