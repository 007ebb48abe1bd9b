"""The cost tracker: by itself, in a kit, and behind the route where users see their own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import Caller, ConfigError, CostTracker, Kit, LedgerUnavailable, Usage
from llmkit.ledger.sums import Sum
from llmkit.relay._sync.door import Door
from llmkit.relay.rules import User
from llmkit.testing import Emulator
from llmkit.usage import Billing
from support.kits import make_kit
from support.ledger import closing, opening, read
from support.memory_store import MemoryStore, writing

MODEL = "anthropic:claude-sonnet-4-5"
TOKENS = Usage(
    input_tokens=100_000, output_tokens=10_000, input_source="reported", output_source="reported"
)
# In Berlin it is already June.
NOW = datetime(2026, 5, 31, 22, 30, tzinfo=UTC)


@pytest.fixture
def tracker(database: str) -> Iterator[CostTracker]:
    """Return one by itself."""
    tracker = CostTracker(database, time_zone="Europe/Berlin", now=lambda: NOW)
    yield tracker
    tracker.close()


def test_calls_that_were_made_elsewhere(tracker: CostTracker, database: str) -> None:
    """They are priced, written down and added up."""
    assert tracker.totals == Sum()
    assert tracker.report("user").groups == ()
    assert tracker.record(MODEL, TOKENS) == Decimal("0.45")
    cost = tracker.record(
        MODEL,
        TOKENS,
        user=Caller(user=7, tenant="acme"),
        tags={"job": "nightly"},
        status="truncated",
        started_at=NOW - timedelta(hours=1),
        request_id="batch_1",
        billing=Billing(service_tier="batch"),
    )
    assert cost is None or cost > 0
    assert tracker.record("local:smollm2", TOKENS, user="7", streamed=True) is None
    rows = read(database)
    assert [row["status"] for row in rows] == ["finished", "truncated", "finished"]
    assert [row["user_key"] for row in rows] == [None, "7", "7"]
    assert (rows[1]["tenant"], rows[1]["tags"], rows[1]["request_id"]) == (
        "acme",
        {"job": "nightly"},
        "batch_1",
    )
    assert rows[1]["billing"] == {"service_tier": "batch"}
    assert (rows[0]["alias"], rows[0]["finished_at"]) == (MODEL, NOW)
    totals = tracker.totals
    assert (totals.calls, totals.input_tokens) == (3, 300_000)
    report = tracker.report(by=("user", "day"), where={"model": "claude-sonnet-4-5"})
    assert [group.key for group in report.groups] == [
        {"user": None, "day": "2026-06-01"},
        {"user": "7", "day": "2026-05-31"},
    ]
    assert tracker.report("day", since=NOW).total.calls == 2
    assert tracker.report("day", until=NOW).total.calls == 1


@pytest.mark.anyio
async def test_async_twins_do_the_same(tracker: CostTracker) -> None:
    """Without blocking the event loop."""
    assert await tracker.arecord(MODEL, TOKENS, user="7") == Decimal("0.45")
    report = await tracker.areport("user")
    assert report.total == tracker.totals


def test_prices_of_the_apps_own(sqlite: str) -> None:
    """Are taken first."""
    tracker = CostTracker(sqlite, prices={"local": {"input": "1", "output": "2"}})
    assert tracker.record("local:smollm2", TOKENS) == Decimal("0.12")
    tracker.close()


def test_what_is_wrong_is_said(tracker: CostTracker) -> None:
    """With the remedy."""
    with pytest.raises(ConfigError, match="did you mean 'anthropic:claude-sonnet-4-5'"):
        tracker.record("claude-sonnet-4-5", TOKENS)
    with pytest.raises(TypeError, match="a user or tenant has to be an id"):
        tracker.report(where={"user": 1.5})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="model has to be a text or None, not a int"):
        tracker.report(where={"model": 3})
    with pytest.raises(ValueError, match="there is no status 'finish'; did you mean 'finished'"):
        tracker.report(where={"status": "finish"})
    with pytest.raises(ValueError, match="since and until need a time zone"):
        tracker.report(since="2026-05-31")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"'tenant'; pass user=llmkit.Caller"):
        tracker.record(MODEL, TOKENS, tenant="acme")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'usr'"):
        tracker.record(MODEL, TOKENS, usr="7")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="a user or tenant has to be an id"):
        tracker.record(MODEL, TOKENS, user=object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="calls cannot be grouped by 'days'; did you mean 'day'"):
        tracker.report("days")
    with pytest.raises(ValueError, match="calls cannot be chosen by 'day'"):
        tracker.report(where={"day": "2026-05-31"})
    with pytest.raises(ValueError, match="since and until need a time zone"):
        tracker.report(since=datetime(2026, 5, 31))
    with pytest.raises(ValueError, match="did you mean 'Europe/Berlin'"):
        CostTracker("sqlite:///x.db", time_zone="Europe/Berln")
    with pytest.raises(ConfigError):
        CostTracker("mysql://x/y")
    with (
        pytest.raises(LedgerUnavailable, match="this ledger cannot be read"),
        writing(MemoryStore()) as writer,
    ):
        CostTracker(writer).report()


@pytest.mark.parametrize(
    ("usage", "options", "said"),
    [
        ({"input_tokens": 1}, {}, "usage has to be a llmkit.Usage"),
        (Usage(input_tokens=1.5), {}, "whole numbers or None"),  # type: ignore[arg-type]
        (TOKENS, {"status": "done"}, "status has to be one of finished, failed"),
        (TOKENS, {"status": "started"}, "status has to be one of finished, failed"),
        (TOKENS, {"started_at": datetime(2026, 5, 1)}, "started_at has to be a datetime with a"),
        (TOKENS, {"finished_at": "today"}, "finished_at has to be a datetime with a time zone"),
        (TOKENS, {"conversation": 7}, "conversation has to be a text"),
        (TOKENS, {"request_id": 7}, "request_id has to be a text"),
        (TOKENS, {"run_id": 7}, "run_id has to be a text"),
        (TOKENS, {"streamed": "yes"}, "streamed has to be True or False"),
        (TOKENS, {"tags": {"job": 7}}, "has to be a str, not an int"),
        (TOKENS, {"billing": None}, "billing has to be a llmkit.usage.Billing"),
    ],
)
def test_what_no_column_takes_is_refused_at_once(
    usage: Any, options: dict[str, Any], said: str, sqlite: str
) -> None:
    """It is said to whoever passes it, and nothing is written."""
    tracker = CostTracker(sqlite)
    with pytest.raises((TypeError, ValueError), match=said):
        tracker.record(MODEL, usage, **options)
    assert tracker.totals == Sum()
    tracker.close()


def test_ids_are_numbers_too(tracker: CostTracker) -> None:
    """As where calls are made; an empty text is nobody, and no tenant."""
    tracker.record(MODEL, TOKENS, user=7)
    tracker.record(MODEL, TOKENS, user=Caller(user=8, tenant=5))
    tracker.record(MODEL, TOKENS, user=Caller(user=8, tenant=""))
    for where in ({"user": 7}, {"user": "7"}, {"tenant": 5}, {"tenant": "", "user": 8}):
        assert tracker.report(where=where).total.calls == 1


def test_a_kit_has_one(database: str) -> None:
    """Over its ledger, with its prices and its time zone."""
    with Emulator() as emulator:
        kit = make_kit(emulator, ledger={"database": database}, time_zone="Europe/Berlin")
        assert kit.totals == Sum()
        reply = kit.client.complete("Hi", user="7")
        assert kit.totals.cost == reply.cost
        assert kit.cost_tracker.record(MODEL, TOKENS) == Decimal("0.45")
        assert [group.key for group in kit.cost_tracker.report("user").groups] == [
            {"user": None},
            {"user": "7"},
        ]
        assert str(kit.cost_tracker.zone) == "Europe/Berlin"
        kit.close()
        with pytest.raises(ConfigError, match="the calls are not recorded"):
            make_kit(emulator).totals  # noqa: B018


class Asked:
    """A request for one's own usage."""

    headers: Mapping[str, str] = {}
    has_get_user = True

    def __init__(self, user: User) -> None:
        self._user = user

    def check_origin(self) -> None: ...

    def user(self) -> User:
        return self._user

    def body(self, limit: int) -> bytes:
        return b""


