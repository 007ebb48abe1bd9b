"""What the emulator does with one request."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, Self

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHOICES: dict[str, tuple[object, ...]] = {
    "newline": ("\n", "\r\n", "\r"),
    "usage_in": ("own", "finish", "every"),
    "framing": ("chunked", "close"),
    "encoding": (None, "gzip", "deflate"),
}
_COUNTS = ("tokens", "first_index", "error_frame_at", "cut_at", "stall_at", "malformed_at")
_FROM_ONE = ("hold_at", "chunk_size")
_SECONDS = ("delay", "ttft", "head_delay", "chunk_delay", "pings")
_TEXTS = ("model", "stop_reason", "error_type", "error_code", "message", "content_type")
_FLAGS = ("reset", "hang_up", "keep_alive", "terminal", "end_marker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one request is answered. The default is a correct answer of 40 tokens, 20 ms apart.

    A token is one delta on the wire; the emulator's are words. Tokens are counted from 1, thinking
    first. The settings are independent of each other and apply to all wires, streamed or not: a
    complete answer is sent when its last token would have been sent.

    What it says:
        tokens: how many tokens the emulator's own text has. Not used when `text` is given.
        text: another text, sent word by word, or a tuple of strings, each of which is one token.
        thinking: text, or tokens, to think before the answer: a thinking block (Anthropic) or
            `reasoning_content` (what OpenAI-compatible servers send). Its tokens count as output.
        calls: tools that it asks for behind its text: mappings with a `name`, `arguments` (a mapping; a string or a tuple of strings is sent
            as it is, whatever it is) and maybe an `id`. Their tokens are pieces of the arguments.
        first_index: the index of the first call in OpenAI's format, for servers that count from 1; None leaves it out.
        model: the model named in the answer, if not the requested one.
        stop_reason: why it stops, for either wire: end, max_tokens, stop_sequence, tool_use,
            refusal, content_filter or pause; any other word is sent as it is. None: the reason
            that follows from the request's limits.
        usage: None reports usage as the vendor does (OpenAI: in streams only when asked), True
            always, False never; a mapping reports as the vendor does and replaces fields of the
            vendor's usage object.
        usage_in: where an OpenAI stream reports it: "own" chunk, as the vendor; "finish", with the
            finish reason; "every" chunk.

    When (seconds):
        delay: between two tokens.
        ttft: from the head of a stream to its first token.
        head_delay: until the status line; `math.inf` accepts the request and never answers.
        pings: between keepalives (Anthropic `ping` events, comments for OpenAI) while a stream is
            silent; None for none.
        hold_at: withhold this token and all later ones until `Emulator.release()` releases them,
            one by one; a number one higher than the last token withholds the end.
        stall_at: send nothing after so many tokens, with the connection open, until the client
            disconnects.

    What it answers instead:
        status: an HTTP error with the vendor's error body, described by `error_type`, `error_code`,
            `message` and `retry_after` (seconds, or the header's text).
        headers: more response headers; a header with the value None is left out.
        content_type: another content type.
        body: these bytes as the whole body; in a stream they are one token.
        error_frame_at: an error event after so many tokens, which ends the stream. An answer that
            is not streamed becomes an error body under status 200. `error_type`, `error_code`,
            `message` describe it.
        malformed_at: after so many tokens, one event whose JSON is broken off; then the rest.
        terminal: False ends a stream cleanly after its last token, without stop reason, usage or
            end marker.
        end_marker: False leaves out only the very last event (`message_stop`, `[DONE]`).

    How the bytes are sent:
        cut_at: close the connection after so many bytes of the body, wherever that is.
        hang_up: close the connection instead of answering.
        reset: do either of those with a TCP reset instead of an orderly close.
        keep_alive: False closes the connection after a full answer, without announcing it.
        framing: how a stream's end is marked: "chunked", or "close" by closing the connection.
        chunk_size: write the body in pieces of so many bytes; 1 writes byte by byte.
        chunk_delay: seconds between those writes.
        encoding: "gzip" or "deflate", flushed at every event, whatever the client accepts.
        newline: the line break of the event stream: LF, CRLF or CR.

    Raises:
        ValueError: a setting is not valid. The message names it.
    """

    tokens: int = 40
    text: str | tuple[str, ...] | None = None
    thinking: str | tuple[str, ...] | None = None
    calls: tuple[Mapping[str, Any], ...] = ()
    first_index: int | None = 0
    model: str | None = None
    stop_reason: str | None = None
    usage: bool | Mapping[str, Any] | None = None
    usage_in: Literal["own", "finish", "every"] = "own"
    delay: float = 0.02
    ttft: float = 0.0
    head_delay: float = 0.0
    pings: float | None = None
    hold_at: int | None = None
    stall_at: int | None = None
    status: int | None = None
    error_type: str | None = None
    error_code: str | None = None
    message: str | None = None
    retry_after: float | str | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    content_type: str | None = None
    body: bytes | None = None
    error_frame_at: int | None = None
    malformed_at: int | None = None
    terminal: bool = True
    end_marker: bool = True
    cut_at: int | None = None
    hang_up: bool = False
    reset: bool = False
    keep_alive: bool = True
    framing: Literal["chunked", "close"] = "chunked"
    chunk_size: int | None = None
    chunk_delay: float = 0.0
    encoding: Literal["gzip", "deflate"] | None = None
    newline: Literal["\n", "\r\n", "\r"] = "\n"

    def __post_init__(self) -> None:
        for name, least in [*((n, 0) for n in _COUNTS), *((n, 1) for n in _FROM_ONE)]:
            _check_count(name, getattr(self, name), least=least)
        for name in _SECONDS:
            _check_seconds(name, getattr(self, name))
        for name in _TEXTS:
            _check(name, getattr(self, name), str | None, "a string")
        for name in _FLAGS:
            _check(name, getattr(self, name), bool, "true or false")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                _fail(f"{name} must be one of {choices}, not {getattr(self, name)!r}")
        _check("usage", self.usage, bool | Mapping | None, "true, false, a mapping or nothing")
        _check("body", self.body, bytes | None, "bytes")
        _check("retry_after", self.retry_after, int | float | str | None, "seconds or a string")
        for name in ("retry_after", "content_type"):
            _check_line(name, getattr(self, name))
        _check_calls(self.calls)
        _check_text("text", self.text)
        _check_text("thinking", self.thinking)
        _check_headers(self.headers)
        if self.status is not None and not (type(self.status) is int and 200 <= self.status <= 599):
            _fail(f"status must be an HTTP status from 200 to 599, not {self.status!r}")
        if self.pings == 0:
            _fail("pings must be longer than 0 seconds")

    @classmethod
    def from_json(cls, settings: object) -> Self:
        """Make a behaviour from decoded JSON, an object of settings. `body` is text there.

        Raises:
            ValueError: a setting that does not exist or means nothing.
        """
        if not isinstance(settings, dict):
            _fail("a behaviour is a JSON object of settings")
        known = [each.name for each in dataclasses.fields(cls)]
        unknown = sorted(set(settings).difference(known))
        if unknown:
            _fail(f"there is no setting {unknown[0]!r}; the settings are {', '.join(known)}")
        settings = dict(settings)
        for name in ("text", "thinking"):
            if isinstance(settings.get(name), list):
                settings[name] = tuple(settings[name])
        if isinstance(settings.get("calls"), list):
            settings["calls"] = tuple(settings["calls"])
        if isinstance(settings.get("body"), str):
            settings["body"] = settings["body"].encode("utf-8", "surrogatepass")
        return cls(**settings)


