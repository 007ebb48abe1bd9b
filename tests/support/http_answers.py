"""Answers of HTTP/1.1 as servers give them, and as none should."""

from __future__ import annotations

import random

_OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "a length": _OK + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    "no body": _OK + b"Content-Length: 0\r\n\r\n",
    "chunks": _OK
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n \r\n5\r\nthere\r\n0\r\n\r\n",
    "trailers": _OK
    + b"transfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n",
    "until the end": _OK + b"Content-Type: text/event-stream\r\n\r\ndata: x\n\n",
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "kept in HTTP/1.0": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    "closing": _OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi",
    "another coding": _OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "two codings": _OK
    + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "nothing to say": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    "go on first": b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\nhi",
    "bare line feeds": b"HTTP/1.1 200 OK\nA: b\nContent-Length: 2\n\nhi",
    "two of a name": _OK + b"Set-Cookie: a\r\nset-cookie: b\r\nContent-Length: 2\r\n\r\nhi",
    "no reason": b"HTTP/1.1 429\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n",
    "spaces": _OK + b"X-A:   b  \t \r\nX-Empty:\r\nContent-Length: 0\r\n\r\n",
    "other letters": _OK + "X-Name: Zürich\r\nContent-Length: 0\r\n\r\n".encode(),
    "folded": _OK + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a length and chunks": _OK
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "two lengths": _OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nPRI",
    "one too many": _OK + b"Content-Length: 2\r\n\r\nhi" + _OK + b"Content-Length: 2\r\n\r\nno",
    "a line behind": _OK + b"Content-Length: 2\r\n\r\nhi\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
}
_STATUS_LINES = (
    *[_OK] * 12,
    *(
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.1 304 X\r\n",
        b"HTTP/1.1 500 \r\n",
        b"HTTP/1.1 429\r\n",
    ),
    *(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 101 X\r\n",
        b"HTTP/1.1 099 X\r\n",
        b"HTTP/1.1 2000 X\r\n",
    ),
    *(
        b"HTTP/0.9 200 OK\r\n",
        b"HTTP/2.0 200 OK\r\n",
        b"HTTP/1.1  200  OK\r\n",
        b"http/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\n",
        b"\r\nHTTP/1.1 200 OK\r\n",
    ),
)
_FIELDS = (
    *(
        b"Content-Type: text/event-stream",
        b"X-A: b",
        b"x-a:c",
        b"X-Empty:",
        b"X-A : b",
        b" X: y",
        b"X-A: b\r\n c",
        b"X-A: b\x00c",
        b"X-A: b\rc",
    ),
    *(
        b": no name",
        b"no value",
        b"X-\xc3\xbc: a",
        b"X-A: \xff\xfe",
        b"X-A: \x01\x7f",
        b"X" * 300 + b": y",
        b"X-Long: " + b"y" * 3000,
    ),
    *(
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Set-Cookie: a=b",
        b"Content-Encoding: gzip",
    ),
)
_LENGTHS = (
    *[b"Content-Length: %d"] * 8,
    *(
        b"content-length:%d",
        b"Content-Length: +%d",
        b"Content-Length: -%d",
        b"Content-Length: 0%d",
        b"Content-Length: %d, %d",
        b"Content-Length: 0x%d",
        b"Content-Length: %d ",
    ),
    *(
        b"Content-Length: 99999999999999999999",
        b"Content-Length: ",
        b"Content-Length: %d\r\nContent-Length: %d",
        b"Content_Length: %d",
    ),
)
_CODINGS = (
    *[b"Transfer-Encoding: chunked"] * 8,
    *(
        b"transfer-encoding:CHUNKED",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: identity",
    ),
    *(
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding:",
    ),
)
_SIZES = (
    *[b"%x"] * 10,
    b"%X;a=b",
    b"0%x",
    b"0x%x",
    b"+%x",
    b"-%x",
    b" %x",
    b"%x ",
    b"%x;",
    b'%x;a="\r\n"',
    b"%xg",
    b"",
)
_ENDS = (*[b"\r\n"] * 20, b"\n", b"\r", b"", b"\n\r", b"\r\r\n")
_BEHIND = (
    *[b""] * 6,
    b"\r\n",
    b"\n",
    b"x",
    b"HTTP",
    _OK + b"Content-Length: 2\r\n\r\nno",
    b"0\r\n\r\n",
    b"\x00",
)


def odd_answer(chance: random.Random) -> bytes:
    """Make an answer, in half of the cases one that servers do give."""
    tame = chance.random() < 0.4
    body = chance.randbytes(chance.choice((0, 1, 2, 5, 30, 3000)))
    fields = [
        chance.choice(_FIELDS[:3] if tame else _FIELDS) for _ in range(chance.choice((0, 1, 2, 5)))
    ]
    kind = chance.randrange(4)
    if kind in (0, 3):
        length = _LENGTHS[0] if tame else chance.choice(_LENGTHS)
        fields.append(length.replace(b"%d", b"%d" % len(body)))
    if kind in (1, 3):
        fields.append(_CODINGS[0] if tame else chance.choice(_CODINGS))
        body = _chunked(chance, body, tame=tame)
    chance.shuffle(fields)
    head = _OK if tame else chance.choice(_STATUS_LINES)
    for field in fields:
        head += field + _end(chance, tame=tame)
    answer = head + _end(chance, tame=tame) + body + (b"" if tame else chance.choice(_BEHIND))
    return answer if tame else _changed(chance, answer)


def _end(chance: random.Random, *, tame: bool) -> bytes:
    return b"\r\n" if tame or chance.random() < 0.9 else chance.choice(_ENDS)


def _chunked(chance: random.Random, body: bytes, *, tame: bool) -> bytes:
    said = b""
    while body:
        size = chance.randrange(1, len(body) + 1)
        form = b"%x" if tame or chance.random() < 0.8 else chance.choice(_SIZES)
        said += form.replace(b"%x", b"%x" % size).replace(b"%X", b"%X" % size)
        said += _end(chance, tame=tame) + body[:size] + _end(chance, tame=tame)
        body = body[size:]
    trailers = (
        b""
        if tame
        else chance.choice((b"", b"", b"X-T: 1\r\n", b"Content-Length: 3\r\n", b"bad\r\n"))
    )
    return said + b"0" + _end(chance, tame=tame) + trailers + _end(chance, tame=tame)


def _changed(chance: random.Random, answer: bytes) -> bytes:
    """Overwrite, add, lose or double a few bytes."""
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        at = chance.randrange(len(answer) + 1)
        end = min(len(answer), at + chance.choice((1, 1, 2, 8)))
        match chance.randrange(4):
            case 0:
                answer = answer[:at] + chance.randbytes(end - at) + answer[end:]
            case 1:
                answer = (
                    answer[:at]
                    + chance.choice((b"\r", b"\n", b"\r\n", b" ", b":", b"\x00", b"0"))
                    + answer[at:]
                )
            case 2:
                answer = answer[:at] + answer[end:]
            case _:
                answer = answer[:end] + answer[at:]
    return answer


def pieces(chance: random.Random, answer: bytes) -> list[bytes]:
    """Split an answer as a network may."""
    cuts = sorted(
        chance.randrange(len(answer) + 1) for _ in range(chance.choice((0, 0, 1, 2, 5, 20)))
    )
    parts = [answer[at:end] for at, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    return [part for part in parts if part]
