"""What is asked under the prefix, and who may ask it."""

from __future__ import annotations

import json

import pytest

from llmkit import Caller
from llmkit.relay.answer import Answer
from llmkit.relay.door import (
    PATHS,
    caller_of,
    check_length,
    check_media_type,
    check_origin,
    find,
)
from llmkit.relay.problem import Refusal


def refused(answer: object, status: int) -> str:
    """Return the word of a refusal."""
    assert isinstance(answer, Answer)
    assert answer.status == status
    word: str = json.loads(answer.body)["error"]["type"]
    return word


def test_calls() -> None:
    """A POST to one of two paths is a call."""
    assert find("/stream", "POST") == "stream"
    assert find("/complete", "POST") == "complete"


@pytest.mark.parametrize("path", PATHS)
def test_each_path_has_its_methods(path: str) -> None:
    """What is not allowed is told what is, in the body and in Allow."""
    answer = find(path, "DELETE")
    assert refused(answer, 405) == "method_not_allowed"
    assert isinstance(answer, Answer)
    assert answer.headers["allow"] == ("POST" if path in ("/stream", "/complete") else "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/llmkit.js", "/stream"])
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


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"cookie": "a=b"}, False),
        ({"cookie": "a=b", "sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://app.example", "host": "app.example"}, True),
        ({"origin": "https://app.example:8443", "host": "app.example"}, False),
        ({"origin": "null", "host": "app.example"}, False),
        ({"origin": "null"}, False),
    ],
)
def test_where_a_request_comes_from(headers: dict[str, str], allowed: bool) -> None:
    """Another site's request is refused; one without cookies and origin is no browser's."""
    if allowed:
        check_origin(headers)
        return
    with pytest.raises(Refusal) as caught:
        check_origin(headers)
    assert caught.value.status == 403


@pytest.mark.parametrize("given", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_taken(given: str) -> None:
    """The parameters of the content type do not matter."""
    check_media_type({"content-type": given})


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "text/plain"}, {"content-type": "application/jsonp"}]
)
def test_all_else_is_not(headers: dict[str, str]) -> None:
    """A form, a text, or no word at all: 415."""
    with pytest.raises(Refusal) as caught:
        check_media_type(headers)
    assert caught.value.status == 415


def test_a_body_that_says_that_it_is_too_long() -> None:
    """It is refused before it is read; what says nothing, or nonsense, is measured while it is read."""
    for length in ("10", "", "-1", "ten"):
        check_length({"content-length": length}, 10)
    check_length({}, 10)
    with pytest.raises(Refusal) as caught:
        check_length({"content-length": "11"}, 10)
    assert caught.value.status == 413


def test_who_calls() -> None:
    """An id is a text in the books; what the host made of its user stays as it is; nobody may call only where all may."""
    assert caller_of(7, anonymous=False) == caller_of("7", anonymous=False) == Caller(user="7")
    made = Caller(user="7", tenant="t")
    assert caller_of(made, anonymous=False) is made
    assert caller_of(None, anonymous=True) == Caller()
    with pytest.raises(Refusal) as caught:
        caller_of(None, anonymous=False)
    assert caught.value.status == 401
