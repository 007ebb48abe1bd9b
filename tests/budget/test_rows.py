"""Rows of the ledger hold and settle in the transaction that writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from llmkit.errors import BudgetExceeded
from llmkit.ledger.account_rows import Ask
from llmkit.ledger.accounts import Accounts
from llmkit.ledger.budgeted_rows import hold_id
from llmkit.ledger.budgets import TableBudgets
from llmkit.ledger.columns import BUDGET_TABLE, HOLD_TABLE
from llmkit.ledger.hold_rows import Wanted
from llmkit.ledger.queries import Dialect, Query
from llmkit.ledger.row import Opening, unsent
from llmkit.ledger.upkeep import Upkeep
from llmkit.policy.budgets.accounts import Balance
from llmkit.policy.budgets.amounts import NOTHING, UNUSED, Unit, Units, Used
from llmkit.policy.budgets.decide import Claim
from llmkit.policy.budgets.windows import Per
from llmkit.usage import Usage
from support.budgets import STORES, Budgets, Clock, params
from support.ledger import closing, opening

TEN = Units(usd=10 * 10**9, tokens=100, requests=1)
COST = {"cost": Decimal("2.5"), "usage": Usage(input_tokens=30, output_tokens=12)}
PERS: tuple[Per, ...] = ("minute", "hour", "day", "month", "ever")
SETTLED = Units(usd=2_500_000_000, tokens=42, requests=1)


@pytest.fixture(params=params("sqlite", "engine", "postgres", "django"))
def books(request: pytest.FixtureRequest) -> Budgets:
    """Return each ledger that keeps budgets."""
    return STORES[request.param](request)


def claim(limits: dict[Unit, int], *, key: str = "all") -> Claim:
    """Make a claim on an account of a month."""
    return Claim(key=key, scope="all", per="month", amount=TEN, limits=limits)


def asking(name: str, *claims: Claim) -> Opening:
    """Make the opening of a row that asks for room."""
    return opening(name, claims=claims)


def now_in(books: Budgets, asked: Claim) -> Balance:
    """Read an account, by the clock that counts for rows."""
    assert isinstance(books.ledger, Upkeep)
    (balance,) = TableBudgets(books.ledger).balances([asked])
    return balance


def statuses(books: Budgets) -> dict[str, tuple[str, str | None]]:
    """Return the status and the error of each call."""
    assert books.ledger is not None
    return {row["call_id"]: (row["status"], row["error_type"]) for row in books.ledger.recent(99)}


def test_a_row_holds_and_its_end_settles(books: Budgets) -> None:
    """What was used takes the place of what was held; twice is once."""
    assert books.ledger is not None
    ask = claim({"usd": 25 * 10**9})
    for _ in range(2):
        assert books.ledger.write([asking("one", ask)], []) == {}
        assert now_in(books, ask) == Balance(held=TEN)
    for _ in range(2):
        books.ledger.write([], [closing("one", held=True, **COST)])
        assert now_in(books, ask) == Balance(used=SETTLED)
    assert statuses(books) == {"one": ("finished", None)}


def test_what_has_no_room_is_refused_in_its_turn(books: Budgets) -> None:
    """The rows of a group ask one after the other; whoever is refused has a row that says so, and holds nothing anywhere."""
    assert books.ledger is not None
    wide, narrow = claim({"usd": 25 * 10**9}), claim({"requests": 1}, key="user")
    group = [asking("one", wide, narrow), asking("two", wide, narrow), asking("three", wide)]
    group += [asking("four", wide), opening("free")]
    refused = books.ledger.write(group, [])
    assert (refused["two", 1].claim.key, refused["two", 1].unit) == ("user", "requests")
    assert (refused["four", 1].claim.key, refused["four", 1].unit) == ("all", "usd")
    for _ in range(2):
        assert set(books.ledger.write(group, [])) == {("two", 1), ("four", 1)}
        assert now_in(books, wide).held == TEN + TEN
        assert now_in(books, narrow).held == TEN
        assert statuses(books) == {
            "one": ("started", None),
            "two": ("refused", "budget_exceeded"),
            "three": ("started", None),
            "four": ("refused", "budget_exceeded"),
            "free": ("started", None),
        }
    error = refused["two", 1].error
    assert isinstance(error, BudgetExceeded)
    assert (error.scope, error.per, error.unit, error.limit) == ("all", "month", "requests", 1)


def test_a_refusal_holds_though_there_is_room_by_now(books: Budgets) -> None:
    """A group that is tried again because nobody knows whether it was committed finds what it found."""
    assert books.ledger is not None
    ask = claim({"requests": 2})
    books.ledger.write([asking("zero", ask)], [])
    group = [asking("one", ask), asking("two", ask)]
    assert set(books.ledger.write(group, [])) == {("two", 1)}
    books.ledger.write([], [unsent(asking("zero", ask), "refused", 0.0)])
    assert now_in(books, ask) == Balance(held=TEN)
    for _ in range(2):
        assert set(books.ledger.write([*group, asking("three", ask)], [])) == {("two", 1)}
        assert now_in(books, ask) == Balance(held=TEN + TEN)


def test_ends_make_room_for_the_same_group(books: Budgets) -> None:
    """They are settled first, whatever came first; an end that comes with its own row is settled after."""
    assert books.ledger is not None
    ask = claim({"usd": 10 * 10**9})
    books.ledger.write([asking("one", ask)], [])
    ends = [unsent(asking("one", ask), "cancelled", 0.0)]
    assert books.ledger.write([asking("two", ask)], ends) == {}
    assert now_in(books, ask).held == TEN
    both = [closing("three", held=True, **COST), closing("two", held=True, **COST)]
    assert books.ledger.write([asking("three", claim({"usd": 13 * 10**9}))], both) == {}
    # The one that was never sent counts as a request.
    assert now_in(books, ask) == Balance(used=SETTLED + SETTLED + Units(requests=1))


def test_what_is_not_known_is_charged_as_held(books: Budgets) -> None:
    """An unknown cost is not nothing. What was never sent is."""
    assert books.ledger is not None
    ask = claim({"usd": 100 * 10**9})
    rows = [asking(name, ask) for name in ("unknown", "unsent", "known")]
    books.ledger.write(rows, [])
    books.ledger.write([], [closing("unknown", held=True, cost=None, usage=Usage())])
    assert now_in(books, ask) == Balance(used=TEN, held=TEN + TEN)
    books.ledger.write([], [unsent(rows[1], "refused", 0.0)])
    assert now_in(books, ask) == Balance(used=TEN, held=TEN)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_sweep_settles_rows_that_are_lost(kind: str, request: pytest.FixtureRequest) -> None:
    """With what they hold by then; an end that comes after all corrects it."""
    books = STORES[kind](request)
    assert books.ledger is not None
    ask = claim({"usd": 100 * 10**9})
    old = datetime.now(UTC) - timedelta(hours=1)
    rows = [replace(asking(name, ask), started_at=old, worker="dead") for name in ("late", "gone")]
    books.ledger.write(rows, [])
    assert books.ledger.sweep(silent=60) == 2
    assert now_in(books, ask) == Balance(used=TEN + TEN)
    books.ledger.write([], [closing("late", held=True, **COST)])
    assert now_in(books, ask) == Balance(used=TEN + SETTLED)
    assert books.ledger.sweep(silent=60) == 0
    assert now_in(books, ask) == Balance(used=TEN + SETTLED)
    assert statuses(books) == {"late": ("finished", None), "gone": ("lost", None)}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_is_settled_late_is_charged(kind: str, request: pytest.FixtureRequest) -> None:
    """What was let go may be used after all; giving it back changes nothing."""
    books = STORES[kind](request)
    assert isinstance(books.ledger, Upkeep)
    ask = claim({"requests": 2})
    assert TableBudgets(books.ledger, lapse=-5).hold("old", [ask]) is None
    store = TableBudgets(books.ledger)
    assert store.hold("new", [ask]) is None
    books.ledger.sweep(silent=60)
    assert now_in(books, ask) == Balance(held=TEN)
    store.settle("old", UNUSED, again=False)
    store.settle("old", Used(usd=2_500_000_000, tokens=42, requests=1))
    assert now_in(books, ask) == Balance(used=SETTLED, held=TEN)
    books.ledger.sweep(silent=60)
    assert now_in(books, ask) == Balance(used=SETTLED, held=TEN)


def test_what_was_noted_as_lost_is_corrected_by_its_end(books: Budgets) -> None:
    """As a process notes it that is told to stop, and goes on all the same."""
    assert books.ledger is not None
    ask = claim({"usd": 100 * 10**9})
    books.ledger.write([asking("one", ask)], [])
    noted = closing("one", held=True, status="lost", cost=None, usage=Usage())
    for end, used in ((noted, TEN), (closing("one", held=True, **COST), SETTLED)):
        books.ledger.write([], [end])
        assert now_in(books, ask) == Balance(used=used)


def kept_names(books: Budgets) -> tuple[set[str], set[str]]:
    """Return the names of the accounts and of the holds that the database has."""
    assert isinstance(books.ledger, Upkeep)

    def read(ask: Ask, _: Dialect) -> tuple[set[str], set[str]]:
        accounts = ask(Query(f"SELECT account FROM {BUDGET_TABLE}", ()))  # noqa: S608
        holds = ask(Query(f"SELECT id FROM {HOLD_TABLE}", ()))  # noqa: S608
        return {name for (name,) in accounts}, {name for (name,) in holds}

    return books.ledger.ask(read)


@pytest.mark.parametrize("kind", params("sqlite", "engine", "django"))
def test_the_sweep_lets_go_of_what_nobody_settles(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Of what was held without a row, after its time and no sooner."""
    books = STORES[kind](request)
    assert isinstance(books.ledger, Upkeep)
    sweep = partial(books.ledger.change, Accounts(books.clock).sweep)
    ask = claim({"requests": 9})
    for name in "ab":
        assert books.store.hold(name, [ask]) is None
    books.store.settle("b", Used(usd=0, tokens=0, requests=1))
    books.clock.now += timedelta(seconds=900)
    sweep()
    assert books.store.balances([ask]) == [Balance(used=Units(requests=1), held=TEN)]
    books.clock.now += timedelta(seconds=1)
    sweep()
    assert books.store.balances([ask]) == [Balance(used=Units(requests=1))]
    assert kept_names(books)[1] == {"a", "b"}  # it may be settled late


