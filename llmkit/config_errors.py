"""What is wrong in settings, in sentences that name the key and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

# Parts of the shape that this version does not have, by the path of their key.
NOT_BUILT = {
    "budgets",
    "cache",
    "ledger.connection",
    "ledger.outbox",
    "ledger.store_content",
    "namespace",
    "on_store_error",
    "redis",
    "relay.on_disconnect",
    "time_zone",
}


def explain(error: ValidationError, shape: type[BaseModel]) -> str:
    """Say everything that is wrong. No value is shown, for it may be a key."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(dict.fromkeys(_lines(problems, shape)))


def _lines(problems: list[ErrorDetails], shape: type[BaseModel]) -> Iterator[str]:
    for problem in problems:
        names = [str(part) for part in problem["loc"]]
        if names[-1] == "literal[False]":
            continue  # the other arm of a union has said it already
        path, section, defaults = _follow(names, shape)
        key = ".".join(path)
        later = next((name for name in NOT_BUILT if f"{key}.".startswith(f"{name}.")), None)
        if problem["type"] == "extra_forbidden":
            yield f"{key} is not a setting{_nearest(path, section)}"
        elif later is not None:
            yield f"{later} is not supported by this version; leave it at {defaults[later]!r}"
        else:
            yield f"{key}: {problem['msg'].removeprefix('Value error, ')}"


def _follow(
    names: list[str], shape: type[BaseModel]
) -> tuple[list[str], type[BaseModel], dict[str, Any]]:
    """Walk to the section that a problem is in, past the arms of unions, which pydantic names too."""
    path: list[str] = []
    section = shape
    defaults = {name: field.default for name, field in shape.model_fields.items()}
    for name in names:
        if name == section.__name__:
            continue
        path.append(name)
        field = section.model_fields.get(name)
        for inner in _models(field.annotation) if field is not None else ():
            section = inner
            prefix = ".".join(path)
            defaults |= {f"{prefix}.{n}": f.default for n, f in inner.model_fields.items()}
    return path, section, defaults


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the sections in an annotation."""
    if hasattr(annotation, "model_fields"):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _nearest(path: list[str], section: type[BaseModel]) -> str:
    near = get_close_matches(path[-1], section.model_fields, n=1)
    if near:
        return f"; did you mean {'.'.join([*path[:-1], near[0]])}?"
    return f" (there are {', '.join(sorted(section.model_fields))})"
