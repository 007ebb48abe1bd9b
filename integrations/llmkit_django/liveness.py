"""Which processes live, and what becomes of the rows of those that do not; as `llmkit.ledger.liveness`, over the models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from llmkit.ledger.columns import CLOCK_ERROR, HOSTS, HOSTS_LIVE, REMEMBERED, SIZES, SWEEPER
from llmkit.ledger.values import fit
from llmkit_django.models import UsageRecord, Worker


def note(connection: BaseDatabaseWrapper, worker: str) -> None:
    """Say that a process lives, inside a transaction that is open."""
    _workers(connection).bulk_create(
        [Worker(name=fit(worker, SIZES["worker"]), seen_at=_ago(connection, 0))],
        update_conflicts=True,
        update_fields=["seen_at"],
        unique_fields=["name"],
    )


def sweep(
    connection: BaseDatabaseWrapper, worker: str, *, silent: float, every: float
) -> int | None:
    """Mark as lost the rows of processes that were not seen for so long, inside a transaction that is open.

    Returns:
        How many; None if another process has swept meanwhile.
    """
    workers = _workers(connection)
    rows = UsageRecord._base_manager.using(connection.alias)  # noqa: SLF001  # documented
    longest_ago = _naive_if_so(datetime(1970, 1, 2, tzinfo=UTC))
    workers.bulk_create([Worker(name=SWEEPER, seen_at=longest_ago)], ignore_conflicts=True)
    soon = _ago(connection, -CLOCK_ERROR)  # what is later was seen before the clock was set back
    free = Q(seen_at__lte=_ago(connection, every)) | Q(seen_at__gt=soon)
    lease = workers.filter(free, name=SWEEPER)
    if not lease.update(seen_at=_ago(connection, 0), holder=fit(worker, SIZES["worker"])):
        return None
    limit = _ago(connection, silent)
    of_row = workers.filter(name=OuterRef("worker"))
    dead = rows.filter(
        ~Exists(of_row.filter(seen_at__gte=limit, seen_at__lte=soon)),
        ~Q(worker__startswith=HOSTS) | Q(started_at__lt=_ago(connection, HOSTS_LIVE)),
        status="started",
        started_at__lt=limit,
    )
    lost = dead.update(
        status="lost",
        finished_at=Coalesce(Subquery(of_row.values("seen_at")[:1]), F("started_at")),
    )
    workers.filter(
        ~Exists(rows.filter(worker=OuterRef("name"), status="started")),
        seen_at__lt=_ago(connection, REMEMBERED),
    ).exclude(name=SWEEPER).delete()
    return int(lost)


def _workers(connection: BaseDatabaseWrapper) -> Any:
    return Worker._base_manager.using(connection.alias)  # noqa: SLF001  # documented


def _ago(connection: BaseDatabaseWrapper, seconds: float) -> Any:
    """Say when so many seconds ago was: by the server's clock, or the machine's for a file on it."""
    if connection.vendor == "sqlite":
        return _naive_if_so(datetime.now(UTC) - timedelta(seconds=seconds))
    return ExpressionWrapper(Now() - timedelta(seconds=seconds), output_field=DateTimeField())


def _naive_if_so(moment: datetime) -> datetime:
    if settings.USE_TZ:
        return moment
    naive: datetime = timezone.make_naive(moment, timezone.get_default_timezone())
    return naive
