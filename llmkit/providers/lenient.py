"""Reading what is almost what the wire format promises.

The fast way is a typed decode by msgspec, which refuses a document for the first thing that is not as expected. What it refuses is
read here once more, with patience: a field that nobody needs may have any form.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import TypeVar, cast

import msgspec
from msgspec import inspect

from llmkit.sse import ServerSentEvent

T = TypeVar("T", bound=msgspec.Struct)

Needs = Mapping[str, Collection[str]]
"""Which fields of a struct hold the answer, by the document's `type`, or under "*" for every one.

A struct says so in its class variable `needs`. A needed field of a wrong form is an error, for text might be lost; any other is left
out. Where a struct tells its documents apart by their type, those of other types may have any form. The class variable `says` names
the fields that hold pieces of text, where half of a surrogate pair may wait for its other half in the next piece, and `lists` those where
a list has to be of its form, while anything else is none.
"""

_WHOLE = re.compile(r"\s*([0-9]{1,10})(?:\.0*)?\s*", re.ASCII)
_HALF = re.compile("[\ud800-\udfff]")
_SAYS_SOMETHING = re.compile(r'[{}\[\]"]')
# A whole text, an empty list, or a word in brackets such as [PING]; [DONE] is the end of an answer.
_SAYS_NOTHING = re.compile(r'\s*(?:"(?:[^"\\]|\\.)*"|\[\s*\]|\[(?!DONE\])[A-Za-z_-]+\])\s*')
_NAMES_A_FIELD = re.compile(
    r'"(?:candidates|choices|content|content_block|delta|error|message|text|thinking|usage)"'
)
_USAGE = re.compile(r'"usage(?:Metadata)?"\s*:\s*(?=\{)')
_LONGEST_INT = 300


def _int(digits: str) -> int | float:
    """Read a whole number; Python refuses one with thousands of digits, and nobody counts that far."""
    if len(digits) < _LONGEST_INT:
        return int(digits)
    return float("-inf" if digits.startswith("-") else "inf")


_DECODER = json.JSONDecoder(parse_int=_int)


class Misfit(ValueError):
    """A document is not of the form that is needed."""


def lenient_json(data: str) -> object:
    """Decode JSON for which msgspec is too strict.

    Some servers send NaN and Infinity (as log probabilities), or cut a text between the halves of a
    surrogate pair; such a half is left as it is, for its other half may come.

    Raises:
        ValueError, RecursionError: it is not JSON at all.
    """
    value: object = _DECODER.decode(data)
    return value


def fit(document: object, kind: type[T]) -> T:
    """Make a struct of a decoded document, without those fields that are of a wrong form and that nobody needs.

    Where a whole number is expected, one that is written as a fraction or as a text is taken: 11.0 and "11".

    Raises:
        Misfit: it is no object, or a field that is needed is of a wrong form.
    """
    return cast("T", _fit(document, _type_info(kind)))


def is_keepalive(frame: ServerSentEvent) -> bool:
    """Tell whether what stands in place of an event says nothing: a word such as `ping`, `"ok"`, `[PING]` or `null`, or an empty list.

    With another brace, bracket or quote it may be a piece of an event that was cut, and what it held would be missing; where its name
    is ping it is none, unless it has a field of an answer.
    """
    data = frame.data
    if _SAYS_SOMETHING.search(data) is None or _SAYS_NOTHING.fullmatch(data) is not None:
        return True
    return frame.event == "ping" and _NAMES_A_FIELD.search(data) is None


def report_in(body: str) -> object:
    """Find what the body of a broken answer says of tokens; None if it says nothing.

    A quote inside of a text has a backslash before it, so what looks like a name is one.
    """
    for match in reversed(list(_USAGE.finditer(body))):
        try:
            report: object = _DECODER.raw_decode(body, match.end())[0]
        except (ValueError, RecursionError):
            continue  # it is cut itself
        return report
    return None


def mended(text: str) -> str:
    """Join the halves of surrogate pairs; a half without its other becomes U+FFFD, since no UTF-8 can say it."""
    if _HALF.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def all_mended(value: object) -> object:
    """Return a decoded document with all of its texts mended."""
    match value:
        case str():
            return mended(value)
        case list():
            return [all_mended(each) for each in value]
        case dict():
            return {mended(name): all_mended(each) for name, each in value.items()}
    return value


@cache
def _type_info(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


def _fit(value: object, kind: inspect.Type) -> object:
    if isinstance(kind, inspect.UnionType):
        for each in kind.types:
            try:
                return _fit(value, each)
            except Misfit:
                pass
    elif isinstance(kind, inspect.StructType):
        if isinstance(value, dict):
            return _fit_fields(value, kind)
    elif isinstance(kind, inspect.ListType):
        if isinstance(value, list) and isinstance(kind.item_type, inspect.FloatType):
            return _fit_numbers(value)
        if isinstance(value, list):
            return _fit_items(value, kind.item_type)
    elif isinstance(kind, inspect.IntType):
        return _fit_number(value, kind)
    elif (
        isinstance(kind, inspect.AnyType)
        or (isinstance(kind, inspect.BoolType) and isinstance(value, bool))
        or (isinstance(kind, inspect.StrType) and isinstance(value, str))
        or (isinstance(kind, inspect.NoneType) and value is None)
    ):
        return value
    raise Misfit


def _fit_fields(document: Mapping[object, object], kind: inspect.StructType) -> object:
    needs: Needs = getattr(kind.cls, "needs", {})
    needed = needs.get("*") or needs.get(str(document.get("type")), ())
    says, lists = getattr(kind.cls, "says", ()), getattr(kind.cls, "lists", ())
    found = {}
    for field in kind.fields:
        name = field.encode_name
        if name in document:
            try:
                value = _fit(document[name], field.type)
            except Misfit:
                if name in needed or (name in lists and isinstance(document[name], list)):
                    raise
            else:
                if isinstance(value, str) and name not in says:
                    value = mended(value)
                found[field.name] = value
    return kind.cls(**found)


def _fit_items(items: list[object], kind: inspect.Type) -> list[object]:
    """Fit the items of a list; what is neither an object nor text cannot be a block of text."""
    tells_types = isinstance(kind, inspect.StructType) and "*" not in getattr(
        kind.cls, "needs", "*"
    )
    return [_fit(item, kind) for item in items if not tells_types or isinstance(item, dict | str)]


def _fit_numbers(items: list[object]) -> list[float]:
    """Fit a list of fractions, which may be long; what is no number, or none that can be compared, is an error."""
    if not all(type(item) in (int, float) and math.isfinite(item) for item in items):  # type: ignore[arg-type]
        raise Misfit
    return [float(item) for item in items]  # type: ignore[arg-type]


def _fit_number(value: object, kind: inspect.IntType) -> int:
    number = _whole(value)
    if number is None or not (kind.ge or 0) <= number <= (kind.le or number):
        raise Misfit
    return number


def _whole(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        match = _WHOLE.fullmatch(value)
        return int(match[1]) if match else None
    return value if type(value) is int else None