def own(kit: Kit, user: User) -> tuple[int, Any]:
    """Ask for the usage of a user."""
    answer = Door(kit).usage(Asked(user))
    return answer.status, json.loads(answer.body)


def test_users_see_their_own(sqlite: str) -> None:
    """Of the day and the month that it is where the app lives; of their tenant, where they have one; nobody sees anybody's."""
    kit = Kit(
        {
            "models": {"default": MODEL},
            "ledger": {"database": sqlite},
            "time_zone": "Europe/Berlin",
            "relay": {"anonymous": True},
        },
        now=lambda: NOW + timedelta(days=1),
    )
    assert kit.ledger is not None
    moments = [NOW - timedelta(hours=1), NOW, NOW + timedelta(hours=23), NOW + timedelta(days=1)]
    for number, at in enumerate(moments):
        for tenant in (None, "acme"):
            name = f"{number}-{tenant}"
            row = opening(name, started_at=at, user_key="7" * 300, tenant=tenant)
            kit.ledger.record(row, closing(name, cost=Decimal("0.1")))
    status, mine = own(kit, "7" * 300)
    assert (status, mine["today"]["calls"], mine["month"]["calls"]) == (200, 1, 3)
    assert mine["month"]["cost_usd"] == "0.300000000"
    status, theirs = own(kit, Caller(user="7" * 300, tenant="acme"))
    assert (status, theirs["today"]["calls"], theirs["month"]["calls"]) == (200, 1, 3)
    assert own(kit, "8")[1]["month"]["calls"] == 0
    for nobody in (None, Caller(tenant="acme")):
        status, said = own(kit, nobody)
        assert (status, said["error"]["type"]) == (401, "not_logged_in")
    kit.close()


