"""Typed answers: what a vendor is told of a type, and what is made of what a model says."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import itertools
import json
import math
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import AfterValidator, BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from llmkit import (
    AnswerCut,
    AnswerRefused,
    FunctionProvider,
    InvalidRequest,
    OutputInvalid,
    Response,
    Tool,
    ToolError,
    Usage,
)
from llmkit.call import build_call
from llmkit.events import Event, Finish, StopReason, TextDelta, ThinkingDelta, ToolCallDelta
from llmkit.outputs.output import NOTHING, Beginnings, Output, output_of
from llmkit.outputs.strict import NotStrict, strict
from llmkit.parts import ToolCall
from llmkit.policy.estimate import estimate_prompt
from llmkit.policy.output_mode import SpokenDecoder, as_tool, held_back
from llmkit.providers.anthropic import Anthropic
from llmkit.providers.gemini import Gemini
from llmkit.providers.ollama import Ollama
from llmkit.providers.openai import OpenAI
from llmkit.testing.emulator.checks.schemas import schema_problems
from support.decoding import call


def provider_of(name: str) -> Any:
    """Make a provider of a name, whatever it speaks."""
    kind = {"anthropic": Anthropic, "gemini": Gemini, "ollama": Ollama}.get(name, OpenAI)
    return kind(name, api_key="k")


class Level(enum.Enum):
    """How urgent."""

    LOW = "low"
    HIGH = "high"


class Person(BaseModel):
    """Somebody."""

    name: str
    born: dt.date | None = None
    role: Literal["agent", "customer"] = "customer"
    tags: list[str] = []


class Triage(BaseModel):
    """What is to be done."""

    level: Level = Field(description="how urgent")
    who: Person = Field(description="who asks")
    minutes: int = Field(ge=1, le=60)
    code: Annotated[str, Field(pattern="^[A-Z]+$", max_length=3)] = "A"
    price: Decimal = Decimal(1)


class Node(BaseModel):
    """A tree."""

    value: int
    children: list[Node] = []


@dataclasses.dataclass
class Point:
    """A place."""

    x: int
    y: int = 0


class Row(TypedDict):
    """A row."""

    a: int
    b: str


class Secret(BaseModel):
    """What nobody may know."""

    code: str

    @field_validator("code")
    @classmethod
    def no(cls, value: str) -> str:
        """Refuse it."""
        raise ValueError(f"what {value} is")


TYPES = [
    (Triage, {"level": "high", "who": {"name": "K"}, "minutes": 5}),
    (Node, {"value": {"value": 1, "children": [{"value": 2, "children": []}]}}),
    (Point, {"x": 1, "y": 2}),
    (Row, {"a": 1, "b": "x"}),
    (list[Point], {"value": [{"x": 1, "y": 2}]}),
    (Literal["a", "b"], {"value": "b"}),
    (int, {"value": 3}),
    (Level, {"value": "low"}),
    (Point | Row, {"value": {"x": 1, "y": 2}}),
    (Person | None, {"value": None}),
]


@pytest.mark.parametrize(("kind", "said"), TYPES, ids=repr)
def test_what_vendors_are_told_is_what_they_take(kind: Any, said: dict[str, Any]) -> None:
    """An object whose fields have all to be there, in the words that both know; the answer is of the type."""
    output = Output(kind)
    for schema in (output.strict_schema, output.schema):
        assert schema is not None
        assert schema["type"] == "object"
    for wire in ("anthropic", "openai"):
        assert list(schema_problems(output.strict_schema, wire)) == []
    value = output.read(answer(json.dumps(said)))
    inner = said["value"] if set(said) == {"value"} else said
    if isinstance(inner, dict) and isinstance(value, BaseModel):
        assert value.model_dump(mode="json", exclude_unset=True) == inner
    elif kind is Point:
        assert value == Point(1, 2)
    elif kind == list[Point]:
        assert value == [Point(1, 2)]
    elif kind is Level:
        assert value is Level.LOW


def test_what_cannot_be_said_goes_into_the_description() -> None:
    """So that the model knows of it; it is checked all the same."""
    said = Output(Triage).strict_schema
    assert said is not None
    fields = said["properties"]
    assert fields["minutes"] == {"type": "integer", "description": "(maximum: 60, minimum: 1)"}
    assert fields["code"] == {"type": "string", "description": "(maxLength: 3, pattern: ^[A-Z]+$)"}
    assert set(said["required"]) == set(fields)
    assert "default" not in json.dumps(said)
    assert "title" not in fields["minutes"]
    with pytest.raises(OutputInvalid, match="minutes: Input should be less than or equal to 60"):
        Output(Triage).read(answer('{"level": "low", "who": {"name": "K"}, "minutes": 61}'))


class Pair(NamedTuple):
    """Two."""

    a: int
    b: str


@pytest.mark.parametrize(
    "kind",
    [dict[str, int], list[Any], tuple[int, str], Pair, dict[str, Person], list[dict[str, int]]],
)
def test_what_no_vendor_holds_a_model_to(kind: Any) -> None:
    """Fields and values of any kind: a tool says them."""
    output = Output(kind)
    assert output.strict_schema is None
    assert output.schema["type"] == "object"
    asked = as_tool(call(output=output), provider_of("openai"), "gpt-5")
    assert asked.output is None
    assert asked.tools[0].schema == output.schema
    with pytest.raises(InvalidRequest, match="the vendor cannot hold a model to"):
        as_tool(call(output=output, output_mode="native"), provider_of("openai"), "gpt-5")


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "array"},
        {"allOf": [{"type": "null"}]},
        {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": True},
        {"type": "string", "allOf": [{"minLength": 1}]},
        {"type": "array", "items": True},
    ],
    ids=str,
)
def test_schemas_that_are_not_strict(schema: dict[str, Any]) -> None:
    """Those that pydantic makes of types that know no bounds."""
    with pytest.raises(NotStrict):
        strict(schema)


@pytest.mark.parametrize("kind", [lambda: 1, "Nowhere", 3, Usage.__init__, len, [int]])
def test_what_is_no_type(kind: Any) -> None:
    """Said before anything is sent."""
    with pytest.raises(InvalidRequest, match="output_type (cannot be described|is the function)"):
        build_call(
            "hi",
            {"output_type": kind},
            call_id="c",
            default_model="m",
            default_max_tokens=1,
            streaming=False,
        )


def test_a_type_is_read_once() -> None:
    """Its schema does not change."""
    assert output_of(Triage) is output_of(Triage)


def answer(text: str, stop_reason: StopReason = "end") -> Response:
    """Make an answer."""
    return Response(
        text=text,
        thinking="",
        stop_reason=stop_reason,
        raw_stop_reason=stop_reason,
        usage=Usage(),
        cost=None,
        provider=None,
        model=None,
        request_id=None,
        call_id="c",
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1}',
        '```json\n{"x": 1}\n```',
        '```\n{"x": 1}```',
        'Here it is:\n{"x": 1}',
        '  {"x": 1}  Is that right?',
        '{"x": "1"}',
    ],
)
def test_what_servers_put_around_an_answer(text: str) -> None:
    """Those that know no schemas."""
    assert Output(Point).read(answer(text)) == Point(1)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (list[int], "[1, 2]", [1, 2]),
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (list[int], "```json\n[1, 2]\n```", [1, 2]),
        (list[Point], '[{"x": 1}]', [Point(1)]),
        (list[Point], 'Here it is: {"value": [{"x": 1}]}', [Point(1)]),
        (Literal["low", "high"], '"low"', "low"),
        (int, "-7", -7),
        (bool, "true", True),
        (int | None, "null", None),
    ],
)
def test_what_is_no_object_by_itself(kind: Any, text: str, value: object) -> None:
    """It is the value of one; a server that knows no schemas may say it alone."""
    assert Output(kind).read(answer(text)) == value


def test_such_a_value_grows_too() -> None:
    """As it would in its object."""
    begun = Output(list[int]).begun
    assert [begun("[1"), begun("[1, 2"), begun('{"value": [1, 2, 3')] == [[1], [1, 2], [1, 2, 3]]


class Cat(BaseModel):
    """One kind."""

    kind: Literal["cat"]
    claws: int


class Dog(BaseModel):
    """Another."""

    kind: Literal["dog"]


class Lists(BaseModel):
    """Whose names a model makes up."""

    counts: dict[str, int] = {}
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    ages: list[int] = []


@pytest.mark.parametrize(
    ("text", "told", "shown"),
    [
        ('{"counts": {"Smith is ill": "x"}}', "counts.Smith is ill: ", "counts.?: Input should be"),
        ('{"pet": {"kind": "Smith is ill"}}', "Smith is ill", "pet: its kind is none of those"),
        ('{"pet": {"kind": "cat", "claws": "Smith is ill"}}', "pet.cat.claws: ", "pet.cat.claws: "),
        ('{"ages": ["Smith is ill"]}', "ages.0: ", "ages.0: Input should be a valid integer"),
    ],
)
def test_the_text_of_the_error_quotes_nothing(text: str, told: str, shown: str) -> None:
    """It goes into logs; what the model reads to mend its answer does not."""
    with pytest.raises(OutputInvalid) as raised:
        Output(Lists).read(answer(text))
    assert told in raised.value.problems[0]
    assert shown in str(raised.value)
    assert "Smith" not in str(raised.value)


def test_a_type_whose_name_means_something_else() -> None:
    """To a vendor, as the choice of a tool."""

    class auto(TypedDict):  # noqa: N801
        x: int

    assert Output(auto).name == "auto_answer"
    assert len(Output(TypedDict("x" * 90, {"x": int})).name) == 64  # type: ignore[misc]


def test_words_for_the_model_in_a_validator() -> None:
    """They are what is wrong with the answer."""

    def explain(value: str) -> str:
        raise ToolError("write YYYY-MM-DD")

    with pytest.raises(OutputInvalid, match="write YYYY-MM-DD") as raised:
        Output(TypedDict("Day", {"day": Annotated[str, AfterValidator(explain)]})).read(  # type: ignore[operator]
            answer('{"day": "May"}')
        )
    assert raised.value.problems == ("write YYYY-MM-DD",)


@pytest.mark.parametrize(
    ("choice", "sent"),
    [(None, "required"), ("auto", "required"), ("required", "required"), ("a", "a")],
)
def test_tools_beside_a_type_that_only_a_tool_can_say(choice: str | None, sent: str) -> None:
    """It stands among them, under a name of its own, and the model has to call one of them."""
    tags = Output(TypedDict("a", {"tags": dict[str, str]}))  # type: ignore[operator]
    tool = Tool(answer, name="a", schema={"type": "object"})
    given = call(output=tags, tools=(tool,), tool_choice=choice)
    asked = as_tool(given, provider_of("openai"), "gpt-5")
    assert [each.name for each in asked.tools] == ["a", "a_own"]
    assert (asked.tools[1].schema, asked.tool_choice, asked.output) == (tags.schema, sent, None)
    assert asked.parallel_tool_calls is None
    alone = as_tool(replace(given, tool_choice="none"), provider_of("openai"), "gpt-5")
    assert ([each.name for each in alone.tools], alone.tool_choice) == (["a_own"], "a_own")
    offered = as_tool(given, provider_of("ollama"), "smollm2")
    assert ([each.name for each in offered.tools], offered.tool_choice) == (["a", "a_own"], choice)
    assert as_tool(call(output=tags), provider_of("ollama"), "smollm2").output is tags


def test_calls_of_other_tools_go_their_way() -> None:
    """With the text beside them; a call of the type's own tool is the answer, and the text beside that is none."""
    one = ToolCall(id="1", name="a", arguments={})
    two = ToolCall(id="2", name="Point", arguments={"x": 2})
    usage = Usage()
    asked = asked_of(
        "openai", "gpt-4-turbo", tools=(Tool(answer, name="a", schema={"type": "object"}),)
    )
    end = Finish("tool_use", "x", usage)
    others = SpokenDecoder(
        Script([TextDelta("Well. "), ToolCallDelta(0, "1", "a", "{}")], [one, end]), asked, not_told
    )
    assert others.feed(b"") == [TextDelta("Well. "), ToolCallDelta(0, "1", "a", "{}")]
    assert others.close() == [one, end]
    own = SpokenDecoder(Script([TextDelta("Well. ")], [two, end]), asked, not_told)
    assert own.feed(b"") + own.close() == [TextDelta('{"x":2}'), Finish("end", "x", usage)]
    both = SpokenDecoder(Script([], [one, two, end]), asked, not_told)
    assert both.feed(b"") + both.close() == [one, TextDelta('{"x":2}'), end]


