"""What a model reads of what tools return."""

from __future__ import annotations

import tracemalloc
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from llmkit.errors import ToolError
from llmkit.tools.results import text_of


class Order(BaseModel):
    """An order of a shop."""

    number: int
    day: date


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("x" * 100, "x" * 100),
        (["x" * 96], '["' + "x" * 96 + '"]'),
        (b"\xf0\x9f\x8c\x8d", '"🌍"'),
        (list(range(36)), str(list(range(36))).replace(" ", "")),
        (None, "null"),
        ({"a": (1, {2}), "b": True}, '{"a":[1,[2]],"b":true}'),
        (Order(number=7, day=date(2026, 1, 2)), '{"number":7,"day":"2026-01-02"}'),
    ],
)
def test_a_result(value: object, text: str) -> None:
    """Is JSON, if it is no text; up to the last character that can be read."""
    assert text_of(value, most=100) == text


@pytest.mark.parametrize(
    "value",
    [
        "x" * 101,
        ["x" * 97],
        {"x" * 97: 1},
        list(range(37)),
        b"x" * 99,
        [Order(number=10**9, day=date(2026, 1, 2))] * 3,
    ],
    ids=str,
)
def test_a_longer_one(value: object) -> None:
    """Is told of, whole."""
    with pytest.raises(ToolError, match="more than 100 characters"):
        text_of(value, most=100)


@pytest.mark.parametrize("value", [object(), b"\xff"], ids=["object", "bytes"])
def test_what_is_no_json(value: object) -> None:
    """Is the app's fault, and is one error whatever it is."""
    with pytest.raises(TypeError, match="which is no JSON"):
        text_of(value, most=100)


def test_a_list_that_is_in_itself() -> None:
    """Has no end, so that it is too long."""
    made: list[Any] = []
    made.append(made)
    with pytest.raises(ToolError, match="more than 100 characters"):
        text_of(made, most=100)


@pytest.mark.parametrize(
    "value",
    [["x" * 1_000_000] * 1000, {"a": [b"x" * 1_000_000] * 1000}, [list(range(1_000_000))] * 100],
    ids=["texts", "bytes", "lists"],
)
def test_a_gigabyte(value: object) -> None:
    """Is not written out to find that it is too long."""
    tracemalloc.start()
    try:
        with pytest.raises(ToolError):
            text_of(value, most=100_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
