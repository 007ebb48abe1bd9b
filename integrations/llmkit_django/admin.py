"""The ledger in the admin, read-only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.timezone import template_localtime
from django.utils.translation import gettext_lazy as _

from llmkit.budget.names import Owner, owner_by_name
from llmkit.errors import ConfigError
from llmkit.ledger.text import money
from llmkit.policy.budgets.amounts import Unit, dollars
from llmkit_django.admin_list import CallList, name_callers
from llmkit_django.conf import current
from llmkit_django.models import BudgetAccount, UsageRecord


class ReadOnlyAdmin(admin.ModelAdmin):
    """Lets rows be looked at; they cannot be added, changed or deleted here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no: a row can be looked at."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    """Shows the rows, and the total cost of those listed."""

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


@admin.register(BudgetAccount)
class BudgetAccountAdmin(ReadOnlyAdmin):
    """Shows what is used of each budget, in its period of now and in those before."""

    class Media:
        """What makes room for the columns."""

        css: ClassVar = {"all": ["llmkit_django/admin.css"]}

    list_display = ("budget", "whose", "begins", "dollars", "tokens", "requests", "held")
    list_display_links = ("budget", "whose")
    search_fields = ("account",)
    ordering = ("-ends", "account")
    show_full_result_count = False  # it would count the whole table at each look
    fields = ("budget", "whose", "begins", "over", "dollars", "tokens", "requests", "held")
    readonly_fields: ClassVar = fields

    @admin.display(description=_("budget"), ordering="account")
    def budget(self, row: BudgetAccount) -> str:
        """Say which one it is, as the settings have it."""
        owner = _owner(row)
        models = f" ({', '.join(owner.models)})" if owner.models else ""
        return f"{owner.scope} per {owner.per}{models}"

    @admin.display(description=_("of"))
    def whose(self, row: BudgetAccount) -> str | None:
        """Say whose it is."""
        owner = _owner(row)
        return owner.name if owner.tenant is None else f"{owner.tenant}/{owner.name}"

    @admin.display(description=_("period"), ordering="starts")
    def begins(self, row: BudgetAccount) -> str | None:
        """Say when its period began."""
        return _moment(row.starts)

    @admin.display(description=_("ends"), ordering="ends")
    def over(self, row: BudgetAccount) -> str | None:
        """Say when its period ends."""
        return _moment(row.ends)

    @admin.display(description=_("cost"), ordering="used_usd")
    def dollars(self, row: BudgetAccount) -> str:
        """Say how much was spent, and of how much."""
        return _of(row, "usd", row.used_usd)

    @admin.display(description=_("tokens"), ordering="used_tokens")
    def tokens(self, row: BudgetAccount) -> str:
        """Say how many tokens were used, and of how many."""
        return _of(row, "tokens", row.used_tokens)

    @admin.display(description=_("calls"), ordering="used_requests")
    def requests(self, row: BudgetAccount) -> str:
        """Say how many calls were made, and of how many."""
        return _of(row, "requests", row.used_requests)

    @admin.display(description=_("held"))
    def held(self, row: BudgetAccount) -> str:
        """Say what is set aside for calls that are running."""
        held = [
            money(dollars(row.held_usd)) if row.held_usd else "",
            f"{row.held_tokens} tokens" if row.held_tokens else "",
            f"{row.held_requests} calls" if row.held_requests else "",
        ]
        return ", ".join(filter(None, held)) or "-"


def _owner(row: BudgetAccount) -> Owner:
    """Say whose it is; each row asks once."""
    owner: Owner | None = getattr(row, "owner", None)
    if owner is None:
        try:
            owner = current().budgets.owner(str(row.account))
        except ConfigError:  # which manage.py check reports
            owner = owner_by_name(str(row.account))
        row.owner = owner
    return owner


def _of(row: BudgetAccount, unit: Unit, used: int) -> str:
    limits = _owner(row).limits
    if not used and limits.get(unit) is None:
        return "-"
    most = limits.get(unit)
    return _said(used, unit) if most is None else f"{_said(used, unit)} / {_said(most, unit)}"


def _said(amount: int, unit: Unit) -> str:
    return money(dollars(amount)) if unit == "usd" else str(amount)


def _moment(seconds: int | None) -> str | None:
    if not seconds:
        return None
    return f"{template_localtime(datetime.fromtimestamp(seconds, UTC)):%Y-%m-%d %H:%M}"