@pytest.mark.parametrize(
    "text", ["", "no", "{", '{"x": ', "[]", '{"y": 1}', '{"x": "much"}', "null"]
)
def test_an_answer_of_another_type(text: str) -> None:
    """It is with the error, and never half of it."""
    with pytest.raises(OutputInvalid, match="the answer is not of the type Point: ") as raised:
        Output(Point).read(answer(text))
    assert raised.value.response.text == text
    assert raised.value.problems


def test_what_a_validator_of_the_apps_says_stays_with_it() -> None:
    """It may quote anything."""
    with pytest.raises(OutputInvalid) as raised:
        Output(Secret).read(answer('{"code": "1234"}'))
    assert raised.value.problems == ("code: its validator refuses it",)
    assert "1234" not in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("account DE89"),
        AssertionError("account DE89"),
        PydanticCustomError("unknown", "account DE89"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_validator_of_the_apps_raises(error: Exception) -> None:
    """Its words stay with the app."""

    def own(value: str) -> str:
        raise error

    with pytest.raises(OutputInvalid) as raised:
        Output(TypedDict("Code", {"code": Annotated[str, AfterValidator(own)]})).read(
            answer('{"code": "x"}')
        )
    assert raised.value.problems == ("code: its validator refuses it",)


@pytest.mark.parametrize(
    ("reason", "error"),
    [("max_tokens", AnswerCut), ("refusal", AnswerRefused), ("content_filter", AnswerRefused)],
)
def test_a_cut_or_a_refusal_is_an_error_of_its_own(
    reason: StopReason, error: type[AnswerCut | AnswerRefused]
) -> None:
    """Even if what there is could be read."""
    with pytest.raises(error) as raised:
        Output(Point).read(answer('{"x": 1}', reason))
    assert raised.value.response.text == '{"x": 1}'


@pytest.mark.parametrize(
    ("kind", "whole"),
    [
        (list[Point], {"value": [{"x": n, "y": n} for n in range(5)]}),
        (Row, {"a": 1, "b": "some words"}),
        (list[str], {"value": ["one", "two {", "three }", "```"]}),
        (Triage, {"level": "low", "who": {"name": "K"}, "minutes": 5}),
        (Literal["yes", "no"], {"value": "yes"}),
    ],
)
def test_beginnings_grow_and_are_of_the_type(kind: Any, whole: dict[str, Any]) -> None:
    """Each is a beginning of the next, as far as a type has beginnings, and the last is the whole."""
    text = json.dumps(whole)
    begun, seen = Beginnings(Output(kind)), []
    for letter in text:
        value = begun.add(letter)
        if value is not NOTHING:
            seen.append(value)
    final = Output(kind).read(answer(text))
    if (last := begun.take(final)) is not NOTHING:
        seen.append(last)
    assert seen[-1] == final
    assert begun.take(final) is NOTHING
    assert all(one != another for one, another in itertools.pairwise(seen))
    if isinstance(final, list):
        assert len(seen) > 3
        for one, another in itertools.pairwise(seen):
            assert len(one) <= len(another)
            assert one[:-1] == another[: max(0, len(one) - 1)]
    for value in seen:
        assert isinstance(value, type(final))


class Sum(TypedDict):
    """A sum that its validator looks up."""

    items: list[int]
    total: Annotated[int, AfterValidator({61: 61}.__getitem__)]


def test_a_validator_that_fails_on_half_of_it_is_asked_again_later() -> None:
    """It raises what it likes, and need not expect a number that is not whole."""
    begun, seen = Beginnings(Output(Sum)), []
    for letter in '{"items": [1], "total": 61}':
        value = begun.add(letter)
        if value is not NOTHING:
            seen.append(value)
    assert seen[-1] == {"items": [1], "total": 61}


def test_an_answer_that_begins_again() -> None:
    """Is read from its beginning, however short it is."""
    begun = Beginnings(Output(list[int]))
    assert begun.add('{"value": [1, 2, 3, 4, 5, 6, 7') == [1, 2, 3, 4, 5, 6, 7]
    begun.clear()
    assert begun.add("[8") == [8]


def test_a_value_that_is_not_equal_to_itself() -> None:
    """Is said once."""
    begun = Beginnings(Output(float))
    value = begun.take(math.nan)
    assert math.isnan(value)
    assert begun.take(value) is NOTHING


def test_a_long_answer_is_not_read_at_every_token() -> None:
    """But each time that it has grown by a part."""
    output = Output(list[int])
    begun, read = Beginnings(output), 0
    text = json.dumps({"value": list(range(20_000))})
    for at in range(0, len(text), 4):
        read += begun.add(text[at : at + 4]) is not NOTHING
    assert 20 < read < 1000


def asked_of(provider: str, model: str, **fields: Any) -> Any:
    """Say how a model is asked."""
    return as_tool(call(output=Output(Point), **fields), provider_of(provider), model)


def test_who_takes_any_schema_needs_no_tool() -> None:
    """Gemini, also where the model may call tools, from its third generation on."""
    output = Output(dict[str, int])
    tool = Tool(answer, name="a", schema={"type": "object"})
    for given in (call(output=output), call(output=output, tools=(tool,), output_mode="native")):
        assert as_tool(given, provider_of("gemini"), "gemini-2.5-pro") is given
    both = call(output=output, tools=(tool,))
    assert as_tool(both, provider_of("gemini"), "gemini-3-pro") is both
    asked = as_tool(both, provider_of("gemini"), "gemini-2.5-pro")
    assert [each.name for each in asked.tools] == ["a", "dict"]
    assert as_tool(call(output=output), provider_of("gemini"), "gemma-3-27b-it").tools


def test_the_vendors_own_means_where_there_are_some() -> None:
    """In the words of each."""
    known = asked_of("anthropic", "claude-sonnet-4-5")
    schema = known.output.strict_schema
    body = json.loads(Anthropic(api_key="k").build_request(known, "m").content)
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert "tools" not in body
    body = json.loads(OpenAI(api_key="k").build_request(asked_of("openai", "gpt-5"), "m").content)
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "Point", "schema": schema, "strict": True},
    }


