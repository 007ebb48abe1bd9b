"""The ledger's rows and sums as text: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from llmkit.ledger.budget_report import BudgetLine
from llmkit.ledger.columns import COLUMNS
from llmkit.ledger.repricing import Repriced
from llmkit.ledger.sums import Report, Sum

_ROW = ("time (UTC)", "user", "model", "status", "in", "out", "cost", "first", "total")
_BUDGETS = ("budget", "of", "unit", "used", "held", "limit", "left", "resets (UTC)")
_SUMS = ("calls", "attempts", "in", "out", "cost")
_FIGURES = {
    "calls",
    "attempts",
    "in",
    "out",
    "cost",
    "saved",
    "first",
    "total",
    "used",
    "held",
    "limit",
    "left",
}
_SUM_FIELDS = (
    "calls",
    "attempts",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "unpriced",
    "saved_usd",
)
_WIDEST = 40
# What a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def rows_as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows, by column name, as a JSON list of objects."""
    return _json([dict(row) for row in rows])


def rows_as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows, by column name, as CSV with all columns."""
    names = [column.name for column in COLUMNS]
    return _csv([names, *([row[name] for name in names] for row in rows)])


def rows_as_table(rows: Sequence[Mapping[str, Any]], sums: Sum, *, rich: bool = False) -> str:
    """Write rows, by column name, as a table, and under it what all rows of the selection cost."""
    table = _table(_ROW, [_cells(row) for row in rows], rich=rich)
    return f"{table}\n{summary(sums)}"


def report_as_json(report: Report) -> str:
    """Write a report as a JSON object: its groups, and all of them together."""
    groups = [{**group.key, **sum_values(group.sum)} for group in report.groups]
    return _json({"groups": groups, "total": sum_values(report.total)})


def report_as_csv(report: Report) -> str:
    """Write a report as CSV, a group a line."""
    groups = ((*group.key.values(), *sum_values(group.sum).values()) for group in report.groups)
    return _csv([(*report.by, *_SUM_FIELDS), *groups])


def report_as_table(report: Report, *, rich: bool = False) -> str:
    """Write a report as a table, and under it what all groups cost together."""
    has_saved = bool(report.total.saved)
    rows = [
        (
            *(_word(word or "-") for word in group.key.values()),
            *_figures(group.sum),
            *([money(group.sum.saved) if group.sum.saved else "-"] if has_saved else []),
        )
        for group in report.groups
    ]
    head = (*report.by, *_SUMS, *(["saved"] if has_saved else []))
    return f"{_table(head, rows, rich=rich)}\n{summary(report.total)}"


def budgets_as_json(lines: Sequence[BudgetLine]) -> str:
    """Write what budgets have left as a JSON list of objects."""
    return _json([{**asdict(line), "left": line.left} for line in lines])


def budgets_as_table(lines: Sequence[BudgetLine], *, rich: bool = False) -> str:
    """Write what budgets have left as a table."""
    return _table(_BUDGETS, [_budget_cells(line) for line in lines], rich=rich)


def _budget_cells(line: BudgetLine) -> tuple[str, ...]:
    models = f" ({', '.join(line.models)})" if line.models else ""
    of = (
        "-" if not line.name else line.name if line.tenant is None else f"{line.tenant}/{line.name}"
    )
    return (
        _word(f"{line.scope} per {line.per}{models}"),
        _word(of),
        line.unit,
        _amount(line.used),
        _amount(line.held),
        line.limit_is if line.limit is None else _amount(line.limit),
        "-" if line.left is None else _amount(line.left),
        "-" if line.resets is None else f"{line.resets:%Y-%m-%d %H:%M}",
    )


def _amount(amount: Decimal | int) -> str:
    return money(amount) if isinstance(amount, Decimal) else str(amount)


def sum_values(one: Sum) -> dict[str, Any]:
    """Return a sum as programs read it: the dollars as texts, so that none of its digits is lost."""
    return {
        "calls": one.calls,
        "attempts": one.attempts,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "cost_usd": format(one.cost, "f"),
        "unpriced": one.unpriced,
        "saved_usd": format(one.saved, "f"),
    }


def summary(one: Sum) -> str:
    """Say what rows come to in a line."""
    line = f"{one.calls} call{'' if one.calls == 1 else 's'}"
    if one.attempts != one.calls:
        line += f" in {one.attempts} attempt{'' if one.attempts == 1 else 's'}"
    line += f", {money(one.cost)}"
    if one.unpriced:
        line += f" ({one.unpriced} of unknown cost)"
    return f"{line}; answers given again have saved {money(one.saved)}" if one.saved else line


def swept(lost: int) -> str:
    """Say what a sweep has found."""
    if lost == 1:
        return "1 row of a process that has died is marked as lost."
    return f"{lost or 'No'} rows of processes that have died are marked as lost."


def pruned(count: int, before: datetime, *, content_only: bool, dry_run: bool) -> str:
    """Say how many old rows are gone, or would be."""
    be = "would be" if dry_run else "is" if count == 1 else "are"
    done = "emptied of content" if content_only else "deleted"
    rows = "1 row" if count == 1 else f"{count or 'No'} rows"
    return f"{rows} from before {before:%Y-%m-%d %H:%M} UTC {be} {done}."


def repriced(found: Repriced, *, dry_run: bool) -> str:
    """Say what a new pricing has changed, or would."""
    lines = [
        f"{found.changed} of {found.rows} row{'' if found.rows == 1 else 's'} {'would be ' if dry_run else ''}priced anew.",
        f"Cost before: {money(found.old)}; after: {money(found.new)}.",
    ]
    if found.unpriced:
        rows = "1 row has" if found.unpriced == 1 else f"{found.unpriced} rows have"
        lines.append(
            f"{rows} no known cost, for want of token counts or of a price. Set a price in prices."
        )
    return "\n".join(lines)


def sentence(error: Exception) -> str:
    """Write an error as a sentence."""
    said = str(error)
    return f"{said[0].upper()}{said[1:]}"


def money(cost: Decimal) -> str:
    """Write a cost to the millionth; one that is less, and not nothing, as such."""
    if 0 < cost < Decimal("0.000001"):
        return "<$0.000001"
    return f"${cost:.6f}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=_plain)


def _csv(lines: Iterable[Sequence[Any]]) -> str:
    return "\n".join(map(_csv_line, lines))


def _csv_line(line: Sequence[Any]) -> str:
    written, end = io.StringIO(), "\r\n"
    # A cell with a part of the line's end in it is quoted: else what follows a carriage return would be a cell of its own.
    csv.writer(written, lineterminator=end).writerow(map(_cell, line))
    return written.getvalue().removesuffix(end)


def _cell(value: Any) -> Any:
    """Write a value so that a spreadsheet neither runs it nor splits it."""
    if isinstance(value, dict | list):
        value = json.dumps(value)
    elif isinstance(value, datetime | Decimal):
        value = _plain(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


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


def _figures(one: Sum) -> tuple[str, ...]:
    cost = f"{money(one.cost)} + ?" if one.unpriced else money(one.cost)
    counts = (one.calls, one.attempts, one.input_tokens, one.output_tokens)
    return (*map(str, counts), cost)


def _word(text: str) -> str:
    """Keep a foreign string to one line and away from the terminal's controls."""
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _tokens(count: int | None, source: str) -> str:
    if count is None:
        return "?"
    return f"~{count}" if source == "estimated" else str(count)


def _seconds(start: datetime, end: datetime | None) -> str:
    return "-" if end is None else f"{(end - start).total_seconds():.2f}s"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, rich: bool) -> str:
    head = [*map(_word, head)]
    if rich and (drawn := _drawn(head, rows)) is not None:
        return drawn
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in _FIGURES else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        for row in (head, *rows)
    )


def _drawn(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    """Draw a table with rich, if that is installed."""
    try:
        from rich import box  # noqa: PLC0415  # for those who have it
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415
    except ImportError:
        return None
    table = Table(box=box.SIMPLE_HEAD)
    for name in head:  # no markup here, nor below: the words are foreign
        table.add_column(
            Text(name), justify="right" if name in _FIGURES else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(file=io.StringIO(), force_terminal=True)
    with console.capture() as captured:
        console.print(table)
    return captured.get().strip("\n")
