"""The ledger for people, read through the model."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, Sum
from django.utils import timezone

from llmkit.ledger.columns import COLUMNS
from llmkit.ledger.sums import Totals
from llmkit_django.models import UsageRecord

_NAMES = tuple(column.name for column in COLUMNS)


def recent(limit: int) -> list[dict[str, Any]]:
    """Return the latest rows, the newest first, by column name; times in UTC."""
    rows = UsageRecord.objects.order_by("-id").values(*_NAMES)[:limit]
    return [{name: _in_utc(value) for name, value in row.items()} for row in rows]


def totals() -> Totals:
    """Add up all rows."""
    found = UsageRecord.objects.aggregate(
        calls=Count("call_id", distinct=True),
        rows=Count("id"),
        known=Count("cost_usd"),
        cost=Sum("cost_usd"),
    )
    return Totals(
        calls=found["calls"],
        rows=found["rows"],
        cost=found["cost"] or Decimal(0),
        unknown=found["rows"] - found["known"],
    )


def _in_utc(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    if timezone.is_naive(value):  # with USE_TZ=False
        value = timezone.make_aware(value, timezone.get_default_timezone())
    return value.astimezone(UTC)
