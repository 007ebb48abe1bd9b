"""The ledger for people, read through the model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connections, models
from django.db.models import Aggregate, BigIntegerField, Count, Func, QuerySet
from django.utils import timezone

from llmkit.ledger.columns import COLUMNS, DECIMAL_PLACES, UNITS
from llmkit.ledger.sums import Sum, Totals
from llmkit_django.models import UsageRecord

_NAMES = tuple(column.name for column in COLUMNS)


def recent(limit: int) -> list[dict[str, Any]]:
    """Return the latest rows, the newest first, by column name; times in UTC."""
    rows = UsageRecord.objects.order_by("-id").values(*_NAMES)[:limit]
    return [{name: _in_utc(value) for name, value in row.items()} for row in rows]


def totals() -> Totals:
    """Add up all rows."""
    rows = UsageRecord.objects.order_by()
    found = rows.values("provider", "model", "status").annotate(
        rows=Count("id"), known=Count("cost_usd"), **cost_sum(rows)
    )
    groups = {
        (group["provider"], group["model"], group["status"]): Sum(
            rows=group["rows"], cost=dollars(group), unknown=group["rows"] - group["known"]
        )
        for group in found
    }
    calls = rows.aggregate(calls=Count("call_id", distinct=True))["calls"]
    return Totals.of(calls, groups)


def cost_sum(rows: QuerySet[UsageRecord]) -> dict[str, Aggregate]:
    """Return the aggregates that add up the cost of rows exactly; `dollars` reads what they find.

    SQLite adds up decimals as floats. There whole units of the last place are added, the whole dollars and the rest by themselves, for all
    units of a large ledger together are more than its integers hold.
    """
    if connections[rows.db].vendor != "sqlite":
        return {"cost": models.Sum("cost_usd")}
    return {
        "cost": models.Sum(_Units("cost_usd", part="/")),
        "cost_rest": models.Sum(_Units("cost_usd", part="%%")),
    }


def dollars(found: Mapping[str, Any]) -> Decimal:
    """Return the cost that the aggregates of `cost_sum` have found."""
    rest = Decimal(found.get("cost_rest") or 0).scaleb(-DECIMAL_PLACES)
    return Decimal(found["cost"] or 0) + rest


class _Units(Func):
    """A cost in whole units of the last place: how many dollars they make, or what is left over."""

    template = f"(CAST(ROUND(%(expressions)s * {UNITS}) AS INTEGER) %(part)s {UNITS})"
    output_field = BigIntegerField()


def _in_utc(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    if timezone.is_naive(value):  # with USE_TZ=False
        value = timezone.make_aware(value, timezone.get_default_timezone())
    return value.astimezone(UTC)
