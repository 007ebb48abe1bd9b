"""The headers of an answer, which are kept together and looked for one by one."""

from __future__ import annotations

import pytest

from llmkit.transport.http1.answers import GONE, Answers, Headers

HEADERS = Headers(
    [
        (b"X-Request-ID", b"outer"),
        (b"Request-Id", b"inner "),
        (b"empty", b""),
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"odd", b"caf\xe9: x"),
    ]
)


def test_they_are_found_in_any_case() -> None:
    """By their whole name; of two with one name it is the first."""
    assert HEADERS["request-id"] == HEADERS.get("REQUEST-ID") == "inner"
    assert HEADERS["x-request-id"] == "outer"
    assert HEADERS["set-cookie"] == "a=1"
    assert HEADERS["empty"] == ""
    assert HEADERS["odd"] == "caf\ufffd: x"


@pytest.mark.parametrize("name", ["", "id", "request", "inner", "a", "odd\0caf", "café"])
def test_nothing_else_is_found(name: str) -> None:
    """Neither a part of a name, nor a value."""
    assert name not in HEADERS
    assert HEADERS.get(name, 7) == 7
    with pytest.raises(KeyError):
        HEADERS[name]


def test_they_are_a_mapping() -> None:
    """In the order in which they came, each name once."""
    assert list(HEADERS) == ["x-request-id", "request-id", "empty", "set-cookie", "odd"]
    assert len(HEADERS) == 5
    assert dict(HEADERS)["set-cookie"] == "a=1"
    assert not Headers()
    assert list(Headers()) == []


@pytest.mark.parametrize("byte", [b"\0", b"\n", b"\r"])
@pytest.mark.parametrize("place", [b"na%bme: value", b"name: val%bue"])
def test_the_parser_refuses_what_stands_between_them(byte: bytes, place: bytes) -> None:
    """No header can look like two."""
    answers = Answers()
    answers.expect()
    answers.feed(b"HTTP/1.1 200 OK\r\n" + place % byte + b"\r\ncontent-length: 0\r\n\r\n")
    assert answers.state is GONE
    assert not answers.headers


@pytest.mark.parametrize(
    ("codings", "ends"),
    [
        ([b"chunked"], False),
        ([b"gzip, Chunked "], False),
        ([b"gzip"], True),
        ([b"chunked", b"gzip"], True),
        ([b"gzip", b"chunked"], False),
    ],
)
def test_the_last_coding_says_how_a_body_ends(codings: list[bytes], *, ends: bool) -> None:
    """RFC 9112, 6.3, whatever the length may say."""
    fields = [(b"Transfer-Encoding", coding) for coding in codings]
    assert Headers(fields).end_with_the_connection is ends
    assert Headers([*fields, (b"content-length", b"1")]).end_with_the_connection is ends
    assert Headers([(b"x", b"y")]).end_with_the_connection
    assert not Headers([(b"content-length", b"1")]).end_with_the_connection
