"""What a function takes: the JSON schema that a model is told, and the check of what it is called with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, Signature, signature
from types import FunctionType, NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import (
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUserError,
)

from llmkit.errors import InvalidRequest
from llmkit.tools.context import ToolContext
from llmkit.tools.schema import Untitled, first_line, problems_of


class Arguments:
    """The arguments of a function, without the one that is a `ToolContext`.

    Attributes:
        context: the name of that one; None if it takes none.
    """

    __slots__ = ("_adapter", "_bound", "_schema", "context")

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        """Read the function's signature.

        Raises:
            InvalidRequest: it cannot be read, or a type in it is none that JSON has.
        """
        self.context: str | None = None
        # What a partial has bound is the app's to say.
        self._bound = frozenset(function.keywords if isinstance(function, partial) else ())
        self._schema: Mapping[str, Any] | None = None
        parameters = []
        for each in _parameters(function, name):
            if each.name in self._bound:
                continue
            if _is_context(each.annotation):
                if self.context is not None:
                    raise InvalidRequest(
                        f"the tool {name} takes two contexts, {self.context} and {each.name}",
                        hint="One is enough: remove the other.",
                    )
                self.context = each.name
            else:
                parameters.append(each)

        def called(**arguments: Any) -> dict[str, Any]:
            return arguments

        called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # which pydantic reads
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        described: Any = called
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(described)
        except (PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
            raise _unusable(name, error) from error

    def schema(self, name: str) -> Mapping[str, Any]:
        """Return the JSON schema.

        Raises:
            InvalidRequest: a type has none.
        """
        if self._schema is None:
            try:
                self._schema = _untitled(self._adapter.json_schema(schema_generator=Untitled))
            except (PydanticInvalidForJsonSchema, PydanticUserError) as error:
                raise _unusable(name, error) from error
        return self._schema

    def checked(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that a model has said, as the function takes them.

        Raises:
            WrongArguments: they are not what it takes.
        """
        try:
            arguments: dict[str, Any] = self._validated(said)
        except ValidationError as error:
            raise WrongArguments("\n".join(problems_of(error, "the arguments"))) from None
        for name in self._bound & arguments.keys():  # of a function that takes any
            raise WrongArguments(f"{name}: Unexpected keyword argument")
        return arguments

    def _validated(self, said: Mapping[str, Any]) -> Any:
        """Check them as what they were when the model said them, which is JSON: in Python a text is no date."""
        try:
            content = json.dumps(dict(said), allow_nan=False)
        except ValueError:
            raise WrongArguments("a number in them is not finite, which is no JSON") from None
        except (TypeError, RecursionError):  # the app has changed them
            return self._adapter.validate_python(dict(said))
        return self._adapter.validate_json(content)


class WrongArguments(Exception):
    """What a model has called a tool with is not what it takes; the message is for the model."""


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    """Take out the titles that pydantic before 2.11 makes of the arguments' names all the same."""
    for name, each in schema.get("properties", {}).items():
        if each.get("title") == name.title().replace("_", " ").strip():
            del each["title"]
    return schema


_KNOWN: WeakKeyDictionary[Callable[..., Any], Arguments] = WeakKeyDictionary()


def arguments_of(function: Callable[..., Any], name: str) -> Arguments:
    """Return the arguments of a function, which are read once.

    Raises:
        InvalidRequest: they cannot be read.
    """
    if not isinstance(function, FunctionType):
        return Arguments(function, name)
    found = _KNOWN.get(function)
    if found is None:
        found = _KNOWN[function] = Arguments(function, name)
    return found


def _parameters(function: Callable[..., Any], name: str) -> list[Parameter]:
    try:
        described = signature(function, follow_wrapped=True)
        hints = get_type_hints(_hinted(function), include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise _unusable(name, error) from error
    found = []
    for each in described.parameters.values():
        if each.kind is Parameter.VAR_POSITIONAL:
            raise InvalidRequest(
                f"the tool {name} takes *{each.name}, which a model cannot give: it says each argument by its name",
                hint="Take a list instead.",
            )
        if each.kind is Parameter.POSITIONAL_ONLY:
            raise InvalidRequest(
                f"the tool {name} takes {each.name} by its position only",
                hint="A model says each argument by its name: remove the / from its signature.",
            )
        kind = each.kind if each.kind is Parameter.VAR_KEYWORD else Parameter.KEYWORD_ONLY
        annotation = hints.get(each.name, Any)
        found.append(each.replace(kind=kind, annotation=annotation))
    return found


def _is_context(annotation: Any) -> bool:
    """Whether a parameter is the app's: a `ToolContext`, or one that may be None where the app itself calls the function."""
    kinds = {annotation}
    if get_origin(annotation) is Annotated:
        kinds = {annotation.__origin__}
    elif get_origin(annotation) in (Union, UnionType):
        kinds = {*get_args(annotation)}
    return ToolContext in kinds and kinds <= {ToolContext, NoneType}


def _hinted(function: Any) -> Any:
    """Return where the annotations of something that is called stand."""
    function = getattr(function, "func", function)  # of a partial
    if hasattr(function, "__annotations__") and not isinstance(function, type):
        return getattr(function, "__wrapped__", function)
    called = "__init__" if isinstance(function, type) else "__call__"
    return getattr(function if isinstance(function, type) else type(function), called)


def _unusable(name: str, error: Exception) -> InvalidRequest:
    return InvalidRequest(
        f"the arguments of the tool {name} cannot be described: {first_line(error)}",
        hint="Annotate them with types that JSON has, pydantic models or dataclasses, which its module can see.",
    )
