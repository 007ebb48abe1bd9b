"""The arguments of a call that comes in pieces: each says where it stands, as a JSON path such as `$.trips[0].city`.

Source: cloud.google.com/vertex-ai, "Function calling", streaming of arguments; RFC 9535 has the paths.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec

from llmkit.providers.gemini.documents import PartialArg

_STEP = re.compile(r"\.([^.\[\]\s]+)|\[([0-9]{1,9})\]|\[('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\]")
_DEEPEST = 64
_WHOLE = 2.0**53


class NoPlace(ValueError):
    """A piece says of itself that it stands where nothing can stand."""


class Text:
    """A text that grows."""

    __slots__ = ("pieces",)

    def __init__(self) -> None:
        self.pieces: list[str] = []


class Arguments:
    """Puts the arguments of one call together."""

    __slots__ = ("_fields", "_open")

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether a text has said that more of it will come."""
        return self._open

    def add(self, piece: PartialArg) -> None:
        """Take in a piece.

        Raises:
            NoPlace: it does not say where it stands, or where there is something else already.
        """
        steps = _steps(piece.json_path or "")
        last = steps[-1]
        place: Any = self._fields
        for step, behind in pairwise(steps):
            place = _at(place, step, {} if isinstance(behind, str) else [])
        if piece.string_value is not None:
            found = _at(place, last, Text())
            if not isinstance(found, Text):
                raise NoPlace
            found.pieces.append(piece.string_value)
        else:
            _put(place, last, _value(piece))
        self._open = bool(piece.will_continue)

    def to_json(self) -> str:
        """Write what there is."""
        return msgspec.json.encode(_plain(self._fields)).decode()


def _steps(path: str) -> list[str | int]:
    """Take a path apart: names of fields, and numbers in lists."""
    if not path.startswith("$"):
        raise NoPlace
    at = 1
    steps: list[str | int] = []
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or len(steps) == _DEEPEST:
            raise NoPlace
        name, number, quoted = step.groups()
        if number is not None:
            steps.append(int(number))
        else:
            steps.append(_unquoted(quoted) if quoted is not None else name)
        at = step.end()
    if not steps or not isinstance(steps[0], str):
        raise NoPlace
    return steps


def _unquoted(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted[1:-1])


def _at(place: Any, step: str | int, new: Any) -> Any:
    """Return what stands somewhere; something new where there is nothing yet."""
    if isinstance(step, str) and isinstance(place, dict):
        return place.setdefault(step, new)
    if isinstance(step, int) and isinstance(place, list):
        if step < len(place):
            return place[step]
        if step == len(place):  # no list has a hole
            place.append(new)
            return new
    raise NoPlace


def _put(place: Any, step: str | int, value: Any) -> None:
    known = object()
    if _at(place, step, known) is not known:
        raise NoPlace
    place[step] = value


def _value(piece: PartialArg) -> Any:
    number = piece.number_value
    if isinstance(number, float) and number.is_integer() and abs(number) < _WHOLE:
        return int(number)  # all its numbers are doubles; a whole one is meant as such
    if type(number) in (int, float):
        return number
    if isinstance(piece.bool_value, bool):
        return piece.bool_value
    if piece.null_value is not msgspec.UNSET:
        return None
    raise NoPlace


def _plain(value: Any) -> Any:
    if isinstance(value, Text):
        return "".join(value.pieces)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
