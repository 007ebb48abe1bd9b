"""The emulator's answers as bytes: composed without a socket, or read from a bare one."""

from __future__ import annotations

import json
import socket
from typing import Any, Self

from llmkit.testing import Behaviour, Emulator
from llmkit.testing.emulator import reply
from llmkit.testing.emulator.answer import Ask
from llmkit.testing.emulator.reply import Reply
from llmkit.testing.emulator.server import ANTHROPIC, OPENAI
from llmkit.testing.emulator.wires.base import Stamp

PATHS = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}
WIRES = tuple(PATHS)
BY_NAME = {"anthropic": ANTHROPIC, "openai": OPENAI}
KEYS = {
    "anthropic": {"x-api-key": "sk-canary", "anthropic-version": "2023-06-01"},
    "openai": {"authorization": "Bearer sk-canary"},
}


def body_of(wire: str, **fields: Any) -> dict[str, Any]:
    """Write a sound request, streamed; `fields` replace its fields."""
    body: dict[str, Any] = {
        "model": "a-model",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
    }
    if wire == "anthropic":
        body["max_tokens"] = 1000
    elif fields.get("stream", True):
        body["stream_options"] = {"include_usage": True}
    return body | fields


def answer(wire: str, behaviour: Behaviour, **fields: Any) -> Reply:
    """Compose the answer to a sound request, the seventh, at a fixed time."""
    document = json.dumps(body_of(wire, **fields)).encode()
    ask = BY_NAME[wire].check(KEYS[wire], document, require_key=True)
    assert isinstance(ask, Ask), ask
    return reply.answer(BY_NAME[wire], ask, behaviour, Stamp(7, 1_750_000_000.0))


def whole(wire: str, behaviour: Behaviour, **fields: Any) -> Any:
    """Compose the answer to a sound request that is not streamed; return its JSON."""
    return json.loads(answer(wire, behaviour, stream=False, **fields).body)


class RawClient:
    """One TCP connection to the emulator."""

    def __init__(self, emulator: Emulator) -> None:
        host, port = emulator.base_url.removeprefix("http://").rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=5)
        self.received = b""

    def send(self, wire: str, *, headers: dict[str, str] | None = None, **fields: Any) -> Self:
        """Send a request for an answer."""
        document = json.dumps(body_of(wire, **fields)).encode()
        return self.request("POST", PATHS[wire], document, KEYS[wire] | (headers or {}))

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Self:
        """Send any request."""
        headers = {"host": "127.0.0.1", "content-length": str(len(body)), **(headers or {})}
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return self

    def read_until(self, marker: bytes) -> bytes:
        """Read until these bytes have come; return everything that has."""
        while marker not in self.received:
            data = self.socket.recv(65536)
            assert data, f"the connection ended before {marker!r}; it brought {self.received!r}"
            self.received += data
        return self.received

    def read_all(self) -> bytes:
        """Read to the end of the connection; return everything that came. A reset raises."""
        while data := self.socket.recv(65536):
            self.received += data
        return self.received

    def is_silent(self, seconds: float = 0.05) -> bool:
        """Tell whether nothing comes for so long."""
        self.socket.settimeout(seconds)
        try:
            self.received += self.socket.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(5)
        return False

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask(emulator: Emulator, wire: str, **fields: Any) -> tuple[dict[str, str], bytes]:
    """Send one request on a connection of its own; return headers (and `:status`) and the body."""
    with RawClient(emulator) as client:
        received = client.send(wire, headers={"connection": "close"}, **fields).read_all()
    return parts(received)


def parts(received: bytes) -> tuple[dict[str, str], bytes]:
    """Take an answer apart: headers (and `:status`), and the body without its chunks."""
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    headers[":status"] = status.split(" ")[1]
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(chunks(body))
    return headers, body


def chunks(body: bytes) -> list[bytes]:
    """Take the HTTP chunks apart; the last may be cut."""
    found = []
    while body:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            break
        found.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return found


def events(body: bytes) -> list[tuple[str, Any]]:
    """Take an event stream apart: names, and data decoded where it is JSON."""
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.split("\n") if line[:1] not in ("", ":")
        )
        if "data" in fields:
            data = fields["data"]
            found.append((fields.get("event", ""), _json_or_text(data)))
    return found


def text_of(body: bytes) -> str:
    """Join the text of an event stream of either wire."""
    text = ""
    for name, data in events(body):
        if name == "content_block_delta" and isinstance(data, dict):
            text += data["delta"].get("text", "")
        elif isinstance(data, dict) and data.get("choices"):
            text += data["choices"][0]["delta"].get("content") or ""
    return text


def _json_or_text(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data
