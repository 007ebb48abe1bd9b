"""A provider that answers as fast as it is read, and counts what it could send."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable

from llmkit.testing.local_server import LocalServer
from support.streams import ANTHROPIC_START, ANTHROPIC_STOP, anthropic_event

WORD = "x" * 2000 + " "
TOKEN = anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": WORD})
END = anthropic_event(
    "message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}
)


class Firehose(LocalServer):
    """Says as many words as the prompt has it: `fast-7 400` gets four hundred, and is counted as fast-7.

    Attributes:
        sent: how many words each was sent, by name.
        ended: the names of those that got the whole answer.
    """

    def __init__(self) -> None:
        super().__init__("firehose", "127.0.0.1", 0)
        self.sent: dict[str, int] = {}
        self.ended: set[str] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://{self._netloc()}"

    async def _serve(self, listener: socket.socket) -> Callable[[], None]:
        server = await asyncio.start_server(self._answer, sock=listener)

        def close() -> None:
            server.close()
            for writer in self._writers:
                writer.transport.abort()

        return close

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            assert found is not None
            body = json.loads(await reader.readexactly(int(found[1])))
            name, words = body["messages"][0]["content"].split()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
            )
            writer.write(ANTHROPIC_START)
            for number in range(int(words)):
                writer.write(TOKEN)
                await writer.drain()
                self.sent[name] = number + 1
            writer.write(END + ANTHROPIC_STOP)
            await writer.drain()
            self.ended.add(name)
        except OSError:
            pass  # the client has left
        finally:
            writer.transport.close()
            self._writers.discard(writer)
