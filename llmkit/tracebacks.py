"""What a traceback may show: where it went wrong, and nothing of what was said.

Debug pages and error trackers show the local variables of every frame, those of the HTTP library in the chained causes among them. Those of a
call hold its key, its prompt and the provider's answer. So the frames of a call are emptied where an error leaves it: files and lines
stay.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from traceback import walk_tb
from typing import Any, TypeVar, cast

from llmkit.errors import LLMKitError

F = TypeVar("F", bound=Callable[..., Any])

# Whose frames are emptied: ours, and those of what we call. A host's own stay as they are.
_EMPTIED = frozenset(
    {
        *("llmkit", "llmkit_asgi", "llmkit_django", "llmkit_flask"),
        *(
            "aiohappyeyeballs",
            "aiohttp",
            "anyio",
            "asyncio",
            "h11",
            "httpcore",
            "httpcore2",
            "httpx",
            "httpx2",
            "ssl",
        ),
        *("psycopg", "pydantic", "sqlalchemy"),
    }
)


def place_of(error: BaseException, function: Callable[..., Any] | None = None) -> str:
    """Say of which kind an error is, and where it comes from, for a log that must not quote it: its message may have been told anything.

    Args:
        error: the error.
        function: the app's own, which raised it: the last line in its file is named, and not one of a library that it calls.
    """
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    file = None if function is None else _file_of(function)
    own = [place for place in places if place[0] == file]
    name = type(error).__name__
    if not places:
        return name
    where, line = (own or places)[-1]
    return f"{name}, {where}:{line}"


def _file_of(function: Callable[..., Any]) -> str | None:
    """Return the file that a function is written in, beneath what is wrapped around it; None if it is in none."""
    inner: Any = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    if not hasattr(inner, "__code__"):  # an object that can be called
        inner = getattr(type(inner), "__call__", None)  # noqa: B004
    code = getattr(inner, "__code__", None)
    return None if code is None else str(code.co_filename)


def forget_locals(error: BaseException) -> None:
    """Empty the frames of an error and of all that it came from, as far as they have ended."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, LLMKitError) and one.__suppress_context__:
            # Not shown, but still there for whoever walks the chain: it may hold what it stumbled over.
            one.__context__ = None
        _empty_frames(one)
        left += [one.__cause__, one.__context__]


def forgetful(function: F) -> F:
    """Let no error that leaves this function show what the function was given, or what it made of it."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return await function(*args, **kwargs)
            except BaseException as error:
                forget_locals(error)
                raise
            finally:
                del args, kwargs  # this frame has not ended yet

    else:

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                forget_locals(error)
                raise
            finally:
                del args, kwargs

    return cast("F", call)


def system_error(error: BaseException) -> OSError | None:
    """Find what the operating system or TLS said, as the cause to show. A library's own errors hold requests and what came."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, OSError) and type(one).__module__ in ("builtins", "socket", "ssl"):
            one.__traceback__ = one.__cause__ = one.__context__ = None
            return one
        one = one.__cause__ or one.__context__
    return None


def free(error: BaseException, *, but: BaseException | None = None) -> None:
    """Free what an error holds that nobody will see, and all that it came from: another stands for it.

    The library that raised it may keep it for as long as the connection, and its frames know the stream and the error: together they
    would wait for the garbage collector.

    Args:
        error: the error.
        but: what is shown all the same, as the cause of the other.
    """
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or one is but:
            continue
        left += [one.__cause__, one.__context__]
        one.__traceback__ = one.__cause__ = one.__context__ = None


def _empty_frames(error: BaseException) -> None:
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _EMPTIED:
            try:
                frame.clear()
            except RuntimeError:
                pass  # it still runs
        trace = trace.tb_next
