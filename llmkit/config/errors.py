"""What is wrong in settings, in sentences that name the key and the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from llmkit.config.words import words_of
from llmkit.kinds import kind_of
from llmkit.providers.vendors import VENDORS, vendor_of

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

NOT_BUILT = object()
"""Marks a setting that this version has only at its default value."""

# What an adapter takes beside the settings.
_ARGUMENTS = {"get_user", "kit", "prefix"}
_EXAMPLES = {
    "providers": '"anthropic": {"api_key": "..."}',
    "prices": '"local:smollm2": {"input": "0.1", "output": "0.2"}',
}
_CLOSED = "'closed', or a dict such as {\"requests\": 50} of what each process may use"
_NOT_A_DICT = ("dict_type", "model_type", "model_attributes_type")


def without_provider(name: str) -> str:
    """Say what is wrong with a model that is not named as provider:model, and what was meant if that can be known."""
    meant = meant_model(name)
    if meant is None:
        return f"{name!r} is not of the form provider:model, such as 'anthropic:claude-sonnet-4-5'"
    return f"{name!r} is not of the form provider:model; did you mean {meant!r}?"


def meant_model(name: str) -> str | None:
    """Say which model is meant by a name that is not of the form provider:model, if that can be known."""
    provider, slash, model = name.partition("/")
    if slash and model and provider in VENDORS:  # as other libraries write it
        return f"{provider}:{model}"
    vendor = None if ":" in name else vendor_of(name)
    return None if vendor is None else f"{vendor}:{name}"


def explain(error: ValidationError, shape: type[BaseModel], settings: Mapping[str, Any]) -> str:
    """Say everything that is wrong in these settings. No value is shown, for it may be a key."""
    problems = error.errors(include_url=False, include_context=False)
    return "; ".join(dict.fromkeys(_lines(problems, shape, settings)))


def _lines(
    problems: list[ErrorDetails], shape: type[BaseModel], settings: Mapping[str, Any]
) -> Iterator[str]:
    for problem in problems:
        names = [str(part) for part in problem["loc"]]
        said = problem["msg"].removeprefix("Value error, ")
        if not names:  # of the whole
            yield said
            continue
        if names[-1].startswith("literal["):
            continue  # the other arm of a union has said it already
        path, section, later = _follow([name for name in names if name != "[key]"], shape)
        path = _as_written(path, settings)
        key = ".".join(path)
        if problem["type"] == "extra_forbidden":
            yield f"{key} is not a setting{_meant(path, section, shape)}"
        elif later is not None:
            yield f"{later} is not supported by this version; remove it"
        elif names[-1] == "[key]" and problem["type"] == "string_type":
            yield f"{key}: a name has to be a str, not {kind_of(problem.get('input'))}"
        elif path[-1] == "on_store_error" and problem["type"] in (*_NOT_A_DICT, "literal_error"):
            yield f"{key}: {_on_store_error(path, problem)}"
        elif problem["type"] in _NOT_A_DICT:
            yield f"{key} has to be a dict{_keys(path, section)}"
        else:
            yield f"{key}: {words_of(problem, path, section.model_fields.get(path[-1]))}"


def _follow(
    names: list[str], shape: type[BaseModel]
) -> tuple[list[str], type[BaseModel], str | None]:
    """Walk to the section that a problem is in, past the arms of unions, which pydantic names too.

    Returns:
        The path, the section, and the setting on the way that is not built yet.
    """
    path: list[str] = []
    section, later = shape, None
    left = iter(names)
    for name in left:
        path.append(name)
        field = section.model_fields.get(name)
        if field is None:
            continue
        if NOT_BUILT in field.metadata:
            later = ".".join(path)
        for inner in _models(field.annotation):
            section = inner
        if get_origin(field.annotation) is dict:
            path += islice(left, 1)  # a name of the app's own, whatever it is
            if section is shape:
                return [*path, *left], section, later
        elif section is not shape and _has_arms(field.annotation):
            next(left, None)  # the arm that was tried
    return path, section, later


def _has_arms(annotation: Any) -> bool:
    """Say whether pydantic names what it tried: not where the other is None."""
    arms = [arm for arm in get_args(annotation) if arm is not NoneType]
    return get_origin(annotation) in (Union, UnionType) and len(arms) > 1


def _as_written(path: list[str], settings: Any) -> list[str]:
    """Leave out the place in a list where the settings have a string, which stands for a list of one."""
    value = settings
    for at, name in enumerate(path):
        if isinstance(value, str):
            return path[:at]
        value = value.get(name) if isinstance(value, Mapping) else None
    return path


def _supported(section: type[BaseModel]) -> list[str]:
    """Return the names that may be set in a section."""
    fields = section.model_fields.items()
    return sorted(name for name, field in fields if NOT_BUILT not in field.metadata)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the sections in an annotation."""
    if hasattr(annotation, "model_fields"):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _meant(path: list[str], section: type[BaseModel], shape: type[BaseModel]) -> str:
    """Say what a key that does not exist may be meant for: one of a like name, or of the same name in another section."""
    if len(path) == 1 and path[0] in _ARGUMENTS:
        return f": pass it to the adapter, as in LLMKit(app, {path[0]}=...) or LLMKitMiddleware(app, {path[0]}=...)"
    known = _supported(section)
    near = get_close_matches(path[-1].lower(), known, n=1)
    meant = [".".join([*path[:-1], *near])] if near else []
    meant += [found for found in _elsewhere(path[-1], shape) if found not in meant]
    if meant:
        return f"; did you mean {' or '.join(meant)}?"
    return f" (known settings: {', '.join(known)})"


def _elsewhere(name: str, shape: type[BaseModel]) -> Iterator[str]:
    for section, field in shape.model_fields.items():
        for inner in _models(field.annotation):
            if name in _supported(inner):
                is_by_name = get_origin(field.annotation) is dict
                yield f"{section}.<name>.{name}" if is_by_name else f"{section}.{name}"


def _on_store_error(path: list[str], problem: ErrorDetails) -> str:
    """Say what one of the two settings of this name has to be, and that the other was meant if that can be known."""
    given = problem.get("input")
    is_of_rows = len(path) > 1
    meant = ""
    if is_of_rows and (given == "closed" or isinstance(given, dict)):
        meant = "; did you mean on_store_error, beside ledger and not in it?"
    elif not is_of_rows and given in ("outbox", "refuse"):
        meant = "; did you mean ledger.on_store_error?"
    may_be = "'outbox' or 'refuse'" if is_of_rows else _CLOSED
    return f"it has to be {may_be}{meant}"


def _keys(path: list[str], section: type[BaseModel]) -> str:
    """Show what a section that is no dict looks like."""
    if path == ["models"]:
        return ' of aliases; did you mean {"models": {"default": "anthropic:claude-sonnet-4-5"}}?'
    if len(path) > 2 and path[-1] == "headers":  # of a provider
        return ', such as {"x-team": "search"}'
    if len(path) == 1 and path[0] in ("providers", "prices"):
        return f", such as {{{_EXAMPLES[path[0]]}}}"
    otherwise = ", or False to record nothing" if path == ["ledger"] else ""
    return f" with some of the keys {', '.join(_supported(section))}{otherwise}"
