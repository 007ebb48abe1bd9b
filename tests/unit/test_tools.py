"""Tools: what of a function a model is told, and what it may be called with."""

from __future__ import annotations

import datetime as dt
import functools
import gc
import json
import math
import weakref
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from llmkit import Caller, InvalidRequest, Tool, ToolContext, ToolError
from llmkit.call import build_call
from llmkit.concurrency.jobs import Ended
from llmkit.parts import ToolCall, ToolResult
from llmkit.policy.estimate import estimate_prompt, estimate_tokens
from llmkit.providers.anthropic import Anthropic
from llmkit.providers.openai import OpenAI
from llmkit.tools.arguments import WrongArguments
from llmkit.tools.calls import StepCalls
from llmkit.tools.tool import to_tools
from support.decoding import PROVIDERS, call


class Place(BaseModel):
    """Where."""

    model_config = ConfigDict(strict=True)
    city: str
    since: dt.date | None = None


def weather(
    place: Place,
    context: ToolContext,
    unit: Literal["c", "f"] = "c",
    days: Annotated[int, Field(description="how many", ge=1)] = 1,
) -> str:
    """Say how the weather is.

    In a place.
    """
    return f"{place} {context} {unit} {days}"


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def untyped(x, y=2):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    pass


class Shop:
    """Has a method that is a tool, and can be called itself."""

    def find(self, name: str) -> str:
        """Find it."""
        return name

    def __call__(self, sku: str) -> str:
        return sku


def test_a_typed_function_is_a_tool() -> None:
    """Its name, its docstring and the types of its arguments; nobody tells the model of the context."""
    tool = Tool(weather)
    assert repr(tool) == "Tool('weather')"
    assert (tool.name, tool.description) == ("weather", "Say how the weather is.\n\nIn a place.")
    schema = json.loads(json.dumps(tool.schema))
    assert set(schema["properties"]) == {"place", "unit", "days"}
    assert schema["properties"]["days"] == {
        "type": "integer",
        "default": 1,
        "minimum": 1,
        "description": "how many",
    }
    assert schema["required"] == ["place"]
    assert schema["additionalProperties"] is False
    assert tool.arguments.context == "context"
    assert "title" not in schema["properties"]["unit"]


def test_arguments_are_checked_as_json_and_made_what_the_function_takes() -> None:
    """A strict model takes a date that is said in JSON."""
    given = {"place": {"city": "Köln", "since": "2026-01-31"}, "unit": "f"}
    assert Tool(weather).arguments.checked(given) == {
        "place": Place(city="Köln", since=dt.date(2026, 1, 31)),
        "unit": "f",
        "days": 1,
    }


def test_arguments_that_the_app_has_changed_need_not_be_json() -> None:
    """What approves a call may put in what the function takes."""

    def until(day: dt.date, what: Any) -> None: ...

    today, thing = dt.date(2026, 1, 31), object()
    checked = Tool(until).arguments.checked({"day": today, "what": thing})
    assert checked == {"day": today, "what": thing}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ["place"]),
        ({"place": {"city": 1}}, ["place.city"]),
        ({"place": {"city": "x"}, "unit": "k"}, ["unit"]),
        ({"place": {"city": "x"}, "days": 0}, ["days"]),
        ({"place": {"city": "x"}, "context": {}}, ["context"]),
        ({"place": {"city": "x"}, "days": "many", "x": 1}, ["days", "x"]),
    ],
)
def test_wrong_arguments_are_said_each_by_its_name(
    given: Mapping[str, Any], said: list[str]
) -> None:
    """One line for each: the model is to mend them all at once."""
    with pytest.raises(WrongArguments) as raised:
        Tool(weather).arguments.checked(given)
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == said


