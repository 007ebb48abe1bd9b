"""The ledger in the admin, read-only."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.timezone import template_localtime
from django.utils.translation import gettext_lazy as _

from llmkit.ledger.text import money
from llmkit_django.admin_list import CallList, name_callers
from llmkit_django.models import UsageRecord


@admin.register(UsageRecord)
class UsageRecordAdmin(admin.ModelAdmin):
    """Shows the rows, and the total cost of those listed. Rows cannot be added, changed or deleted here."""

    class Media:
        """What makes room for the columns."""

        css: ClassVar = {"all": ["llmkit_django/admin.css"]}

    list_display = ("time", "caller", "model", "status", "tokens_in", "tokens_out", "cost")
    list_filter = ("status", "provider", "alias", "started_at")
    search_fields = ("=call_id", "=user_key", "=run_id", "=request_id", "model")
    ordering = ("-id",)
    date_hierarchy = None  # it would add up the whole table at each look
    show_full_result_count = False  # the same
    # Of the user their name: a user that is gone has no page; user_key says who it was.
    fields = tuple(
        "caller" if field.name == "user" else field.name
        for field in UsageRecord._meta.fields  # noqa: SLF001  # documented
        if not field.primary_key
    )
    readonly_fields: ClassVar = ("caller",)

    @admin.display(description=_("time"), ordering="started_at")
    def time(self, row: UsageRecord) -> str:
        """Say when it began, in little room."""
        return f"{template_localtime(row.started_at):%Y-%m-%d %H:%M:%S}"

    @admin.display(description=_("user"), ordering="user_key")
    def caller(self, row: UsageRecord) -> Any:
        """Say who called, with a link to their page where whoever looks may see it."""
        return getattr(row, "named_caller", row.user_key)

    @admin.display(description=_("tokens in"), ordering="input_tokens")
    def tokens_in(self, row: UsageRecord) -> Any:
        """Say how many tokens were sent."""
        return row.input_tokens

    @admin.display(description=_("out"), ordering="output_tokens")
    def tokens_out(self, row: UsageRecord) -> Any:
        """Say how many came back."""
        return row.output_tokens

    @admin.display(description=_("cost"), ordering="cost_usd")
    def cost(self, row: UsageRecord) -> str | None:
        """Say what it cost, to the millionth; its own page says it to the end."""
        return None if row.cost_usd is None else money(row.cost_usd)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CallList]:
        """List them with their users and sums."""
        return CallList

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Find a row, with its user."""
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            name_callers([row], request, self.admin_site)
        return row

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no: a row can be looked at."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False