@pytest.mark.parametrize(
    ("provider", "model", "mode", "is_tool"),
    [
        ("anthropic", "claude-3-5-haiku-latest", None, True),
        ("anthropic", "claude-opus-4-20250514", None, True),
        ("anthropic", "claude-opus-4-1", None, False),
        ("openai", "gpt-4-turbo", None, True),
        ("openai", "gpt-4o", None, False),
        ("deepseek", "deepseek-chat", None, True),
        ("mine", "whatever", None, False),
        ("openai", "gpt-5", "tool", True),
        ("openai", "gpt-4-turbo", "native", False),
    ],
)
def test_a_tool_where_the_vendor_has_no_means(
    provider: str, model: str, mode: str | None, is_tool: bool
) -> None:
    """Or where the app says so."""
    given = asked_of(provider, model, output_mode=mode)
    assert (given.output is None) is is_tool
    if is_tool:
        (tool,) = given.tools
        assert (tool.name, given.tool_choice, given.parallel_tool_calls) == (
            "Point",
            "Point",
            False,
        )
        assert tool.schema == Output(Point).schema


def not_told() -> None:
    """Nobody waits here."""


ALONE = call(tools=(Tool(answer, name="Point", schema={"type": "object"}),))


class Script:
    """A decoder that says what it is told to."""

    model = request_id = failure = None
    finished = stopping = False
    usage = Usage()
    billing: Any = None

    def __init__(self, *reads: list[Event]) -> None:
        self._reads = list(reads)

    def feed(self, data: bytes) -> list[Event]:
        self.model = "m"
        return self._reads.pop(0)

    def close(self, *, broken: bool = False) -> list[Event]:
        self.finished = True
        return self._reads.pop(0)


