"""`llmkit usage`, `prune` and `reprice` as they are typed."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmkit.cli import main
from llmkit.config import LedgerConfig
from llmkit.ledger.outbox.records import encode
from llmkit.ledger.sql import open_store, open_with_outbox
from llmkit.ledger.sums import Group, Report, Sum
from llmkit.ledger.text import report_as_table, rows_as_table
from llmkit.ledger.writer import LedgerWriter
from support.ledger import START, closing, opening, read

SOME = Sum(calls=1, attempts=1, input_tokens=1, output_tokens=1, unpriced=1)


def invoke(command: str, database: str, *args: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, [command, "--database", database, *args])


def output(command: str, database: str, *args: str) -> str:
    """Run a command that succeeds, and return what it prints."""
    done = invoke(command, database, *args)
    assert done.exit_code == 0, done.output
    return done.output


def said(command: str, database: str, *args: str, code: int = 2) -> str:
    """Run a command that is refused, by default for a wrong option, and return why."""
    done = invoke(command, database, *args)
    assert done.exit_code == code, done.output
    assert done.output.startswith("Error: "), done.output
    assert done.output.count("\n") == 1
    return done.output.removeprefix("Error: ").strip()


def lines(database: str, *args: str) -> list[list[str]]:
    """Return a report as CSV, without its head."""
    return [*csv.reader(io.StringIO(output("usage", database, *args, "--csv")))][1:]


def calls(database: str, *args: str) -> list[str]:
    """Return the rows that are shown."""
    rows: list[dict[str, Any]] = json.loads(output("usage", database, *args, "--json"))
    return [row["call_id"] for row in rows]


@pytest.fixture
def filled(writer: LedgerWriter, database: str) -> str:
    """Return the URL of a ledger with calls of two users over two days and an attempt more."""
    day = timedelta(days=1)
    writer.record(opening("one", tags={"feature": "search"}), closing("one"))
    writer.record(
        opening("two", user_key="7", tags={"feature": "", "team": "a=b"}, started_at=START + day),
        closing("two", status="failed", cost=None),
    )
    writer.record(
        opening("two", user_key="7", attempt=2, started_at=START + day, model="other"),
        closing("two", attempt=2),
    )
    writer.record(
        opening("three", user_key=None, tenant="acme", started_at=START + day),
        closing("three", cost=Decimal("0.000000002")),
    )
    return database


def test_a_report(filled: str) -> None:
    """Groups as an aligned table, what has no value first; below it all of them together."""
    assert output("usage", filled, "--by", "user").splitlines() == [
        "user  calls  attempts   in  out           cost",
        "-         1         1  100   20     <$0.000001",
        "42        1         1  100   20      $0.000600",
        "7         1         2  200   40  $0.000600 + ?",
        "3 calls in 4 attempts, $0.001200 (1 of unknown cost)",
    ]


@pytest.mark.parametrize(
    "by", [["user,day"], ["user", "day"], [" user , day ,"], ["user,day", "user"]]
)
def test_a_report_by_more_than_one_name(filled: str, by: list[str]) -> None:
    """They are parted by commas or given one by one; one that is named twice counts once."""
    options = [word for names in by for word in ("--by", names)]
    found = output("usage", filled, *options, "--csv").splitlines()
    assert found == [
        "user,day,calls,attempts,input_tokens,output_tokens,cost_usd,unpriced,saved_usd",
        ",2026-05-18,1,1,100,20,0.000000002,0,0.000000000",
        "42,2026-05-17,1,1,100,20,0.000600000,0,0.000000000",
        "7,2026-05-18,1,2,200,40,0.000600000,1,0.000000000",
    ]


def test_a_report_as_json(filled: str) -> None:
    """The groups by what they are grouped by, and the total."""
    report = json.loads(output("usage", filled, "--by", "tag:feature,month", "--json"))
    assert [(one["tag:feature"], one["month"], one["attempts"]) for one in report["groups"]] == [
        (None, "2026-05", 2),
        ("", "2026-05", 1),
        ("search", "2026-05", 1),
    ]
    assert report["total"]["calls"] == 3
    assert report["total"]["cost_usd"] == "0.001200002"
    assert report["total"]["unpriced"] == 1


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (
            ["--by", "usr"],
            "calls cannot be grouped by 'usr'; did you mean 'user'? It can be user, ",
        ),
        (["--by", "user,week"], "calls cannot be grouped by 'week'. It can be user, tenant, "),
        (["--by", "tag:"], "calls cannot be grouped by 'tag:'"),
        (["--tag", "feature"], "--tag feature has to be of the form NAME=VALUE"),
        (["--tag", "=x"], "--tag =x has to be of the form NAME=VALUE"),
        (["--since", "yesterday"], "--since: 'yesterday' is no date. Write one, such as"),
        (["--until", "999999w"], "--until: '999999w' is too long ago"),
        (["--since", "0001-01-01"], "--since: '0001-01-01' is out of range"),
        (["--time-zone", "Europe/Berlim"], "'Europe/Berlim' is no time zone"),
        (["--time-zone", ""], "'' is no time zone"),
        (["--json", "--csv"], "--json and --csv exclude each other"),
        *(
            (["--limit", limit], "--limit has to be a whole number, 0 or more")
            for limit in ("-1", "many", "", "nan", "inf", "2.5", "99999999999999999999")
        ),
    ],
)
def test_what_cannot_be_asked(filled: str, args: list[str], why: str) -> None:
    """It is said in a line, with what can."""
    assert said("usage", filled, *args).startswith(why)


def test_some_rows(filled: str) -> None:
    """By what they say; an empty value is none, and for a tag too."""
    assert calls(filled) == ["three", "two", "two", "one"]
    assert calls(filled, "--user", "7") == ["two", "two"]
    assert calls(filled, "--user", "") == ["three"]
    assert calls(filled, "--tenant", "acme", "--user", "7") == []
    assert calls(filled, "--model", "other") == ["two"]
    assert calls(filled, "--status", "failed", "--provider", "anthropic") == ["two"]
    assert calls(filled, "--tag", "feature=search") == ["one"]
    assert calls(filled, "--tag", "team=a=b") == ["two"]
    assert calls(filled, "--tag", "feature=search", "--tag", "team=a=b") == []
    assert calls(filled, "--tag", "team=") == ["three", "two", "one"]
    assert calls(filled, "--limit", "1") == ["three"]
    assert calls(filled, "--limit", "0") == []
    assert output("usage", filled, "--limit", "0").endswith(
        "3 calls in 4 attempts, $0.001200 (1 of unknown cost)\n"
    )


def test_some_days(filled: str) -> None:
    """From a moment on and before one, in the time zone that is named; days begin there, too."""
    assert calls(filled, "--since", "2026-05-18") == ["three", "two", "two"]
    assert calls(filled, "--until", "2026-05-18") == ["one"]
    assert calls(filled, "--until", "2026-05-17T12:30") == []
    assert calls(filled, "--until", "2026-05-17T12:31Z", "--time-zone", "Asia/Tokyo") == ["one"]
    assert calls(filled, "--until", "2026-05-17T21:31", "--time-zone", "Asia/Tokyo") == ["one"]
    assert calls(filled, "--until", "2026-05-17T21:30", "--time-zone", "Asia/Tokyo") == []
    zone = ["--time-zone", "Pacific/Kiritimati"]  # 14 hours ahead
    assert [line[:2] for line in lines(filled, "--by", "day", *zone)] == [
        ["2026-05-18", "1"],
        ["2026-05-19", "2"],
    ]
    assert calls(filled, "--since", "2026-05-19", *zone) == ["three", "two", "two"]


def test_the_last_days(writer: LedgerWriter, database: str) -> None:
    """`7d` is as many times 24 hours."""
    now = datetime.now(UTC)
    for days in (1, 6, 8):
        writer.record(opening(f"{days}", started_at=now - timedelta(days=days)), closing(f"{days}"))
    assert calls(database, "--since", "7d") == ["6", "1"]
    assert calls(database, "--until", "1w") == ["8"]
    assert calls(database, "--since", "36h") == ["1"]


def test_a_spreadsheet_runs_nothing(writer: LedgerWriter, database: str) -> None:
    """A foreign string that it would take for a formula is marked as text; all others are as they are."""
    foreign = [
        "=1+1",
        "+1",
        "-1",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "a=1",
        'say "hi", you',
        "two\nlines",
        "x\r=1",
    ]
    for word in foreign:
        tags = {word: word}
        writer.record(opening(word, user_key=word, tags=tags), closing(word, request_id=word))
    shown = [f"'{word}" for word in foreign[:6]] + foreign[6:]
    rows = [*csv.DictReader(io.StringIO(output("usage", database, "--csv"), newline=""))]
    assert [row["user_key"] for row in rows] == shown[::-1]
    assert [row["request_id"] for row in rows] == shown[::-1]
    assert [json.loads(row["tags"]) for row in rows] == [{word: word} for word in foreign[::-1]]
    report = io.StringIO(output("usage", database, "--by", "user,tag:=1+1", "--csv"), newline="")
    head, *groups = csv.reader(report)
    assert head[:2] == ["user", "tag:=1+1"]
    assert {group[0] for group in groups} == set(shown)
    assert ["'=1+1", "'=1+1"] in [group[:2] for group in groups]


def test_all_columns_as_csv(filled: str) -> None:
    """Times in ISO 8601, costs with all their places, what is unknown empty."""
    newest, _, failed, _ = csv.DictReader(io.StringIO(output("usage", filled, "--csv")))
    assert newest["started_at"] == "2026-05-18T12:30:00.123456+00:00"
    assert failed["cost_usd"] == ""
    assert failed["tags"] == '{"feature": "", "team": "a=b"}'
    assert newest.keys() == read(filled)[0].keys()


def test_the_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With rich, foreign words are neither markup nor commands: not in a cell, and not in the head."""
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "200")
    row = {
        **dict.fromkeys(
            ("input_tokens", "output_tokens", "cost_usd", "first_content_at", "finished_at")
        ),
        "user_key": "[red]x[/]\x1b[2J",
        "provider": "p",
        "model": ":smile:",
        "alias": "a",
        "status": "started",
        "started_at": START,
        "input_source": "unknown",
        "output_source": "unknown",
    }
    table = plain(rows_as_table([row], SOME, rich=True))
    assert "[red]x[/]?[2J" in table
    assert "p::smile:" in table
    assert table.endswith("\n1 call, $0.000000 (1 of unknown cost)")
    name = "tag:[b]\x1b[2J"
    report = Report((name,), (Group({name: "[/]"}, SOME),), SOME)
    table = plain(report_as_table(report, rich=True))
    assert "tag:[b]?[2J" in table
    assert "[/]" in table
    assert "tag:[b]?[2J" in report_as_table(report)


