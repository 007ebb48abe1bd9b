"""Functions of the app's in the settings: what is refused at the start, and what is said of it."""

from __future__ import annotations

import fractions
import sys
from collections.abc import Callable
from decimal import Decimal
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest

from llmkit import Amount, BudgetManager, ConfigError, Kit
from llmkit.tracebacks import place_of
from llmkit_asgi import llmkit_app
from llmkit_flask import llmkit_blueprint

NUMBERS = {"free": 5}
BUDGET = {"scope": "user", "per": "month", "usd": 5, "warn_at": 0.8}


def takes_nothing() -> int:
    """Take nothing."""
    return 5


def takes_two(request: object, user: object) -> int:
    """Take one too many."""
    return 5


def takes_it_by_name(*, caller: object) -> int:
    """Take it only by its name."""
    return 5


class Later:
    """Is async when it is called."""

    async def __call__(self, caller: object) -> None: ...


async def later(what: object) -> int:
    """Be async."""
    return 5


class Asked:
    """Asks in another way."""

    def __call__(self, caller: object) -> object:
        """Be called."""
        return asks_a_library(caller)

    asked = __call__


class Plans:
    """Are a limit, too."""

    def __call__(self) -> int:
        """Take nothing."""
        return 5


def wrapped(function: Callable[..., Any]) -> Callable[[object], Any]:
    """Give a function of two its first argument."""

    @wraps(function)
    def call(caller: object) -> Any:
        return function(None, caller)

    return call


WRONG = [
    (takes_nothing, "takes_nothing"),
    (takes_two, "takes_two"),
    (takes_it_by_name, "takes_it_by_name"),
    (f"{__name__}.takes_nothing", "takes_nothing"),
    (Plans(), "Plans"),
    (partial(takes_nothing), "takes_nothing"),
]


@pytest.mark.parametrize(("wrong", "name"), WRONG)
def test_a_function_of_other_arguments(wrong: Any, name: str, tmp_path: Path) -> None:
    """It is refused by its name at the start, wherever a function is set: calls would fail one by one."""
    database = {"database": f"sqlite:///{tmp_path}/llm.db"}
    said = rf"{__name__}\.{name} has to take one argument, the"
    with pytest.raises(ConfigError, match=rf"^budgets\.0\.usd: {said} llmkit\.Caller\. It is"):
        Kit({"budgets": [{**BUDGET, "usd": wrong}], "ledger": database})
    with pytest.raises(ConfigError, match=rf"^budgets\.0\.usd: {said} llmkit\.Caller\. It is"):
        BudgetManager([{**BUDGET, "usd": wrong}])
    with pytest.raises(
        ConfigError, match=rf"^on_budget_warning: {said} llmkit\.BudgetWarning\. It is"
    ):
        Kit({"budgets": [BUDGET], "on_budget_warning": wrong, "ledger": database})
    with pytest.raises(
        ConfigError, match=rf"^on_budget_warning: {said} llmkit\.BudgetWarning\. It is"
    ):
        BudgetManager([BUDGET], on_budget_warning=wrong)
    with pytest.raises(ConfigError, match=rf"^ledger\.redact: {said} content as a dict\. It is"):
        Kit({"ledger": {**database, "store_content": True, "redact": wrong}})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (takes_nothing, rf"^get_user: {__name__}\.takes_nothing has to take one argument, the"),
        ("shop.who", "^get_user is a str, not a function. It has to be a function that takes the"),
        (None, "^get_user is None, not a function"),
    ],
)
def test_a_get_user_of_other_arguments(wrong: Any, said: str) -> None:
    """It is refused where it is given: each request would fail."""
    with pytest.raises(ConfigError, match=said):
        llmkit_blueprint(get_user=wrong)
    with pytest.raises(ConfigError, match=said):
        llmkit_app(config={"models": {"default": "ollama:m"}, "ledger": False}, get_user=wrong)


@pytest.mark.parametrize(
    "right", [max, int, NUMBERS.get, wrapped(takes_two), lambda *args: 5, partial(takes_two, 1)]
)
def test_what_can_be_called_with_one_argument(right: Any) -> None:
    """It is taken, and so is what cannot be looked into; of what is wrapped, the wrapper counts."""
    BudgetManager([{**BUDGET, "usd": right}], on_budget_warning=right)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (later, "usd: it is called in a thread: it has to be a function that is not async"),
        (Later(), "usd: it is called in a thread: it has to be a function that is not async"),
        (
            f"{__name__}.later",
            (
                "budgets.0.usd: it is called in a thread: it has to be a function that is not async."
                " Write it with def, not async def."
            ),
        ),
        (
            f"{__name__}.NUMBERS",
            (
                f"budgets.0.usd: {__name__}.NUMBERS is a dict, not a function. It has to be a function,"
                ' or its dotted path, such as "billing.plan_limit".'
            ),
        ),
        (
            "no.limit",
            (
                "budgets.0.usd cannot be imported: No module named 'no'. It has to be a dotted path, such as"
                ' "billing.plan_limit".'
            ),
        ),
    ],
)
def test_what_is_said_of_a_wrong_function(limit: Any, said: str) -> None:
    """What is right, once, with an example of the same kind."""
    with pytest.raises(ConfigError) as caught:
        BudgetManager([{**BUDGET, "usd": limit}])
    assert str(caught.value) == said


def asks_a_library(what: object) -> Decimal:
    """Raise in the code of somebody else."""
    return fractions.Fraction("no number")  # type: ignore[return-value]


def line_of(word: str) -> int:
    """Return the line of this file that has a word."""
    lines = Path(__file__).read_text().splitlines()
    return next(at for at, line in enumerate(lines, 1) if word in line)


@pytest.mark.parametrize(
    "limit",
    [
        asks_a_library,
        partial(asks_a_library),
        wrapped(lambda _, caller: asks_a_library(caller)),
        Asked(),
        Asked().asked,
    ],
)
def test_a_limit_that_fails(limit: Any) -> None:
    """The app's own line is named, whatever it had called, and where the rest is said."""
    manager = BudgetManager([{**BUDGET, "usd": limit}])
    with pytest.raises(ConfigError) as caught:
        manager.hold(7, Amount())
    said, _, hint = str(caught.value).partition(". ")
    assert said == (
        "budgets.0.usd could not be asked: its function raised ValueError,"
        f" {__file__}:{line_of('fractions.Fraction(')}"
    )
    assert "left out, for it may quote data: the exception is the __cause__ of this one" in hint
    assert isinstance(caught.value.__cause__, ValueError)
    assert "no number" not in str(caught.value)


def test_a_limit_that_exits() -> None:
    """It has failed, too: an event loop would end by it, and a server with that."""
    manager = BudgetManager([{**BUDGET, "usd": lambda caller: sys.exit(1)}])
    with pytest.raises(ConfigError, match=r"its function raised SystemExit"):
        manager.hold(7, Amount())


def test_a_failure_without_a_line_of_the_apps() -> None:
    """Then the innermost line is named."""
    with pytest.raises(ValueError, match="no number") as caught:
        fractions.Fraction("no number")
    assert fractions.__file__ in place_of(caught.value, max)
    assert place_of(ValueError("no number")) == "ValueError"
