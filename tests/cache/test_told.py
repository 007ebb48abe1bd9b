"""What processes tell each other of a call."""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import Any

import pytest

from llmkit import errors
from llmkit.cache.told import Known, Told, error_of, failure_of, read, written
from llmkit.errors import ProviderError, RateLimited
from llmkit.errors.again import again
from llmkit.events import (
    Finish,
    RedactedThinking,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
)
from llmkit.parts import ToolCall
from llmkit.usage import Usage

ALL: list[Told] = [
    TextDelta("It is\0 42 \N{SNOWMAN}"),
    ThinkingDelta("Hm."),
    ThinkingSignature("x=="),
    RedactedThinking("y=="),
    ToolCallDelta(0, "a", "look", '{"x'),
    ToolCall(id="a", name="look", arguments={"x": [1, 2.5, None, {"y": True}]}),
    Finish("end", "end_turn", Usage(input_tokens=3, output_tokens=2, input_source="reported")),
    Known(usage=Usage(), cost=Decimal("0.0012300"), provider="p", model=None, request_id="r"),
]


def test_it_comes_back_as_it_was() -> None:
    """Every event, and what is known beside."""
    found = read(written(ALL))
    assert found == ALL
    assert [type(each) for each in found] == [type(each) for each in ALL]
    assert str(found[-1].cost) == "0.0012300"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x92\xa3new\x80", written(ALL)[0][:-1], b"\x92\xa4text\x80"]
)
def test_what_is_none_of_it(data: bytes) -> None:
    """Of another version, or torn."""
    with pytest.raises(ValueError, match="torn"):
        read([data])


def kinds() -> list[type[ProviderError]]:
    """Return all errors of providers."""
    found = [getattr(errors, name) for name in errors.__all__]
    return [each for each in found if inspect.isclass(each) and issubclass(each, ProviderError)]


@pytest.mark.parametrize("kind", kinds())
def test_errors(kind: type[ProviderError]) -> None:
    """Each says the same elsewhere, and can be raised by several."""
    names = inspect.signature(kind.__init__).parameters
    known: dict[str, Any] = {
        "message": "no",
        "limit": 3,
        "what": "bytes",
        "unit": "bytes",
        "code": "x",
    }
    known |= {
        "provider": "p",
        "model": "m",
        "status_code": 503,
        "retry_after": 1.5,
        "hint": "Wait.",
    }
    known |= {"clock": "idle", "seconds": 3.0}
    error = kind(**{name: known[name] for name in names if name in known})
    for other in (error_of(read(written([failure_of(error)]))[0]), again(error)):  # type: ignore[arg-type]
        assert type(other) is kind
        assert (str(other), repr(other)) == (str(error), repr(error))
        assert vars(other) == vars(error)
        assert (other.can_retry, other.sent) == (error.can_retry, error.sent)
        assert other.__traceback__ is None


class Odd(ProviderError):
    """Of a provider of the app's own."""

    type = "odd"


def test_errors_of_others() -> None:
    """What is not known here is an error of a provider, and nothing that is no error is made."""
    failure = failure_of(Odd("no", provider="p"))
    assert type(error_of(failure)) is ProviderError
    assert str(error_of(failure)) == "no (p)"
    for name in ("LLMKitError", "BudgetExceeded", "annotations", "__name__", "Clock"):
        other = type(failure)(kind=name, message="no", facts=failure.facts)
        assert type(error_of(other)) is ProviderError


def test_what_cannot_be_said() -> None:
    """Headers and the partial answer stay where they are: each has its own."""
    error = RateLimited("no", retry_after=2)
    error.rate_limits = {"x": "1"}
    error.response = object()  # type: ignore[assignment]
    other = error_of(failure_of(error))
    assert (other.rate_limits, other.response, other.retry_after) == ({}, None, 2)
    assert isinstance(other, RateLimited)