def test_what_was_saved() -> None:
    """It stands in the table where something was, and in the line under it."""
    saving = replace(SOME, unpriced=0, saved=Decimal("0.0123456789"))
    report = Report(
        ("user",), (Group({"user": "7"}, saving), Group({"user": "8"}, SOME)), saving + SOME
    )
    head, seven, eight, total = report_as_table(report).splitlines()
    assert head.split() == ["user", "calls", "attempts", "in", "out", "cost", "saved"]
    assert seven.split()[-1] == "$0.012346"
    assert eight.split()[-1] == "-"
    assert total.endswith("$0.000000 (1 of unknown cost); answers given again have saved $0.012346")
    assert "saved" not in report_as_table(Report(("user",), (Group({"user": "8"}, SOME),), SOME))


def plain(drawn: str) -> str:
    """Take out the styles that rich draws with; nothing else may command the terminal."""
    assert "\x1b" in drawn
    shown = re.sub(r"\x1b\[[\d;]*m", "", drawn)
    assert "\x1b" not in shown
    return shown


AGES = {"old": 91, "older": 200, "new": 89}


@pytest.fixture
def aged(writer: LedgerWriter, database: str) -> str:
    """Return the URL of a ledger with two rows that are older than 90 days, one of them with content."""
    now = datetime.now(UTC)
    for name, days in AGES.items():
        content = None if name == "older" else {"answer": "Hi"}
        writer.record(
            opening(name, started_at=now - timedelta(days=days)), closing(name, content=content)
        )
    return database