@pytest.mark.parametrize("kind", params("sqlite", "engine", "django"))
def test_the_sweep_forgets_what_is_old(kind: str, request: pytest.FixtureRequest) -> None:
    """Holds that nobody corrects any more after a day, windows that are over after five weeks; what is held still is kept."""
    books = STORES[kind](request)
    assert isinstance(books.ledger, Upkeep)
    sweep = partial(books.ledger.change, Accounts(books.clock).sweep)
    everything = [replace(claim({"requests": 9}, key=per), per=per) for per in PERS]
    assert books.store.hold("settled", everything) is None
    books.store.settle("settled", Used(requests=1))
    open_row = Wanted(id="open", claims=everything[:1], call_id="x", attempt=1)
    books.ledger.change(Accounts(books.clock).change, (), [open_row])
    books.clock.now += timedelta(days=1)
    sweep()
    assert kept_names(books) == (set(PERS), {"settled", "open"})
    books.clock.now += timedelta(seconds=1)
    sweep()
    assert kept_names(books) == (set(PERS), {"open"})
    for days, left in ((34, set(PERS)), (1, {"month", "ever"})):  # the month ends later
        books.clock.now += timedelta(days=days)
        sweep()
        assert kept_names(books) == (left, {"open"})
    books.clock.now += timedelta(days=35)
    sweep()
    assert kept_names(books) == ({"ever"}, {"open"})


