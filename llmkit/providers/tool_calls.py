"""The calls of tools in an answer, as they grow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from llmkit.events import StopReason, ToolCallDelta
from llmkit.parts import ToolCall
from llmkit.providers.lenient import all_mended, lenient_json, mended

_DEEPEST = 200
"""How deep the lists and objects of a call's arguments may be nested. No tool takes more, pydantic reads no more, and whoever writes them
again may have used up most of Python's own limit."""

_TOO_DEEP = "asked for a call of a tool with arguments that are nested too deep"


class BrokenCall(Exception):
    """A call is cut off, or is none.

    Args:
        what: what is wrong with it, behind the provider's name.
        is_cut: whether the limit of the answer's length has cut it.
    """

    def __init__(self, what: str, *, is_cut: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.is_cut = is_cut


@dataclass(slots=True)
class _Growing:
    """A call that is not whole yet. `key` is what its pieces are known by, `given_id` the provider's id for it."""

    index: int
    key: int | str | None
    given_id: str | None
    id: str
    name: str
    signature: str | None = None
    pieces: list[str] = field(default_factory=list)


class Calls:
    """Puts calls together from their pieces. None is handed on before the answer has ended as it should.

    Pieces belong together by the index, or another key, that the provider gives them; the id and the name come with the first one, though some servers repeat
    them, leave the index out, or give every call the same one.
    """

    __slots__ = ("_calls", "_ids", "_passed", "_strayed")

    def __init__(self) -> None:
        self._calls: list[_Growing] = []
        self._ids: set[str] = set()
        self._passed: set[int | str | None] = set()
        self._strayed = False

    def begin(
        self,
        key: int | str | None,
        name: str | None,
        piece: object,
        *,
        given_id: str | None,
        signature: str | None = None,
    ) -> ToolCallDelta:
        """Begin a call, with what is known of its arguments."""
        index = len(self._calls)
        own_id = self._new_id(given_id, index)
        call = _Growing(index, key, given_id, own_id, name or "", signature)
        self._calls.append(call)
        self._passed.discard(key)
        return _grown(call, piece)

    def pass_over(self, key: int | str | None) -> None:
        """Let something else begin, whose pieces are no arguments of a call: a tool that the provider runs itself."""
        self._passed.add(key)

    def add(self, key: int | str | None, piece: str | None) -> ToolCallDelta | None:
        """Add a piece of the arguments of a call that has begun; None if it belongs to none, or says nothing."""
        if key in self._passed or piece == "":
            return None
        call = self._latest(key)
        if call is None or piece is None:
            self._strayed = True
            return None
        return _grown(call, piece)

    def take(
        self, key: int | str | None, piece: object, *, name: str | None, given_id: str | None
    ) -> ToolCallDelta:
        """Take in a piece of a call that has begun or begins with it."""
        call = self._latest(key)
        is_new = call is None or (
            name is not None
            and given_id is not None
            and call.given_id is not None
            and given_id != call.given_id
        )
        if call is None or is_new:
            return self.begin(key, name, piece, given_id=given_id)
        call.name = call.name or name or ""
        return _grown(call, piece)

    def whole(self, stop_reason: StopReason) -> list[ToolCall]:
        """Return the calls of an answer that has ended.

        Raises:
            BrokenCall: one of them is cut off, has no name, or arguments that are no JSON object; or it is not known whose some arguments are.
        """
        if self._strayed and self._calls:
            raise BrokenCall("sent arguments of a tool that cannot be read, or belong to no call")
        is_cut = stop_reason == "max_tokens"
        found = []
        for call in self._calls:
            is_last = call is self._calls[-1]
            arguments = _arguments(
                mended("".join(call.pieces)).strip(), may_be_none=not (is_cut and is_last)
            )
            if arguments is None and is_cut and is_last:
                raise BrokenCall(
                    "was cut off in a call of a tool by the limit of its length", is_cut=True
                )
            if arguments is None:
                raise BrokenCall(
                    "asked for a call of a tool with arguments that are no JSON object"
                )
            if not call.name:
                raise BrokenCall("asked for a call of a tool that it does not name")
            name, signature = mended(call.name), call.signature
            found.append(ToolCall(id=call.id, name=name, arguments=arguments, signature=signature))
        return found

    def _latest(self, key: int | str | None) -> _Growing | None:
        for call in reversed(self._calls):
            if key is None or call.key == key:
                return call
        return None

    def _new_id(self, given_id: str | None, index: int) -> str:
        """Name a call so that its result can name it: as the provider does, if no other call of the answer has that id."""
        stem = name = mended(given_id) if given_id else f"call_{index}"
        while name in self._ids:
            name = f"{stem}_{index}"
            index += 1
        self._ids.add(name)
        return name


def _grown(call: _Growing, piece: object) -> ToolCallDelta:
    text = piece if isinstance(piece, str) else _as_text(piece)
    call.pieces.append(text)
    return ToolCallDelta(index=call.index, id=call.id, name=call.name, arguments=text)


def _as_text(arguments: object) -> str:
    """Write arguments that came as an object, as some servers send them.

    Raises:
        BrokenCall: they are nested too deep.
    """
    try:
        return "" if arguments is None else json.dumps(arguments)
    except RecursionError:
        raise BrokenCall(_TOO_DEEP) from None


def _arguments(text: str, *, may_be_none: bool) -> Mapping[str, Any] | None:
    """Read the arguments of a call; nothing at all is none, where that can be. Some servers write their JSON as a text of JSON.

    Raises:
        BrokenCall: they are nested too deep.
    """
    if not text:
        return {} if may_be_none else None
    for _ in range(2):
        try:
            found = lenient_json(text)
            if "\\u" in text:  # only so can it have half of a surrogate pair
                found = all_mended(found)
        except RecursionError:
            raise BrokenCall(_TOO_DEEP) from None
        except ValueError:
            return None
        if isinstance(found, dict):
            if text.count("{") + text.count("[") > _DEEPEST and _is_too_deep(found):
                raise BrokenCall(_TOO_DEEP)
            return found
        if not isinstance(found, str):
            return None
        text = found
    return None


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST + 1):
        inner = [
            each.values() if isinstance(each, dict) else each
            for each in level
            if isinstance(each, dict | list)
        ]
        if not inner:
            return False
        level = list(chain.from_iterable(inner))
    return True
