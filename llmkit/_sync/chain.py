# Generated from llmkit/_async/chain.py. Do not edit.
"""The middleware chain, built once for a client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmkit._sync.stream import Stream
from llmkit.middleware import Middleware

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.middleware import CallNext


def build_chain(middleware: Sequence[object], last: CallNext) -> CallNext:
    """Put the middleware around the last step, the first outermost.

    Raises:
        TypeError: one of them does not have the method that this client calls.
    """
    step = last
    for item in reversed(middleware):
        if not isinstance(item, Middleware):
            raise TypeError(
                f"{type(item).__name__} has no handle(call, call_next), which Client calls"
            )
        step = _Step(item, step)
    return step


class _Step:
    __slots__ = ("_call_next", "_middleware")

    def __init__(self, middleware: Middleware, call_next: CallNext) -> None:
        self._middleware = middleware
        self._call_next = call_next

    def __call__(self, call: Call) -> Stream:
        opened: list[Stream] = []

        def call_next(call: Call) -> Stream:
            stream = self._call_next(call)
            opened.append(stream)
            return stream

        try:
            stream = self._middleware.handle(call, call_next)
            if not isinstance(stream, Stream):
                raise TypeError(
                    f"{type(self._middleware).__name__}.handle returned a "
                    f"{type(stream).__name__}; return the stream from call_next, or an Stream"
                )
        except BaseException as error:
            for stream in opened:  # nobody else has them
                stream.fail(error)
            raise
        return stream