@pytest.mark.parametrize(
    ("run", "name", "properties"),
    [
        (add, "add", {"a", "b"}),
        (untyped, "untyped", {"x", "y"}),
        (Shop().find, "find", {"name"}),
        (lambda **anything: anything, "l", set()),
        (Shop(), "shop", {"sku"}),
        (functools.partial(add, 1), "plus_one", {"b"}),
        (functools.partial(add, b=1), "plus_one", {"a"}),
    ],
)
def test_what_can_be_called(run: Callable[..., Any], name: str, properties: set[str]) -> None:
    """Methods, objects, partials and functions without types."""
    tool = Tool(run, name=name)
    assert (tool.name, set(tool.schema.get("properties", {}))) == (name, properties)
    # Each has its type, wherever it is written.
    types = {each.get("type") for each in tool.schema.get("properties", {}).values()}
    assert (None in types) is (run is untyped)


@pytest.mark.parametrize("function", [add, lambda **anything: anything])
def test_what_a_partial_has_bound_is_the_apps(function: Callable[..., Any]) -> None:
    """A model cannot say it, or it would say whose order it wants to see."""
    arguments = Tool(functools.partial(function, b=1), name="bound").arguments
    assert arguments.checked({"a": 2}) == {"a": 2}
    with pytest.raises(WrongArguments, match="b: Unexpected keyword argument"):
        arguments.checked({"a": 2, "b": 3})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite(number: float) -> None:
    """Is no JSON: a limit of None would be none."""

    def refund(limit: float | None = 10) -> None: ...

    with pytest.raises(WrongArguments, match="not finite"):
        Tool(refund).arguments.checked({"limit": number})


def test_thousands_of_faults() -> None:
    """The first ones are enough to mend."""

    def many(texts: list[str]) -> None: ...

    with pytest.raises(WrongArguments, match="and 29,980 more") as raised:
        Tool(many).arguments.checked({"texts": list(range(30_000))})
    assert len(str(raised.value)) < 2000


def refuse(value: str) -> str:
    """Refuse a value."""
    raise ValueError(f"{value} is somebody else's")


def test_what_a_validator_of_the_apps_says_stays_with_it() -> None:
    """A model learns which argument it refuses; `ToolError` is for words to it."""

    def find(order: Annotated[str, AfterValidator(refuse)]) -> None: ...

    with pytest.raises(WrongArguments) as raised:
        Tool(find).arguments.checked({"order": "17"})
    assert str(raised.value) == "order: its validator refuses it"


