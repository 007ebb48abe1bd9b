"""The list of calls in the admin: who called, by name, and what all that is listed cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from llmkit.ledger.sums import Sum
from llmkit_django.models import UsageRecord
from llmkit_django.reports import dollars, sum_of

# More rows than this are not added up: it would take seconds, at each look.
MOST_SUMMED = 100_000


class CallList(ChangeList):
    """A page of the list; `sums` is of all its pages, None if they are too many."""

    most_summed = MOST_SUMMED
    sums: Sum | None

    def get_results(self, request: HttpRequest) -> None:
        """Find the rows."""
        super().get_results(request)
        name_callers(self.result_list, request, self.model_admin.admin_site)
        self.sums = add_up(self.queryset) if self.result_count <= self.most_summed else None


def add_up(rows: models.QuerySet) -> Sum:
    """Add up rows; the cost exactly."""
    found = rows.aggregate(
        calls=models.Count("pk", filter=models.Q(attempt__lte=1)),
        attempts=models.Count("pk"),
        priced=models.Count("cost_usd"),
        input=models.Sum("input_tokens", default=0),
        output=models.Sum("output_tokens", default=0),
        **sum_of(rows, "cost_usd"),
        **sum_of(rows, "saved_usd"),
    )
    return Sum(
        calls=found["calls"],
        attempts=found["attempts"],
        input_tokens=found["input"],
        output_tokens=found["output"],
        cost=dollars(found, "cost_usd"),
        unpriced=found["attempts"] - found["priced"],
        saved=dollars(found, "saved_usd"),
    )


def name_callers(rows: Iterable[UsageRecord], request: HttpRequest, site: AdminSite) -> None:
    """Note on rows who called, by one query: the users may be in another database, and some of them gone."""
    users = get_user_model()
    keys = {row.user_id for row in rows if row.user_id is not None}
    found = users._base_manager.in_bulk(keys) if keys else {}  # noqa: SLF001  # documented
    linked = found and _may_look_at_users(request, site)
    for row in rows:
        user = found.get(row.user_id)
        if user is None:
            row.named_caller = row.user_key
        elif linked:
            row.named_caller = format_html('<a href="{}">{}</a>', _page_of(user, site), user)
        else:
            row.named_caller = str(user)


def _may_look_at_users(request: HttpRequest, site: AdminSite) -> bool:
    users = get_user_model()
    if not site.is_registered(users):
        return False
    may: bool = site.get_model_admin(users).has_view_or_change_permission(request)
    return may


def _page_of(user: Any, site: AdminSite) -> str:
    meta = user._meta  # noqa: SLF001  # documented
    name = f"admin:{meta.app_label}_{meta.model_name}_change"
    url: str = reverse(name, args=[quote(user.pk)], current_app=site.name)
    return url