def test_pruning(aged: str) -> None:
    """Rows that are older go; a dry run says as many, and leaves them."""
    when = f"{datetime.now(UTC) - timedelta(days=90):%Y-%m-%d }"
    dry = output("prune", aged, "--older-than", "90d", "--dry-run")
    assert re.fullmatch(rf"2 rows from before {when}\d\d:\d\d UTC would be deleted.\n", dry)
    assert [*calls(aged)] == ["new", "older", "old"]
    assert "2 rows from before" in output("prune", aged, "--older-than", "90d")
    assert calls(aged) == ["new"]
    assert re.match(
        r"No rows from before .* UTC are deleted\.", output("prune", aged, "--older-than", "90d")
    )
    assert said("prune", aged, "--older-than", "0m").startswith("--older-than 0 would be every row")


def test_pruning_content(aged: str) -> None:
    """The rows stay."""
    args = ("--older-than", "90d", "--content-only")
    dry = output("prune", aged, *args, "--dry-run")
    assert re.match(r"1 row from before .* UTC would be emptied of content\.", dry)
    assert [row["content"] is None for row in read(aged)] == [False, True, False]
    done = output("prune", aged, *args)
    assert re.match(r"1 row from before .* UTC is emptied of content\.", done)
    assert [row["content"] is None for row in read(aged)] == [True, True, False]


