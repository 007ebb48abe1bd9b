"""How pydantic writes the schemas that a model reads, and what it says of what does not fit them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema

# What says that a validator of the app's own has refused, in words that may quote anything.
_OWN_WORDS = frozenset({"value_error", "assertion_error"})


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


def problems_of(error: ValidationError, whole: str) -> list[str]:
    """Say what is wrong, each by where it is. What a validator of the app's own says stays with the app.

    Args:
        error: pydantic's.
        whole: what is wrong if it is no part of it.
    """
    problems = []
    found = error.errors(include_url=False, include_context=False, include_input=False)
    for each in found[:_MOST]:
        at = ".".join(map(str, each["loc"])) or whole
        says = "its validator refuses it" if each["type"] in _OWN_WORDS else each["msg"]
        problems.append(f"{at}: {says}")
    if len(found) > _MOST:
        problems.append(f"and {len(found) - _MOST:,} more")
    return problems