def _check(name: str, value: object, kind: Any, words: str) -> None:
    if not isinstance(value, kind):
        _fail(f"{name} must be {words}, not {value!r}")


def _check_count(name: str, value: object, *, least: int) -> None:
    if value is None and name != "tokens":
        return
    if type(value) is not int or value < least:
        _fail(f"{name} must be a whole number from {least} up, not {value!r}")


def _check_seconds(name: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and value >= 0) and not (value is None and name == "pings"):
        _fail(f"{name} must be a number of seconds from 0 up, not {value!r}")


def _check_text(name: str, value: object) -> None:
    if value is None or isinstance(value, str):
        return
    if not isinstance(value, tuple) or not all(isinstance(piece, str) for piece in value):
        _fail(f"{name} must be a string or a tuple of strings")


def _check_calls(calls: object) -> None:
    _check("calls", calls, list | tuple, "a list of mappings")
    assert isinstance(calls, list | tuple)
    for call in calls:
        _check("calls", call, Mapping, "a list of mappings")
        unknown = sorted(set(call).difference(("id", "name", "arguments")))
        if unknown or not isinstance(call.get("name"), str):
            _fail(f"a call has a name, arguments and maybe an id, not {dict(call)!r}")
        _check("calls: id", call.get("id"), str | None, "a string")
        if not isinstance(call.get("arguments", {}), Mapping):
            _check_text("calls: arguments", call["arguments"])


def _check_headers(headers: object) -> None:
    _check("headers", headers, Mapping, "a mapping")
    assert isinstance(headers, Mapping)
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            _fail(f"headers: {name!r} is not a header name")
        _check(f"headers: {name}", value, str | None, "a string or nothing")
        _check_line(f"headers: {name}", value)


def _check_line(name: str, value: object) -> None:
    if not isinstance(value, str):
        return
    if not value.isprintable() or any(ord(character) > 255 for character in value):
        _fail(f"{name} must be one line of latin-1 text")


def _fail(message: str) -> NoReturn:
    raise ValueError(message)