@pytest.mark.parametrize(
    ("age", "why"),
    [
        ("", "--older-than: '' is no span of time. Write one, such as 90d, 2w, 12h or 30m"),
        ("90", "--older-than: '90' is no span of time"),
        ("-90d", "--older-than: '-90d' is no span of time"),
        ("2026-01-01", "--older-than: '2026-01-01' is no span of time"),
        ("999999w", "--older-than: '999999w' is too long ago"),
    ],
)
def test_an_age_that_is_none(aged: str, age: str, why: str) -> None:
    """Nothing is deleted."""
    assert said("prune", aged, "--older-than", age).startswith(why)
    assert len(calls(aged)) == 3


def test_pruning_needs_an_age(aged: str) -> None:
    """Nothing is deleted that nobody has named."""
    done = invoke("prune", aged)
    assert done.exit_code == 2
    assert "Missing option '--older-than'" in done.output
    assert len(calls(aged)) == 3


SETTINGS = """
LLMKIT = {
    "models": {"default": "anthropic:claude-sonnet-4-5"},
    "prices": {"anthropic:claude-sonnet-4-5": {"input": "1", "output": "2"}},
    "time_zone": "Asia/Tokyo",
}
WRONG = {"models": {"default": "nonsense"}}
NUMBER = 3
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module in the current folder, with settings in it."""
    folder = tmp_path / "app"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend("/nowhere")  # what the command adds goes with it
    name = f"shop_{abs(hash(tmp_path))}"
    (folder / f"{name}.py").write_text(SETTINGS)
    (folder / f"{name}_broken.py").write_text("raise RuntimeError('s3cret')")
    (folder / f"{name}_torn.py").write_text("LLMKIT = {")
    return name


def test_repricing_by_the_settings(writer: LedgerWriter, database: str, app: str) -> None:
    """Their prices are taken, from a module in the current folder; a dry run says the same, and changes nothing."""
    day = timedelta(days=1)
    writer.record(opening("one"), closing("one", cost=None, price_version=None))
    writer.record(opening("two", started_at=START + day), closing("two"))
    writer.record(opening("three", model="mine"), closing("three", cost=None))
    args = ("--settings", f"{app}.LLMKIT")
    dry = output("reprice", database, *args, "--dry-run")
    assert dry.splitlines() == [
        "2 of 3 rows would be priced anew.",
        "Cost before: $0.000600; after: $0.000280.",
        "1 row has no known cost, for want of token counts or of a price. Set a price in prices.",
    ]
    assert read(database)[0]["cost_usd"] is None
    late = output("reprice", database, *args, "--since", "2026-05-18T21:00", "--dry-run")
    assert late.startswith("1 of 1 row would be priced anew.\n")  # Tokyo is nine hours ahead
    assert output("reprice", database, *args) == dry.replace("would be ", "")
    assert [row["cost_usd"] for row in read(database)] == [Decimal("0.00014")] * 2 + [None]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("{app}.MISSING", "--settings cannot be imported: module '.*' has no attribute 'MISSING'"),
        ("{app}.WRONG", "models.default: 'nonsense' is not of the form provider:model"),
        ("{app}.NUMBER", "the settings are an int, not a dict"),
        ("{app}_broken.LLMKIT", r"--settings cannot be imported: .*_broken fails \(RuntimeError\)"),
        ("{app}_torn.LLMKIT", r"--settings cannot be imported: .*_torn fails \(SyntaxError\)"),
        ("no.such.module", "--settings cannot be imported: No module named 'no'"),
        ("settings", "--settings cannot be imported"),
        ("", "--settings cannot be imported"),
    ],
)
def test_settings_that_are_none(filled: str, app: str, path: str, why: str) -> None:
    """It is said in a line why, and nothing is priced."""
    before = read(filled)
    found = said("reprice", filled, "--settings", path.format(app=app), code=1)
    assert re.match(why, found), found
    assert "s3cret" not in found
    assert read(filled) == before