def test_the_call_of_such_a_tool_is_said_as_text() -> None:
    """Of several the first; one without pieces as a whole; what else was said stays."""
    one, two = (
        ToolCall(id="1", name="Point", arguments={"x": 1}),
        ToolCall(id="2", name="Point", arguments={"x": 2}),
    )
    usage = Usage()
    streamed = SpokenDecoder(
        Script(
            [ThinkingDelta("hm"), ToolCallDelta(0, "1", "Point", "")],
            [ToolCallDelta(0, "1", "Point", '{"x":'), ToolCallDelta(1, "2", "Point", "{")],
            [ToolCallDelta(0, "1", "Point", "1}"), one, two, Finish("tool_use", "tool_use", usage)],
        ),
        ALONE,
        not_told,
    )
    assert streamed.model is None
    assert streamed.feed(b"") == [ThinkingDelta("hm")]
    assert streamed.model == "m"
    assert streamed.feed(b"") == [TextDelta('{"x":')]
    assert not streamed.finished
    end = Finish("end", "tool_use", usage)
    assert streamed.close() == [TextDelta("1}"), end]
    assert streamed.finished
    whole = SpokenDecoder(
        Script([TextDelta("So: "), one, two, Finish("tool_use", "x", usage)]), ALONE, not_told
    )
    assert whole.feed(b"") == [TextDelta('{"x":1}'), Finish("end", "x", usage)]
    # Where there is no call, the text is all that there is; a cut stays one.
    texts = SpokenDecoder(
        Script([TextDelta("So: ")], [Finish("max_tokens", "x", usage)]), ALONE, not_told
    )
    assert texts.feed(b"") == []
    assert (held_back(texts), held_back(Script())) == (4, 0)
    assert texts.close() == [TextDelta("So: "), Finish("max_tokens", "x", usage)]
    assert held_back(texts) == 0
    broken = SpokenDecoder(Script([TextDelta("So: ")], []), ALONE, not_told)
    assert broken.feed(b"") + broken.close() == [TextDelta("So: ")]


def test_a_type_is_part_of_the_prompt_that_is_estimated() -> None:
    """A budget holds what it costs."""
    assert estimate_prompt(call(output=Output(Triage))) > estimate_prompt(call()) + 50


def test_a_function_can_only_be_offered_a_tool() -> None:
    """It takes any schema, but none beside tools: there the type is one of them."""
    own = FunctionProvider("own", lambda call, model: "x")
    loose = output_of(dict[str, int])
    assert as_tool(call(output=loose), own, "m").output is loose
    tool = Tool(test_a_function_can_only_be_offered_a_tool)
    asked = as_tool(call(output=output_of(int), tools=(tool,)), own, "m")
    assert (asked.output, len(asked.tools), asked.tool_choice) == (None, 2, None)
