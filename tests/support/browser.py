"""What a browser does with a stream, over httpx."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from llmkit.sse import ServerSentEvent, SSEDecoder
from llmkit.testing import Behaviour, Emulator
from support.canary import leaks

# The silences of a model in which a tab may close.
SILENCES = {
    "before the head": Behaviour(head_delay=60),
    "before the first token": Behaviour(hold_at=1),
    "later": Behaviour(hold_at=3, delay=0),
}
SAY_HI = {"messages": [{"role": "user", "content": "Say hi"}]}


class Page:
    """An open answer."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.events: list[ServerSentEvent] = []
        self.raw = b""
        self._decoder = SSEDecoder()
        self._chunks = response.iter_raw()

    @property
    def text(self) -> str:
        """The text so far."""
        frames = [
            json.loads(event.data) for event in self.events if event.data.startswith('{"text"')
        ]
        return "".join(frame["text"] for frame in frames)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error event, if one came."""
        found = [json.loads(event.data) for event in self.events if event.event == "error"]
        return found[0]["error"] if found else None

    @property
    def done(self) -> bool:
        """Whether the last frame is the end marker."""
        return bool(self.events) and self.events[-1].data == "[DONE]"

    def read(self) -> bool:
        """Read once more; False at the end."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self.raw += chunk
        self.events += self._decoder.feed(chunk)
        return True

    def read_words(self, count: int) -> None:
        """Read until so many words have come."""
        while len(self.text.split()) < count:
            assert self.read(), "the answer ended too early"

    def read_all(self) -> None:
        """Read to the end."""
        while self.read():
            pass


@contextlib.contextmanager
def open_page(url: str, body: Any = SAY_HI, **options: Any) -> Iterator[Page]:
    """Post a message and hand out the open answer; leaving closes the tab."""
    with (
        httpx.Client(timeout=30, headers={"accept-encoding": "gzip"}) as client,
        client.stream("POST", url, json=body, **options) as response,
    ):
        page = Page(response)
        yield page
        shown = page.raw.decode("utf-8", "replace")
        assert leaks(shown, dict(response.headers)) == []


def leave(url: str, emulator: Emulator, *, reading: bool = False) -> None:
    """Ask, close the tab once the provider is asked (or has been heard), and wait until the provider sees that."""
    host = urlsplit(url)
    body = json.dumps(SAY_HI).encode()
    with socket.create_connection((host.hostname, host.port), timeout=30) as tab:
        tab.sendall(
            b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (host.path.encode(), len(body), body)
        )
        emulator.wait_for_requests(1, timeout=30)
        if reading:
            assert tab.recv(100)
    emulator.wait_until_gone(0, timeout=30)
