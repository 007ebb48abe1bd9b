"""What answers are kept under."""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from llmkit.cache.key import Key, key_of, model_hash, owner_hash
from llmkit.call import Call
from llmkit.caller import Caller
from llmkit.messages import Message
from llmkit.outputs.output import Output
from llmkit.parts import ThinkingPart, ToolCall, ToolResult
from llmkit.policy.plan import Route
from llmkit.providers.anthropic import Anthropic
from llmkit.providers.openai import OpenAI
from llmkit.tools.tool import Tool

CANARY = "the canary sings"
# What CI has room for; a hundred times as many are the same test.
MUTATIONS = 10_000


class Point(BaseModel):
    """A point."""

    x: int


def weather(city: str) -> str:
    """Say how the weather is."""
    return city


BASE = Call(
    call_id="c1",
    model="default",
    messages=(
        Message.user(CANARY),
        Message.assistant(
            ThinkingPart(text="hm", signature="s"),
            ToolCall(id="a", name="weather", arguments={"city": "Köln", "days": 1}),
        ),
        Message.user(ToolResult(call_id="a", content="grey")),
        Message.assistant("It is grey."),
        Message.user("And tomorrow?"),
    ),
    system="Be short.",
    max_tokens=100,
    temperature=0.0,
    caller=Caller(user="7", tenant="acme"),
)
PROVIDERS = (Anthropic(api_key="k1"), OpenAI(api_key="k2"))
ROUTES = (Route(PROVIDERS[0], "claude-haiku-4-5"), Route(PROVIDERS[1], "gpt-5-mini"))


def named(changes: dict[str, Any]) -> str:
    """Name a test by what is changed, the same in every process."""
    return re.sub(r"<\S+ object at \w+>", "an object", str(changes))


def key(call: Call = BASE, routes: tuple[Route, ...] = ROUTES, scope: Any = "user") -> Key:
    """Return the key of a call."""
    found = key_of(call, routes, scope)
    assert found is not None
    return found


def test_keys_stay_what_they_are() -> None:
    """In every process and with every Python: a new version of llmkit that changes them says so in VERSION."""
    assert str(key()) == GOLDEN
    every = replace(
        BASE,
        top_p=0.5,
        stop=("a", "b"),
        seed=3,
        extra={"b": [1.5, None], "a": {"y": True, "x": "ü"}},
        tools=(
            Tool(weather, schema={"type": "object", "properties": {"city": {"type": "string"}}}),
        ),
        tool_choice="auto",
        parallel_tool_calls=False,
        output=Output(Point),
        output_mode="native",
    )
    assert str(key(every)) == GOLDEN_EVERY


GOLDEN = "1.034d672ba35b5f4a.f3db618c8bee6c11.ef69dff84e83390a4ac4706d9bb540f9a3ea72035bbc6ae00724ebfe482ae5fe"
GOLDEN_EVERY = "1.034d672ba35b5f4a.f3db618c8bee6c11.0b476007a066614ce7832619bd67dc9f48910a62d5ff3cfbd2ef093d1c62b512"


def test_nothing_that_was_said_is_in_a_key() -> None:
    """It is version, owner, model and question, each a hash."""
    assert re.fullmatch(r"1\.[0-9a-f]{16}\.[0-9a-f]{16}\.[0-9a-f]{64}", str(key()))
    assert CANARY not in repr(key())


@pytest.mark.parametrize(
    "same",
    [
        {"call_id": "c2"},
        {"run_id": "r"},
        {"conversation": "c"},
        {"streaming": False},
        {"temperature": 0},
        {"temperature": -0.0},
        {"system": "Be short."},
        {"caller": Caller(user="7", tenant="acme", tags={"a": "b"}, groups=("staff",))},
    ],
    ids=str,
)
def test_what_shapes_no_answer(same: dict[str, Any]) -> None:
    """Is not in it."""
    assert key(replace(BASE, **same)) == key()


