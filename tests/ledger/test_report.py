"""The ledger for people: the latest rows, the totals, and `llmkit usage`."""

from __future__ import annotations

import decimal
import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmkit.cli import main
from llmkit.errors import LedgerUnavailable
from llmkit.ledger import open_store
from llmkit.ledger.sums import Sum, total
from llmkit.ledger.writer import LedgerWriter
from llmkit.usage import Usage
from support.ledger import closing, opening

ESTIMATED = Usage(
    input_tokens=7, output_tokens=3, input_source="reported", output_source="estimated"
)


def fill(writer: LedgerWriter) -> None:
    """Write three calls: one finished, one at the second attempt, one in the making."""
    writer.record(opening("one"), closing("one", cost=Decimal("0.001200000")))
    writer.record(opening("two"), closing("two", status="failed", cost=None, first_content_at=None))
    writer.record(
        opening("two", attempt=2, user_key="ada"),
        closing("two", attempt=2, cost=Decimal("0.000034001"), usage=ESTIMATED),
    )
    writer.begin(opening("three", provider=None, model=None, user_key=None))


def costs(database: str) -> Sum:
    """Add up all rows."""
    return total(open_store(database).sums().values())


def test_sums_do_not_drift(writer: LedgerWriter, database: str) -> None:
    """A large cost and many small ones sum to the last place, as floating point would not."""
    writer.record(opening("big"), closing("big", cost=Decimal("999999.999999999")))
    for number in range(30):
        call_id = f"small-{number}"
        writer.record(opening(call_id), closing(call_id, cost=Decimal("0.000000001")))
    assert costs(database).cost == Decimal("1000000.000000029")
    with decimal.localcontext(prec=6):  # of the app's own
        assert costs(database).cost == Decimal("1000000.000000029")
        (_, dear) = open_store(database).recent(31)[-2:]
    assert dear["cost_usd"] == Decimal("999999.999999999")


def test_sums_of_a_large_ledger(writer: LedgerWriter, database: str) -> None:
    """Nor do the dearest rows together outgrow what a database adds up."""
    for number in range(20):
        call_id = f"dear-{number}"
        writer.record(opening(call_id), closing(call_id, cost=Decimal("999999999.5")))
    assert costs(database).cost == Decimal(19999999990)


def invoke(*args: str, **env: str | None) -> Result:
    return CliRunner(env={"LLMKIT_DATABASE": None, **env}).invoke(main, ["usage", *args])


def test_the_table_of_the_command(writer: LedgerWriter, database: str) -> None:
    """The command shows an aligned table, marks estimates, and says what is unknown."""
    fill(writer)
    done = invoke("--database", database)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "time (UTC)           user  model                        status     in  out       cost  first  total",
        "2026-05-17 12:30:00  -     default                      started     ?    ?    unknown      -      -",
        "2026-05-17 12:30:00  ada   anthropic:claude-sonnet-4-5  finished    7   ~3  $0.000034  0.50s  2.00s",
        "2026-05-17 12:30:00  42    anthropic:claude-sonnet-4-5  failed    100   20    unknown      -  2.00s",
        "2026-05-17 12:30:00  42    anthropic:claude-sonnet-4-5  finished  100   20  $0.001200  0.50s  2.00s",
        "3 calls in 4 attempts, $0.001234 (2 of unknown cost)",
    ]


def test_the_command_speaks_json(writer: LedgerWriter, database: str) -> None:
    """With --json the rows are objects: costs as strings, null when unknown, times in ISO 8601."""
    fill(writer)
    done = invoke("--json", "--limit", "2", LLMKIT_DATABASE=database)
    started, finished = json.loads(done.output)
    assert started["cost_usd"] is None
    assert started["finished_at"] is None
    assert finished["cost_usd"] == "0.000034001"
    assert finished["started_at"] == "2026-05-17T12:30:00.123456+00:00"
    assert finished["tags"] == {}
    assert finished["output_source"] == "estimated"


def test_a_foreign_string_cannot_command_the_terminal(writer: LedgerWriter, database: str) -> None:
    """Control characters in names are shown as question marks, and long names are cut."""
    writer.begin(opening(user_key="\x1b[2Jx\n", provider="p", model="m" * 100))
    row = invoke("--database", database).output.splitlines()[1]
    assert "?[2Jx?" in row
    assert f"p:{'m' * 37}…" in row


@pytest.mark.parametrize(
    ("cost", "shown"), [("0", "$0.000000"), ("0.0000004", "<$0.000001"), ("12.5", "$12.500000")]
)
def test_small_money_is_not_nothing(
    writer: LedgerWriter, database: str, cost: str, shown: str
) -> None:
    """A cost that would round to zero says that it is not."""
    writer.record(opening(), closing(cost=Decimal(cost)))
    assert invoke("--database", database).output.endswith(f"1 call, {shown}\n")


def test_reading_creates_nothing(tmp_path: Path) -> None:
    """Before the first call there are no calls; where the file would be is said, and none is made."""
    url = f"sqlite:///{tmp_path / 'none.db'}"
    done = invoke("--database", url)
    assert done.exit_code == 0
    assert done.output.endswith(
        f"\n0 calls, $0.000000\nThere is no database {tmp_path / 'none.db'}. "
        "The first call creates it. Or choose another file.\n"
    )
    assert (invoke("--database", url, "--json").output, list(tmp_path.iterdir())) == ("[]\n", [])
    assert list(tmp_path.iterdir()) == []


def test_the_demo_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an option and a variable the demo's file in the current folder is read."""
    monkeypatch.chdir(tmp_path)
    assert f"there is no database {tmp_path / 'llmkit-demo.db'}" in invoke().output


def test_a_database_without_the_table(postgres: str, tmp_path: Path) -> None:
    """A database that has no ledger yet is told from one that cannot be read."""
    with pytest.raises(LedgerUnavailable, match="has no table llmkit_usage"):
        costs(postgres)
    (tmp_path / "empty.db").touch()
    done = invoke("--database", f"sqlite:///{tmp_path / 'empty.db'}")
    assert done.exit_code == 0
    assert done.output.splitlines()[1] == "0 calls, $0.000000"
    assert "has no table llmkit_usage. The first call creates it" in done.output


@pytest.mark.parametrize("url", ["nonsense", "postgresql://me:geheim@127.0.0.1:1/app"])
def test_a_database_that_does_not_serve(url: str) -> None:
    """A wrong or unreachable database is one line, without a traceback or the password."""
    done = invoke("--database", url)
    assert done.exit_code == 1
    assert done.output.startswith("Error: the ledger's database")
    assert done.output.count("\n") == 1
    assert "geheim" not in done.output
