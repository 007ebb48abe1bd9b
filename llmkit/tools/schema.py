"""How pydantic writes the schemas that a model reads, and what it says of what does not fit them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import ErrorType

# What pydantic says itself. All else a validator of the app's own says, in words that may quote anything.
_PYDANTICS = frozenset(get_args(ErrorType)) - {"value_error", "assertion_error"}


# How many faults are said: who has to mend thousands begins with the first.
_MOST = 20


class Untitled(GenerateJsonSchema):
    """Makes no titles: they say the name again, and each is paid for."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Say that none should."""
        return False


def first_line(error: Exception) -> str:
    """Return what pydantic says first of a type that has no schema, without a stop."""
    return str(error).splitlines()[0].rstrip(".")


def words_of(schema: Any) -> frozenset[str]:
    """Return all names and words in a schema: what is among them was not made up by a model."""
    found: set[str] = set()
    left = [schema]
    while left:
        match left.pop():
            case str() as word:
                found.add(word)
            case list() as items:
                left += items
            case Mapping() as fields:
                found.update(fields)
                left += fields.values()
    return frozenset(found)


def problems_of(
    error: ValidationError, whole: str, *, words: Collection[str] | None = None
) -> list[str]:
    """Say what is wrong, each by where it is. What a validator of the app's own says stays with the app.

    Args:
        error: pydantic's.
        whole: what is wrong if it is no part of it.
        words: those that may be said, for whoever may not read what is wrong itself. None: all.
    """
    problems = []
    found = error.errors(include_url=False, include_context=False, include_input=False)
    for each in found[:_MOST]:
        names = [
            str(name) if words is None or isinstance(name, int) or name in words else "?"
            for name in each["loc"]
        ]
        at = ".".join(names) or whole
        says = each["msg"] if each["type"] in _PYDANTICS else "its validator refuses it"
        if words is not None and each["type"] == "union_tag_invalid":  # which quotes it
            says = "its kind is none of those that there are"
        problems.append(f"{at}: {says}")
    if len(found) > _MOST:
        problems.append(f"and {len(found) - _MOST:,} more")
    return problems
