"""What an answer has to be: a type of the app's, its schema, and the check of what a model says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from inspect import isroutine
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import (
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUserError,
)
from pydantic_core import SchemaError
from typing_extensions import TypedDict

from llmkit.errors import InvalidRequest, OutputInvalid, ToolError
from llmkit.errors.answers import check_whole
from llmkit.outputs.strict import NotStrict, strict
from llmkit.response import Response
from llmkit.tools.schema import Untitled, first_line, problems_of, words_of
from llmkit.tools.tool import CHOICES

OutputMode = Literal["native", "tool"]
"""How a model is held to a type: by the vendor's own means, or by a tool that it has to call."""
MODES = ("native", "tool")

_EXAMPLES = "Pass a pydantic model, a dataclass, a TypedDict, a list of those, or a Literal."

NOTHING = object()
"""What a beginning comes to that is no value yet."""

# How much longer a beginning has to be than the last one before it is read again: a part of it, so that a long one is not read at every token.
_GROWTH = 20


class Output:
    """A type that an answer has to be of.

    Attributes:
        name: of the type, for the vendor.
        schema: an object's; what is no object by itself is its `value`.
        strict_schema: the same as a vendor holds a model to it; None if it cannot be said so.
    """

    __slots__ = ("_adapter", "_is_wrapped", "name", "schema", "strict_schema")

    def __init__(self, kind: Any) -> None:
        """Read a type.

        Raises:
            InvalidRequest: there is no schema for it.
        """
        name = getattr(kind, "__name__", None)
        self.name = _NO_NAME.sub("_", name)[:64] if isinstance(name, str) and name else "answer"
        if self.name in CHOICES:  # a vendor would take it for another word
            self.name = f"{self.name}_answer"
        if isroutine(kind):  # pydantic would call it with the answer
            raise InvalidRequest(
                f"output_type is the function {self.name}, not a type", hint=_EXAMPLES
            )
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(kind)
            schema = adapter.json_schema(schema_generator=Untitled)
            self._is_wrapped = not _is_object(schema)
            if self._is_wrapped:
                adapter = TypeAdapter(TypedDict("Answer", {"value": kind}))  # type: ignore[operator]
                schema = adapter.json_schema(schema_generator=Untitled)
        except (
            PydanticInvalidForJsonSchema,
            PydanticSchemaGenerationError,
            PydanticUserError,
            SchemaError,
            NameError,
            TypeError,
        ) as error:
            raise InvalidRequest(
                f"output_type cannot be described: {first_line(error)}",
                hint=_EXAMPLES,
            ) from error
        self._adapter = adapter
        self.schema: Mapping[str, Any] = schema
        self.strict_schema: Mapping[str, Any] | None
        try:
            self.strict_schema = strict(schema)
        except NotStrict:
            self.strict_schema = None

    @property
    def described(self) -> str:
        """What a model reads of it."""
        return self.name + json.dumps(self.schema, ensure_ascii=False, default=str)

    def read(self, response: Response) -> Any:
        """Return what an answer says.

        Raises:
            AnswerRefused: the model, or the provider, has refused to answer.
            AnswerCut: it reached its limit of tokens.
            OutputInvalid: it is not of this type.
        """
        check_whole(response)
        try:
            value = self._adapter.validate_json(self._json_in(response.text))
        except ValidationError as error:
            problems = problems_of(error, "the answer")
            shown = problems_of(error, "the answer", words=words_of(self.schema))
        except ToolError as error:
            problems = shown = [str(error)]
        else:
            return value["value"] if self._is_wrapped else value
        raise OutputInvalid(response, self.name, problems, shown=shown)

    def fits(self, response: Response) -> bool:
        """Whether an answer can be read as this type."""
        try:
            self.read(response)
        except Exception:  # noqa: BLE001  # a validator of the app's own may raise anything: whoever reads it is told
            return False
        return True

    def begun(self, text: str) -> Any:
        """Return what the beginning of an answer says, as far as it is of this type; `NOTHING` if it is not yet."""
        begun = self._json_in(text, whole=False)
        try:
            value = self._adapter.validate_json(
                begun, experimental_allow_partial="trailing-strings"
            )
        except Exception:  # noqa: BLE001  # a validator of the app's own need not expect half of anything
            return NOTHING
        if self._is_wrapped:
            return value.get("value", NOTHING)
        return value

    def _json_in(self, text: str, *, whole: bool = True) -> str:
        """Take out what is to be read: an object, or what it is to have as its value, where a server that knows no schemas says that alone."""
        if self._is_wrapped:
            bare = _FENCE.sub("", text)
            if _BARE.match(bare):
                return f'{{"value":{bare}{"}" if whole else ""}'
        return _object_in(text, whole=whole)


class Beginnings:
    """Reads an answer while it grows.

    Args:
        output: what it has to be.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._text = ""
        self._read = 0
        self._last: Any = NOTHING

    def add(self, text: str) -> Any:
        """Take in more text. Return what the whole of it says now; `NOTHING` if that is nothing new."""
        self._text += text
        if len(self._text) - self._read < max(1, len(self._text) // _GROWTH):
            return NOTHING
        self._read = len(self._text)
        return self.take(self._output.begun(self._text))

    def take(self, value: Any) -> Any:
        """Return a value if it is a new one; else `NOTHING`."""
        if value is NOTHING or value is self._last or _equal(value, self._last):
            return NOTHING
        self._last = value
        return value

    def clear(self) -> None:
        """Begin again."""
        self._text, self._read = "", 0


@lru_cache(maxsize=256)
def output_of(kind: Any) -> Output:
    """Return what an answer has to be; a type is read once.

    Raises:
        InvalidRequest: there is no schema for it.
    """
    return Output(kind)


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001  # the app's own type compares itself
        return False


_FENCE = re.compile(r"\A\s*```\w*\s*|\s*```\s*\Z")
_BARE = re.compile(r"""["\[\d-]|(?:true|false|null)\Z""")
_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")


def _is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object" and "properties" in schema


def _object_in(text: str, *, whole: bool = True) -> str:
    """Take the object out of what servers put around it that know no schemas: a fence, or a sentence before it."""
    begins = text.find("{")
    ends = text.rfind("}") + 1 if whole else len(text)
    return text[begins:ends] if 0 <= begins < ends else text
