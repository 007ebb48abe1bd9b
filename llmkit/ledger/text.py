"""The ledger's rows as text: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from llmkit.ledger.sums import Totals

_HEAD = ("time (UTC)", "user", "model", "status", "in", "out", "cost", "first", "total")
_RIGHT = {"in", "out", "cost", "first", "total"}
_WIDEST = 40


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows, by column name, as a JSON list of objects."""
    return json.dumps([dict(row) for row in rows], indent=2, default=_plain)


def as_table(rows: Sequence[Mapping[str, Any]], sums: Totals) -> str:
    """Write rows, by column name, as a table, and under it what all rows cost."""
    lines = _table([_HEAD, *(_cells(row) for row in rows)])
    return "\n".join([*lines, _summary(sums.calls, sums.rows, sums.cost, sums.unknown)])


def swept(lost: int) -> str:
    """Say what a sweep has found."""
    if lost == 1:
        return "1 row of a process that has died is marked as lost."
    return f"{lost or 'No'} rows of processes that have died are marked as lost."


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
        "unknown" if row["cost_usd"] is None else money(row["cost_usd"]),
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


def money(cost: Decimal) -> str:
    """Write a cost to the millionth; one that is less, and not nothing, as such."""
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
    line += f", {money(cost)}"
    return f"{line} ({unknown} of unknown cost)" if unknown else line
