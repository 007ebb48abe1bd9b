"""The ledger in the admin, to look at."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from llmkit_django.models import UsageRecord


@admin.register(UsageRecord)
class UsageRecordAdmin(admin.ModelAdmin):
    """Shows the rows. Nobody adds, changes or deletes one here: they are the books."""

    list_display = (
        "started_at",
        "user_key",
        "alias",
        "provider",
        "model",
        "status",
        "input_tokens",
        "output_tokens",
        "cost_usd",
    )
    list_filter = ("status", "provider", "alias", "started_at")
    search_fields = ("=call_id", "=user_key", "=run_id", "=request_id", "model")
    ordering = ("-id",)
    date_hierarchy = None  # it would add up the whole table at each look
    show_full_result_count = False  # the same
    exclude: ClassVar = ("user",)  # a user that is gone has no page; user_key says who it was

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no: a row can be looked at."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False