def test_repricing_since_a_moment_that_is_none(filled: str) -> None:
    """It is said."""
    assert said("reprice", filled, "--since", "soon").startswith("--since: 'soon' is no date")


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("args", [("prune", "--older-than", "90d"), ("reprice",)])
def test_before_the_first_call(
    tmp_path: Path, postgres: str, args: tuple[str, ...], dry_run: bool
) -> None:
    """There is nothing to do, which is said as it may be the wrong place; neither a file nor a table is made."""
    command, *options = (*args, *["--dry-run"] * dry_run)
    missing = tmp_path / "none.db"
    assert output(command, f"sqlite:///{missing}", *options) == (
        f"There is no database {missing}. The first call creates it. Or choose another file.\n"
    )
    (empty := tmp_path / "empty.db").touch()
    for url in (f"sqlite:///{empty}", postgres):
        for _ in range(2):
            assert "has no table llmkit_usage. The first call creates it" in output(
                command, url, *options
            )
    assert [*tmp_path.iterdir()] == [empty]
    assert empty.stat().st_size == 0


@pytest.mark.parametrize(
    "args", [("usage",), ("budgets",), ("sweep",), ("prune", "--older-than", "90d"), ("reprice",)]
)
def test_no_database_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    """It is said how to name one, and that of the demo is not made: it would be taken for an app without calls."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMKIT_DATABASE", raising=False)
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 1
    assert f"there is no database {tmp_path / 'llmkit-demo.db'}" in done.output
    assert "Name it with --database or LLMKIT_DATABASE" in done.output
    assert [*tmp_path.iterdir()] == []


def test_sweeping_before_the_first_call(tmp_path: Path) -> None:
    """No database is made, but for rows that wait for it."""
    url = f"sqlite:///{tmp_path / 'none.db'}"
    assert output("sweep", url).startswith(f"There is no database {tmp_path / 'none.db'}.")
    assert [*tmp_path.iterdir()] == []
    ledger = open_with_outbox(LedgerConfig(database=url), worker=lambda: "mine")
    (tmp_path / f"{ledger._outbox.prefix}dead.outbox").write_bytes(encode(opening("one")))
    output("sweep", url)
    assert [row["call_id"] for row in read(url)] == ["one"]


def test_a_report_before_the_first_call(tmp_path: Path) -> None:
    """It is empty in each form."""
    url = f"sqlite:///{tmp_path / 'none.db'}"
    by = ("--by", "user,day")
    assert json.loads(output("usage", url, *by, "--json"))["groups"] == []
    assert lines(url, *by) == []
    assert lines(url) == []
    assert output("usage", url, *by).splitlines()[:2] == [
        "user  day  calls  attempts  in  out  cost",
        "0 calls, $0.000000",
    ]


@pytest.mark.parametrize("args", [("prune", "--older-than", "90d"), ("reprice",)])
def test_a_database_that_does_not_serve(args: tuple[str, ...]) -> None:
    """It is a line, without the password."""
    command, *options = args
    found = said(command, "postgresql://me:geheim@127.0.0.1:1/app", *options, code=1)
    assert found.startswith("the ledger's database")
    assert "geheim" not in found


def test_a_ledger_of_an_earlier_version(filled: str) -> None:
    """Its columns are added before its rows are priced."""
    store = open_store(filled)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE llmkit_usage DROP COLUMN billing")
    assert output("reprice", filled).startswith("2 of 4 rows priced anew.")