def test_the_order_of_a_dict_and_the_form_of_a_number_and_of_a_text() -> None:
    """Say the same."""
    for one, other in (
        ({"a": 1, "b": {"c": 2.0, "d": 3}}, {"b": {"d": 3.0, "c": 2}, "a": 1}),
        ({1: "x"}, {"1": "x"}),
        ({"at": dt.date(2026, 1, 2)}, {"at": "2026-01-02"}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
    ):
        assert key(replace(BASE, extra=one)) == key(replace(BASE, extra=other))
    composed, parted = "K\u00f6ln", "Ko\u0308ln"
    asked = [
        replace(BASE, system=text, messages=(Message.user(text),)) for text in (composed, parted)
    ]
    assert key(asked[0]) == key(asked[1])


@pytest.mark.parametrize(
    "other",
    [
        {"model": "fast"},
        {"messages": (Message.user(CANARY),)},
        {"messages": (Message.user(CANARY[:-1]),)},
        {"messages": (Message.user("a", "b"),)},
        {"messages": (Message.user("ab"),)},
        {"system": None},
        {"system": ""},
        {"max_tokens": None},
        {"temperature": None},
        {"temperature": 0.1},
        {"top_p": 1.0},
        {"stop": ("a",)},
        {"seed": 0},
        {"extra": {"a": 1}},
        {"extra": {"a": True}},
        {"extra": {"a": "1"}},
        {"tools": (Tool(weather),)},
        {"tools": (Tool(weather, description="x"),)},
        {"tools": (Tool(weather),), "tool_choice": "required"},
        {"tools": (Tool(weather),), "parallel_tool_calls": True},
        {"output": Output(Point)},
        {"output": Output(Point), "output_mode": "tool"},
        {"output": Output(list[Point])},
        {"caller": Caller(user="8", tenant="acme")},
        {"caller": Caller(user="7", tenant="other")},
        {"caller": Caller(user="7")},
    ],
    ids=named,
)
def test_what_shapes_an_answer_or_says_whose_it_is(other: dict[str, Any], seen: set[Key]) -> None:
    """Makes another key, which no other has."""
    assert key(replace(BASE, **other)) not in seen
    seen.add(key(replace(BASE, **other)))


@pytest.fixture(scope="module")
def seen() -> set[Key]:
    """Hold the keys of all cases."""
    return {key()}


def test_where_it_is_asked() -> None:
    """Each provider, its address, its headers, the model and the order of them; the key of the provider does not matter."""
    there = Route(Anthropic(api_key="k1", base_url="https://eu.example"), "claude-haiku-4-5")
    beta = Route(Anthropic(api_key="k1", headers={"anthropic-beta": "x"}), "claude-haiku-4-5")
    named = Route(Anthropic("mine", api_key="k1"), "claude-haiku-4-5")
    other = Route(PROVIDERS[0], "claude-opus-4-5")
    routes = [ROUTES, ROUTES[::-1], ROUTES[:1], (there,), (beta,), (named,), (other,)]
    assert len({key(routes=each) for each in routes}) == len(routes)
    rotated = Route(Anthropic(api_key="k9"), "claude-haiku-4-5")
    assert key(routes=(rotated, ROUTES[1])) == key()


class Own:
    """A provider of an app's own."""

    name = "own"


class Other(Own):
    """Another, with the same name."""


class Placed(Own):
    """One that says more."""

    def __init__(self, address: str) -> None:
        self.identity = (address,)


def test_providers_of_the_apps_own() -> None:
    """Are told apart by class and name, or by what they say of themselves."""
    providers: list[Any] = [Own(), Other(), Placed("a"), Placed("b")]
    assert len({key(routes=(Route(each, "m"),)) for each in providers}) == 4
    assert key(routes=(Route(Own(), "m"),)) == key(routes=(Route(Own(), "m"),))  # type: ignore[arg-type]


def test_whose_it_is() -> None:
    """Nobody's answer is kept for nobody."""
    nobody, user, tenant = Caller(), Caller(user="7"), Caller(tenant="acme")
    both = Caller(user="7", tenant="acme")
    for caller, scope, is_kept in (
        (nobody, "user", False),
        (tenant, "user", False),
        (user, "user", True),
        (nobody, "tenant", False),
        (user, "tenant", False),
        (tenant, "tenant", True),
        (nobody, "all", True),
    ):
        found = key_of(replace(BASE, caller=caller), ROUTES, scope)  # type: ignore[arg-type]
        assert (found is not None) is is_kept
        assert (owner_hash(caller, scope) is not None) is is_kept  # type: ignore[arg-type]
    for scope, callers in (("tenant", (tenant, both)), ("all", (nobody, user, tenant, both))):
        keys = {key(replace(BASE, caller=caller), scope=scope) for caller in callers}
        assert len(keys) == 1
    # A user who is called as a tenant is, or as everybody.
    named = [Caller(user="x"), Caller(user="x", tenant="x"), Caller(tenant="x")]
    scopes: list[Any] = ["user", "user", "tenant", "all"]
    keys = {
        key(replace(BASE, caller=each), scope=scope)
        for each, scope in zip([*named, Caller()], scopes, strict=True)
    }
    assert len(keys) == 4


def test_the_parts_by_which_kept_answers_are_found() -> None:
    """Those of a user, and those of a model."""
    assert key().owner == owner_hash(BASE.caller, "user")
    assert key().model == model_hash("default")


@pytest.mark.parametrize(
    "extra",
    [{"a": object()}, {"a": float("nan")}, {"a": {1, object()}}],
    ids=["an object", "not a number", "a set"],
)
def test_what_cannot_be_written(extra: dict[str, Any]) -> None:
    """Is kept under nothing; the call itself says why it cannot be sent."""
    assert key_of(replace(BASE, extra=extra), ROUTES, "user") is None


def mutations() -> list[Callable[[random.Random, Call], Call]]:
    """Return what changes a call a little."""

    def text(chance: random.Random) -> str:
        return "".join(chance.choice('ab"\\\n[],{}:é\u200b1') for _ in range(chance.randrange(4)))

    def value(chance: random.Random) -> Any:
        kinds: list[Any] = [
            None,
            True,
            False,
            chance.randrange(3),
            chance.randrange(3) / 2,
            text(chance),
        ]
        kinds += [[text(chance)], {text(chance): text(chance)}]
        return chance.choice(kinds)

    def messages(chance: random.Random, call: Call) -> Call:
        parts = [text(chance) for _ in range(chance.randrange(1, 3))]
        make = chance.choice([Message.user, Message.assistant])
        at = chance.randrange(3)
        return replace(
            call, messages=(*call.messages[:at], make(*parts), *call.messages[at + 1 : 3])
        )

    return [
        messages,
        lambda chance, call: replace(call, system=chance.choice([None, text(chance)])),
        lambda chance, call: replace(call, max_tokens=chance.choice([None, 1, 2])),
        lambda chance, call: replace(call, temperature=chance.choice([None, 0, 0.5, 1.0])),
        lambda chance, call: replace(call, top_p=chance.choice([None, 0.5, 1])),
        lambda chance, call: replace(
            call, stop=tuple(text(chance) for _ in range(chance.randrange(3)))
        ),
        lambda chance, call: replace(call, seed=chance.choice([None, 0, 1])),
        lambda chance, call: replace(
            call, extra={text(chance): value(chance) for _ in range(chance.randrange(3))}
        ),
        lambda chance, call: replace(call, model=text(chance)),
        lambda chance, call: replace(
            call,
            caller=Caller(user=text(chance) + "u", tenant=chance.choice([None, "a", text(chance)])),
        ),
    ]


def said(call: Call) -> Any:
    """Say what a call asks, so that two that ask the same are equal; True is not 1 there."""
    return repr(
        (
            call.model,
            call.messages,
            call.system,
            call.max_tokens,
            None if call.temperature is None else float(call.temperature),
            None if call.top_p is None else float(call.top_p),
            call.stop,
            call.seed,
            sorted((name, plain(value)) for name, value in call.extra.items()),
            call.caller,
        )
    )


def plain(value: Any) -> str:
    """Write a number in one way."""
    return repr(float(value)) if type(value) in (int, float) else repr(value)


def test_mutated_requests_have_one_key_only_if_they_are_equal() -> None:
    """However little they differ."""
    chance = random.Random(3)
    changes = mutations()
    call = replace(BASE, messages=(Message.user("a"),))
    keys: dict[str, str] = {}
    asked: dict[str, str] = {}
    for _ in range(MUTATIONS):
        for _ in range(chance.randrange(1, 3)):
            call = chance.choice(changes)(chance, call)
        found, words = str(key(call)), said(call)
        assert keys.setdefault(found, words) == words
        assert asked.setdefault(words, found) == found
    assert len(keys) > MUTATIONS // 2
