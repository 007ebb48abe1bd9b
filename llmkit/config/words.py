"""What pydantic finds wrong with a value, in the words of llmkit's errors."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from llmkit.kinds import kind_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_WHOLE = "it has to be a whole number, not {kind}"
_NUMBER = "it has to be a number, not {kind}"
_TRUTH = "it has to be True or False, not {kind}"
_BY_TYPE = {
    "bool_parsing": _TRUTH,
    "bool_type": _TRUTH,
    "decimal_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "finite_number": "it has to be a finite number",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "int_from_float": "it has to be a whole number",
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "invalid_key": "the name of a setting has to be a str",
    "string_pattern_mismatch": "it may only have letters, digits and the characters _ . : -",
    "string_too_short": "it is empty",
    "string_type": "it has to be a str, not {kind}",
    "too_short": "it is empty",
}
_LISTS = {
    "allowed_origins": 'a list such as ["https://app.example"]',
    "budgets": 'a list of dicts, such as [{"scope": "user", "per": "month", "usd": 20}]',
    "models": 'a list such as ["smart"]',
}
_MODEL = 'a model, such as "anthropic:claude-sonnet-4-5", or a list of models'
_BOUND = re.compile(r"Input should be (greater|less) than or equal to (\S+)")


def words_of(problem: ErrorDetails, path: list[str], field: FieldInfo | None) -> str:
    """Say what is wrong with a value. It is not shown, for it may be a key.

    Args:
        problem: as pydantic has it.
        path: the names that lead to the setting.
        field: the setting; None if it is one of the app's own names.
    """
    kind, given, said = problem["type"], problem.get("input"), problem["msg"]
    if kind == "tuple_type":
        what = _MODEL if len(path) > 1 and path[-2] == "models" else _LISTS.get(path[-1], "a list")
        return f"it has to be {what}, not {kind_of(given)}"
    if kind == "missing":
        return f"it is missing{_allowed(field)}"
    if kind == "literal_error":
        return _choices(said, given)
    if kind in _BY_TYPE:
        return _BY_TYPE[kind].format(kind=kind_of(given))
    bound = _BOUND.match(said)
    if bound is not None:
        return f"it has to be {bound[2]} or {'more' if bound[1] == 'greater' else 'less'}"
    return said.removeprefix("Value error, ").replace("Input should be", "it has to be")


def _allowed(field: FieldInfo | None) -> str:
    """Say what a setting that is missing may be, if it is one of a few."""
    if field is None:
        return ""
    if field.description:
        return f"; {field.description}"
    if get_origin(field.annotation) is not Literal:
        return ""
    *most, last = map(repr, get_args(field.annotation))
    return f"; it has to be {', '.join(most)} or {last}"


def _choices(said: str, given: object) -> str:
    """Say which words there are, and which one was meant if that can be known."""
    said = said.replace("Input should be", "it has to be")
    words = re.findall(r"'([^']*)'", said)
    near = get_close_matches(given.lower(), words, n=1) if isinstance(given, str) else []
    return f"{said}; did you mean {near[0]!r}?" if near else said
