"""Sends one reply, each byte at its moment."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections import deque
from collections.abc import Callable

from llmkit.testing.emulator import http
from llmkit.testing.emulator.received import Entry
from llmkit.testing.emulator.reply import Reply

_ONE_WRITE = 64 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)


class Player:
    """Plays a reply to a transport, with one timer at most.

    `on_end` is called once everything is handed to the transport, not if the client leaves before.
    `closes` then tells whether the connection must close.
    """

    __slots__ = (
        "_body",
        "_due",
        "_entry",
        "_hold",
        "_keep_alive",
        "_last",
        "_loop",
        "_next",
        "_on_end",
        "_paused",
        "_pieces",
        "_reply",
        "_stall",
        "_timer",
        "_transport",
        "_was_held",
        "closes",
    )

    def __init__(
        self,
        reply: Reply,
        transport: asyncio.Transport,
        *,
        loop: asyncio.AbstractEventLoop,
        entry: Entry | None,
        keep_alive: bool,
        on_end: Callable[[], None],
    ) -> None:
        behaviour = reply.behaviour
        self._reply = reply
        self._transport = transport
        self._loop = loop
        self._entry = entry
        self._on_end = on_end
        self._keep_alive = keep_alive and not reply.ends_with_connection
        self.closes = not (self._keep_alive and behaviour.keep_alive)
        self._body = http.BodyWriter(
            chunked=reply.is_chunked,
            encoding=behaviour.encoding,
            cut_at=behaviour.cut_at,
            chunk_size=behaviour.chunk_size,
        )
        self._pieces: deque[bytes] = deque()
        self._next = 0
        self._due = self._last = loop.time() + behaviour.head_delay
        # The first steps that must wait, for good and for a release.
        tokens = reply.tokens
        self._stall = (
            math.inf if behaviour.stall_at is None else min(behaviour.stall_at, tokens) + 1
        )
        self._hold = math.inf if behaviour.hold_at is None else min(behaviour.hold_at, tokens + 1)
        self._was_held = False
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Send what is due now, and the rest when it is."""
        self._run()

    def pause(self) -> None:
        """Send nothing more: the client does not keep up."""
        self._paused = True

    def resume(self) -> None:
        """Go on: the client has caught up."""
        self._paused = False
        if self._timer is None:
            self._go_on()

    def release(self, n: int | None) -> None:
        """Let `n` more of the withheld tokens go; None lets everything go, a stalled stream too."""
        if n is None:
            self._stall = self._hold = math.inf
        else:
            self._hold += n
        if self._was_held and not self._is_held():
            self._go_on()

    def stop(self) -> None:
        """Send nothing more: the client has left, or the emulator ends."""
        self._cancel_timer()
        self._paused = True
        self._pieces.clear()

    def _go_on(self) -> None:
        self._cancel_timer()
        if not self._paused:
            (self._drip if self._pieces else self._run)()

    def _run(self) -> None:
        self._timer = None
        now, size, steps = self._loop.time(), 0, self._reply.steps
        while self._next < len(steps) and self._due <= now and size < _ONE_WRITE:
            if self._is_held():
                self._was_held = True
                break
            size += self._take(now)
            if self._reply.behaviour.chunk_size is not None and self._pieces:
                self._drip()
                return
        else:
            if self._next == len(steps):
                self._finish()
                return
        self._keep_open(now)
        self._write()
        self._schedule(now, more=size >= _ONE_WRITE)

    def _take(self, now: float) -> int:
        """Make the next step's bytes ready; return how many of the body it had."""
        reply, behaviour, step = self._reply, self._reply.behaviour, self._next
        if self._was_held:
            self._was_held, self._due = False, now
        self._next += 1
        self._last = now
        if step == 0:
            self._due += behaviour.ttft
            if behaviour.hang_up:
                self.closes, self._next = True, len(reply.steps)
                return 0
        elif step < reply.tokens:
            self._due += behaviour.delay
        frames = reply.steps[step]
        is_last = self._next == len(reply.steps)
        if (step == 0 and reply.streaming) or (is_last and not reply.streaming):
            self._pieces.append(self._head())
        for frame in frames:
            self._pieces += self._body.feed(frame)
        if is_last:
            self._pieces += self._body.end()
        if self._body.cut:
            self.closes, self._next = True, len(reply.steps)
        elif self._entry is not None and (reply.streaming or is_last):
            self._entry.tokens_are_sent(min(step, reply.tokens))
        return sum(map(len, frames))

    def _head(self) -> bytes:
        headers = self._reply.framed_headers(keep_alive=self._keep_alive)
        return http.head(self._reply.status, headers.items())

    def _is_held(self) -> bool:
        step, tokens = self._next, self._reply.tokens
        if step >= self._stall:
            return True
        hold_at = self._reply.behaviour.hold_at
        if hold_at is not None and step > tokens >= hold_at:
            step = tokens  # what closes the stream goes with its last token
        return step >= self._hold

    def _keep_open(self, now: float) -> None:
        pings, ping = self._reply.behaviour.pings, self._reply.ping
        if pings is not None and ping is not None and self._next and self._last + pings <= now:
            self._pieces += self._body.feed(ping)
            self._last = now

    def _write(self) -> None:
        if self._pieces:
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._transport.write(data)

    def _drip(self) -> None:
        """Write one piece, and the next a little later."""
        self._timer = None
        piece = self._pieces.popleft()
        if not self._pieces and self._next == len(self._reply.steps):
            self._note_end()
        self._transport.write(piece)
        if self._paused:
            return
        if self._pieces:
            delay = self._reply.behaviour.chunk_delay
            self._timer = self._loop.call_later(delay, self._drip)
        else:
            self._run()

    def _schedule(self, now: float, *, more: bool) -> None:
        if self._paused:
            return
        when = math.inf if self._was_held else self._due
        if more:
            when = now
        pings = self._reply.behaviour.pings
        if pings is not None and self._reply.ping is not None and self._next:
            when = min(when, self._last + pings)
        if when < math.inf:
            self._timer = self._loop.call_at(when, self._run)

    def _finish(self) -> None:
        # Before the last bytes go, so that who has read them finds it noted.
        self._note_end()
        self._write()
        if self.closes and self._reply.behaviour.reset:
            connection: socket.socket = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._on_end()

    def _note_end(self) -> None:
        if self._entry is not None:
            self._entry.ends("finished")

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