@pytest.mark.parametrize("kind", params("sqlite", "engine", "django"))
def test_what_all_accounts_have_now(kind: str, request: pytest.FixtureRequest) -> None:
    """Of each its window of now; a period that is over, or a minute in which nothing was held, is not among them."""
    books = STORES[kind](request)
    assert isinstance(books.store, TableBudgets)
    everything = [replace(claim({"requests": 9}, key=per), per=per) for per in PERS]
    assert books.store.hold("a", everything) is None
    here = {each.key: each.balance.held for each in books.store.current()}
    assert here == dict.fromkeys(PERS, TEN)
    books.clock.now += timedelta(seconds=61)
    assert {each.key for each in books.store.current()} == set(PERS) - {"minute"}
    books.clock.now += timedelta(days=1)
    assert {each.key for each in books.store.current()} == {"month", "ever"}


class Ticking(Clock):
    """A date that goes on by half a minute whenever it is asked."""

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=30)
        return self.now


@pytest.mark.parametrize("kind", params("sqlite", "engine", "django"))
def test_the_seconds_of_a_minute_count_from_after_the_wait_for_the_lock(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Or calls that have waited long would count for less than a minute."""
    books, clock = STORES[kind](request), Ticking()
    assert isinstance(books.ledger, Upkeep)
    store, began = TableBudgets(books.ledger, now=clock), clock.now
    ask = replace(claim({"requests": 9}), per="minute")
    assert store.hold("a", [ask]) is None
    (balance,) = store.balances([ask])
    # Asked twice: before the lock and after it.
    assert list(balance.by_second) == [int((began + timedelta(seconds=60)).timestamp())]


def test_a_row_without_claims_costs_no_budget(books: Budgets) -> None:
    """Nor does its end."""
    assert books.ledger is not None
    books.ledger.write([opening("free")], [])
    books.ledger.write([], [closing("free", **COST)])
    assert now_in(books, claim({"usd": 1})) == Balance(used=NOTHING)
    assert hold_id(opening("free")) == "free:1"