def test_an_app_that_records_nothing_has_no_usage() -> None:
    """Nor a route for it."""
    status, said = own(Kit({"models": {"default": MODEL}, "ledger": False}), "7")
    assert (status, said["error"]["type"]) == (404, "not_found")


def test_records_that_cannot_be_read(tmp_path: Path) -> None:
    """Are a 503, without the reason, which is the developer's."""
    url = f"sqlite:///{tmp_path / 'llm.db'}"
    (tmp_path / "llm.db").write_text("no database")
    kit = Kit({"models": {"default": MODEL}, "ledger": {"database": url}})
    status, said = own(kit, "7")
    assert (status, said["error"]["type"]) == (503, "ledger_unavailable")
    assert said["error"]["message"] == "this app cannot read its records now"
    assert "llm.db" not in json.dumps(said)
    kit.close()


@pytest.mark.parametrize("why", ["its function fails", "Redis is away"])
def test_budgets_that_cannot_be_asked(
    tmp_path: Path, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What calls have cost is said all the same; the log has the reason."""

    def plan(_: Caller) -> int:
        raise ValueError("the password is hunter2")

    budget = {"scope": "user", "per": "month", "requests": plan if "fails" in why else 20}
    settings = {
        "models": {"default": MODEL},
        "ledger": {"database": f"sqlite:///{tmp_path / 'llm.db'}"},
        "budgets": [budget],
    }
    if "Redis" in why:
        pytest.importorskip("redis")
        settings["redis"] = "redis://127.0.0.1:1/0"
    kit = Kit(settings)
    assert kit.ledger is not None
    kit.ledger.record(opening("a", user_key="7"), closing("a", cost=Decimal("0.1")))
    status, mine = own(kit, "7")
    assert (status, mine["budgets"]) == (200, None)
    assert set(mine) == {"today", "month", "budgets"}
    assert "it cannot be said what is left of budgets" in caplog.text
    assert "hunter2" not in caplog.text
    kit.close()
