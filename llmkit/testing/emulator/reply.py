"""A whole reply, faults included, before any of it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate

from llmkit.testing.emulator.answer import Ask, compose
from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.wires.base import Failure, Frames, Script, Stamp, Wire

JSON = "application/json"
SOUND = Behaviour(delay=0)
"""For what no script touches: refusals, the list of models, the controls."""

_NO_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send.

    Attributes:
        headers: without those that frame the body. Names are lower case.
        steps: the body in its moments: what opens it, each token, what closes it.
        streaming: whether the head goes out before the body is ready.
        ping: what keeps the stream open while it is silent; None if it has nothing for that.
    """

    status: int
    headers: Mapping[str, str]
    steps: list[Frames]
    behaviour: Behaviour = SOUND
    streaming: bool = False
    ping: bytes | None = None

    @property
    def tokens(self) -> int:
        """How many tokens there are to send."""
        return len(self.steps) - 2

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(frame for step in self.steps for frame in step)

    def framed_headers(self, *, keep_alive: bool) -> dict[str, str]:
        """Name all headers, with those that frame the body; the behaviour's own win."""
        headers = dict(self.headers)
        if self.behaviour.encoding is not None:
            headers["content-encoding"] = self.behaviour.encoding
        if self.is_chunked:
            headers["transfer-encoding"] = "chunked"
        elif not self.ends_with_connection and self.status not in _NO_BODY:
            headers["content-length"] = str(len(self.body))
        headers["connection"] = "keep-alive" if keep_alive else "close"
        for name, value in self.behaviour.headers.items():
            headers.pop(name.lower(), None)
            if value is not None:
                headers[name.lower()] = value
        return headers

    @property
    def is_chunked(self) -> bool:
        """Whether the body goes out in HTTP chunks: where its length is not known before."""
        return self._has_no_length and not self.ends_with_connection

    @property
    def ends_with_connection(self) -> bool:
        """Whether only the end of the connection ends the body."""
        return self._has_no_length and self.behaviour.framing == "close"

    @property
    def _has_no_length(self) -> bool:
        return self.streaming or self.behaviour.encoding is not None


def answer(wire: Wire, ask: Ask, behaviour: Behaviour, stamp: Stamp) -> Reply:
    """Answer a request that the vendor accepts, as the behaviour says."""
    status = behaviour.status or 200
    streaming, ping = ask.streaming, None
    content_type = wire.stream_type if streaming else JSON
    if status >= 300 or behaviour.body is not None:
        streaming = streaming and status < 300
        content_type = wire.stream_type if streaming else JSON
        body = behaviour.body
        if body is None:
            body = wire.error_body(wire.failure(status, behaviour), stamp)
        steps: list[Frames] = [(), (body,), ()] if streaming else [(), (body,)]
    elif streaming:
        said = compose(ask, behaviour)
        script = wire.stream(ask, said, behaviour, stamp)
        steps, ping = _faulty_stream(wire, script, behaviour, stamp), wire.ping
    else:
        steps = _whole(wire, ask, behaviour, stamp)
    if status in _NO_BODY:
        steps = [(), ()]
    headers = _headers(content_type, stamp) | wire.headers(status, ask.input_tokens, stamp)
    if streaming:
        headers["cache-control"] = "no-cache"
    if behaviour.content_type is not None:
        headers["content-type"] = behaviour.content_type
    if behaviour.retry_after is not None:
        headers["retry-after"] = str(behaviour.retry_after)
    return Reply(status, headers, steps, behaviour, streaming, ping)


def refusal(wire: Wire, failure: Failure, stamp: Stamp) -> Reply:
    """Refuse a request as the vendor does."""
    headers = _headers(JSON, stamp) | wire.headers(failure.status, 0, stamp)
    return Reply(failure.status, headers, [(), (wire.error_body(failure, stamp),)])


def document(body: bytes, stamp: Stamp, *, status: int = 200) -> Reply:
    """Answer with a JSON document."""
    return Reply(status, _headers(JSON, stamp), [(), (body,)])


def without_body(reply: Reply) -> Reply:
    """Make the answer to a HEAD of the answer to a GET."""
    return replace(reply, steps=[(), ()])


def _headers(content_type: str, stamp: Stamp) -> dict[str, str]:
    return {
        "date": formatdate(stamp.now, usegmt=True),
        "server": "llmkit-emulator",
        "content-type": content_type,
    }


def _whole(wire: Wire, ask: Ask, behaviour: Behaviour, stamp: Stamp) -> list[Frames]:
    said = compose(ask, behaviour)
    body = wire.whole(said, behaviour, stamp)
    if behaviour.error_frame_at is not None:
        body = wire.error_body(wire.failure(200, behaviour), stamp)
    if behaviour.malformed_at is not None:
        body = body[: len(body) * 2 // 3]
    # The tokens are empty: they take their time and send nothing.
    return [(), *[()] * said.output_tokens, (body,)]


def _faulty_stream(wire: Wire, script: Script, behaviour: Behaviour, stamp: Stamp) -> list[Frames]:
    tokens, closing = list(script.tokens), script.closing
    if not behaviour.terminal:
        closing = ()
    elif not behaviour.end_marker:
        closing = closing[:-1]
    if behaviour.error_frame_at is not None:
        tokens = tokens[: behaviour.error_frame_at]
        closing = (wire.error_frame(wire.failure(200, behaviour), stamp),)
    if behaviour.malformed_at is not None:
        at = behaviour.malformed_at
        if at < len(tokens):
            tokens[at] = (wire.broken, *tokens[at])
        else:
            closing = (wire.broken, *closing)
    steps = [script.opening, *tokens, closing]
    if behaviour.newline == "\n":
        return steps
    newline = behaviour.newline.encode()
    return [tuple(frame.replace(b"\n", newline) for frame in step) for step in steps]