def explain(value: str) -> str:
    """Refuse a value, in words to the model."""
    raise ToolError("write YYYY-MM-DD")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("DE89"),
        AssertionError("DE89"),
        PydanticCustomError("unknown", "DE89"),
        KeyError("DE89"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_validator_of_the_apps_raises(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Its words are neither for the model nor for the log."""

    def own(value: int) -> int:
        raise error

    def look(n: int) -> None: ...

    look.__annotations__["n"] = Annotated[int, AfterValidator(own)]
    call = ToolCall(id="a", name="look", arguments={"n": 7})
    calls = StepCalls([Tool(look)], [in_context(call)], timeout=1, max_result=100)
    assert calls.runnable == []
    assert calls.results[0].is_error
    assert "nothing was run" in calls.results[0].content
    assert "DE89" not in calls.results[0].content + caplog.text
    assert (calls.errors.get("a") is error) is isinstance(error, KeyError)


def in_context(call: ToolCall) -> ToolContext:
    """Make the context of a call."""
    return ToolContext(caller=Caller(), run_id="r", conversation=None, call=call)


def test_a_model_that_says_the_context() -> None:
    """Says nothing with it, even to a function that takes anything."""

    def look(context: ToolContext, **more: object) -> object:
        return context

    call = ToolCall(id="a", name="look", arguments={"context": "mine", "x": 1})
    context = in_context(call)
    calls = StepCalls([Tool(look)], [context], timeout=1, max_result=100)
    (job,) = calls.jobs()
    assert job.work() is context


@pytest.mark.parametrize(
    ("error", "told"),
    [(ToolError("x" * 200), "x" * 100), (ToolError("half \ud83d"), "half ?"), (ToolError(""), "")],
)
def test_words_to_the_model_are_cut_and_sound(error: ToolError, told: str) -> None:
    """Or the next request could not be sent."""
    call = ToolCall(id="a", name="add", arguments={"a": 1, "b": 2})
    calls = StepCalls([Tool(add)], [in_context(call)], timeout=1, max_result=100)
    assert calls.end(Ended(0, None, error)) == ToolResult(call_id="a", content=told, is_error=True)


def test_words_for_the_model_in_a_validator() -> None:
    """They are what it reads."""

    def find(day: Annotated[str, AfterValidator(explain)]) -> None: ...

    call = ToolCall(id="a", name="find", arguments={"day": "May"})
    calls = StepCalls([Tool(find)], [in_context(call)], timeout=1, max_result=100)
    assert calls.runnable == []
    assert calls.results[0].content.endswith("nothing was run.\nwrite YYYY-MM-DD")


def test_a_context_that_may_be_left_out() -> None:
    """Where the app calls the function itself."""

    def one(a: int, context: ToolContext | None = None) -> None: ...

    def two(a: int, context: Optional[ToolContext] = None) -> None: ...  # noqa: UP045

    def three(a: int, context: Annotated[ToolContext, "the app's"]) -> None: ...

    for function in (one, two, three):
        tool = Tool(function)
        assert tool.arguments.context == "context"
        assert set(tool.schema["properties"]) == {"a"}


def test_everything_may_be_said_by_hand() -> None:
    """The function's own types are what counts when it is called."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"const": 1}}}
    tool = Tool(name="sum", description="Sums up.", schema=schema, run=add, timeout=2)
    assert (tool.name, tool.description, tool.schema) == ("sum", "Sums up.", schema)
    assert (tool.run, tool.timeout) == (add, 2)
    with pytest.raises(WrongArguments, match="a: "):
        tool.arguments.checked({"a": "x", "b": 1})


def unknown_type(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037


def no_json(a: Shop) -> None: ...


def called_back(a: Callable[[], int]) -> None: ...


def two_contexts(one: ToolContext, two: ToolContext) -> None: ...


def several(*numbers: int) -> None: ...


def by_position(a: int, /) -> None: ...


@pytest.mark.parametrize(
    ("run", "fields", "words"),
    [
        (3, {}, "a tool is an int, not a function"),
        (lambda: 1, {}, "a tool cannot have the name '<lambda>'"),
        (Shop(), {}, "a tool has no name"),
        (add, {"name": "a b"}, "a tool cannot have the name 'a b'"),
        (add, {"name": "x" * 65}, "64 at most"),
        (add, {"name": "required"}, "a tool cannot have the name 'required'"),
        (add, {"schema": {"type": "array"}}, "the schema of a tool is not that of an object"),
        (add, {"timeout": 0}, "the tool add has a timeout of 0"),
        (add, {"timeout": "3"}, "the tool add has a timeout of '3'"),
        (unknown_type, {}, "unknown_type cannot be described: name 'Nowhere' is not defined"),
        (no_json, {}, "no_json cannot be described"),
        (called_back, {}, "called_back cannot be described"),
        (two_contexts, {}, "takes two contexts, one and two"),
        (several, {}, "the tool several takes \\*numbers"),
        (by_position, {}, "the tool by_position takes a by its position only"),
    ],
)
def test_what_is_no_tool(run: Any, fields: dict[str, Any], words: str) -> None:
    """Said when the tool is made, with what is wrong."""
    with pytest.raises(InvalidRequest, match=words):
        Tool(run, **fields)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tools": "add"}, "tools is a str, not a list"),
        ({"tools": add}, "tools is a function, not a list"),
        ({"tools": [add, Tool(untyped, name="add")]}, "two tools have the name add"),
        ({"tools": [add], "tool_choice": "any"}, "tool_choice names no tool of this call"),
        ({"tools": [add], "tool_choice": weather}, "Choose one of auto, none, required, add"),
        ({"tool_choice": "auto"}, "tool_choice is set, and there are no tools"),
        ({"tools": [add], "parallel_tool_calls": 1}, "parallel_tool_calls is not True or False"),
    ],
)
def test_options_that_say_nothing(options: Any, words: str) -> None:
    """A call says which of its options is wrong."""
    with pytest.raises(InvalidRequest, match=words):
        build_call(
            "hi", options, call_id="c", default_model="m", default_max_tokens=1, streaming=False
        )


def bodies(**options: Any) -> list[dict[str, Any]]:
    """Build both vendors' requests, and return what they say of tools."""
    made = build_call(
        "hi", options, call_id="c", default_model="m", default_max_tokens=1, streaming=False
    )
    found = []
    for provider in (Anthropic(api_key="k"), OpenAI(api_key="k")):
        body = json.loads(provider.build_request(made, "m").content)
        found.append({name: value for name, value in body.items() if "tool" in name})
    return found


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


def test_tools_in_the_words_of_each_vendor() -> None:
    """Name, description and schema; what has no description has none."""
    anthropic, openai = bodies(tools=[add, Tool(add, name="n", description="")])
    assert anthropic == {
        "tools": [
            {"name": "add", "description": "Add.", "input_schema": SCHEMA},
            {"name": "n", "input_schema": SCHEMA},
        ]
    }
    assert openai == {
        "tools": [
            {
                "type": "function",
                "function": {"name": "add", "description": "Add.", "parameters": SCHEMA},
            },
            {"type": "function", "function": {"name": "n", "parameters": SCHEMA}},
        ]
    }
    assert bodies() == [{}, {}]


NAMED = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(
    ("choice", "parallel", "anthropic", "openai"),
    [
        ("auto", None, None, {"tool_choice": "auto"}),
        ("none", None, {"type": "none"}, {"tool_choice": "none"}),
        (
            "none",
            False,
            {"type": "none"},
            {"tool_choice": "none", "parallel_tool_calls": False},
        ),
        ("required", None, {"type": "any"}, {"tool_choice": "required"}),
        ("add", None, {"type": "tool", "name": "add"}, {"tool_choice": NAMED}),
        (add, None, {"type": "tool", "name": "add"}, {"tool_choice": NAMED}),
        (Tool(add), None, {"type": "tool", "name": "add"}, {"tool_choice": NAMED}),
        (
            None,
            False,
            {"type": "auto", "disable_parallel_tool_use": True},
            {"parallel_tool_calls": False},
        ),
        (
            "required",
            True,
            {"type": "any", "disable_parallel_tool_use": False},
            {"tool_choice": "required", "parallel_tool_calls": True},
        ),
    ],
)
def test_which_tool_and_how_many(
    choice: Any, parallel: bool | None, anthropic: object, openai: dict[str, object]
) -> None:
    """In each vendor's form."""
    first, second = bodies(tools=[add], tool_choice=choice, parallel_tool_calls=parallel)
    del first["tools"], second["tools"]
    assert first == ({} if anthropic is None else {"tool_choice": anthropic})
    assert second == openai


def test_tools_are_part_of_the_prompt_that_is_estimated() -> None:
    """A budget holds what they cost."""
    asked, tool = call(), Tool(add)
    more = estimate_prompt(call(tools=(tool,))) - estimate_prompt(asked)
    assert more >= estimate_tokens("add" + "Add." + json.dumps(SCHEMA)) - 1


def test_the_signature_of_a_function_is_read_once() -> None:
    """And keeps no function alive."""

    def local(a: int) -> None: ...

    (one,), (two,) = to_tools([local]), to_tools([local])
    assert one.arguments is two.arguments
    function = weakref.ref(local)
    del one, two, local
    gc.collect()
    assert function() is None


@pytest.mark.parametrize("wire", PROVIDERS)
def test_tools_of_the_vendors_stand_beside_the_apps(wire: str) -> None:
    """What `extra` names, such as a vendor's search, takes the place of none of the call's."""
    search = {"type": "web_search"}
    asked = call(tools=(Tool(weather),), extra={"tools": [search]})
    tools = json.loads(PROVIDERS[wire].build_request(asked, "m").content)["tools"]
    assert len(tools) == 2
    assert "weather" in json.dumps(tools[0])
    assert tools[1] == search
