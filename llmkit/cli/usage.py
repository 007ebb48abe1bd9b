"""`llmkit usage`: the latest rows of the ledger, and the money."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click

from llmkit import ledger
from llmkit.errors import LLMKitError

DEMO_DATABASE = "sqlite:///llmkit-demo.db"

_HEAD = ("time (UTC)", "user", "model", "status", "in", "out", "cost", "first", "total")
_RIGHT = {"in", "out", "cost", "first", "total"}
_WIDEST = 40


@click.command()
@click.option(
    "--database",
    metavar="URL",
    default=lambda: os.environ.get("LLMKIT_DATABASE") or DEMO_DATABASE,
    show_default=f"LLMKIT_DATABASE, else {DEMO_DATABASE}",
    help="The ledger's database.",
)
@click.option(
    "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many rows."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects, all columns.")
def usage(database: str, limit: int, as_json: bool) -> None:  # noqa: FBT001  # click passes by name
    """Show the latest rows of the ledger, and what all of them cost."""
    try:
        rows = ledger.recent(database, limit)
        if as_json:
            click.echo(json.dumps(rows, indent=2, default=_plain))
            return
        sums = ledger.totals(database)
    except LLMKitError as error:
        raise click.ClickException(str(error)) from error
    for line in _table([_HEAD, *(_cells(row) for row in rows)]):
        click.echo(line)
    click.echo(_summary(sums.calls, sums.rows, sums.cost, sums.unknown))


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(type(value).__name__)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    model = f"{row['provider']}:{row['model']}" if row["model"] else row["alias"]
    return (
        row["started_at"].astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        _word(row["user_key"] or "-"),
        _word(model),
        row["status"],
        _tokens(row["input_tokens"], row["input_source"]),
        _tokens(row["output_tokens"], row["output_source"]),
        "unknown" if row["cost_usd"] is None else _money(row["cost_usd"]),
        _seconds(row["started_at"], row["first_content_at"]),
        _seconds(row["started_at"], row["finished_at"]),
    )


def _word(text: str) -> str:
    """Keep a foreign string to one line and away from the terminal's controls."""
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _tokens(count: int | None, source: str) -> str:
    if count is None:
        return "?"
    return f"~{count}" if source == "estimated" else str(count)


def _money(cost: Decimal) -> str:
    if 0 < cost < Decimal("0.000001"):
        return "<$0.000001"
    return f"${cost:.6f}"


def _seconds(start: datetime, end: datetime | None) -> str:
    return "-" if end is None else f"{(end - start).total_seconds():.2f}s"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(_HEAD, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _summary(calls: int, rows: int, cost: Decimal, unknown: int) -> str:
    line = f"{calls} call{'' if calls == 1 else 's'}"
    if rows != calls:
        line += f" in {rows} attempts"
    line += f", {_money(cost)}"
    return f"{line} ({unknown} of unknown cost)" if unknown else line
