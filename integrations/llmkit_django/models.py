"""The ledger's table. Its columns are llmkit's own, with the project's user beside `user_key`."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class UsageRecord(models.Model):
    """One attempt to call a model. The row is written before anything is sent, and closed once. A call has one row per attempt.

    Costs are in US dollars; an unknown cost is None, never 0. When a user is deleted, their rows stay.
    """

    call_id = models.CharField(max_length=64)
    attempt = models.IntegerField()
    run_id = models.CharField(max_length=64, null=True, blank=True)
    status = models.CharField(max_length=16)
    provider = models.CharField(max_length=64, null=True, blank=True)
    model = models.CharField(max_length=255, null=True, blank=True)
    model_reported = models.CharField(max_length=255, null=True, blank=True)
    alias = models.CharField(max_length=255)
    streamed = models.BooleanField()
    # Without a constraint, so that no row of the user is locked, and none has to be committed already; nothing is done at its
    # deletion, for the rows may be in another database.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        blank=True,
        related_name="+",
    )
    user_key = models.CharField(max_length=255, null=True, blank=True)
    tenant = models.CharField(max_length=255, null=True, blank=True)
    conversation = models.CharField(max_length=255, null=True, blank=True)
    tags = models.JSONField(default=dict)
    prompt_name = models.CharField(max_length=255, null=True, blank=True)
    prompt_version = models.CharField(max_length=64, null=True, blank=True)
    started_at = models.DateTimeField()
    first_content_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    input_tokens = models.IntegerField(null=True, blank=True)
    output_tokens = models.IntegerField(null=True, blank=True)
    cache_read_tokens = models.IntegerField(null=True, blank=True)
    cache_write_tokens = models.IntegerField(null=True, blank=True)
    cache_write_5m_tokens = models.IntegerField(null=True, blank=True)
    cache_write_1h_tokens = models.IntegerField(null=True, blank=True)
    reasoning_tokens = models.IntegerField(null=True, blank=True)
    input_source = models.CharField(max_length=16)
    output_source = models.CharField(max_length=16)
    cost_usd = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    price_version = models.CharField(max_length=64, null=True, blank=True)
    saved_usd = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    stop_reason = models.CharField(max_length=32, null=True, blank=True)
    raw_stop_reason = models.CharField(max_length=64, null=True, blank=True)
    error_type = models.CharField(max_length=64, null=True, blank=True)
    error_code = models.CharField(max_length=64, null=True, blank=True)
    http_status = models.IntegerField(null=True, blank=True)
    request_id = models.CharField(max_length=255, null=True, blank=True)
    worker = models.CharField(max_length=64)
    content = models.JSONField(null=True, blank=True)
    billing = models.JSONField(null=True, blank=True)

    class Meta:
        """The table, the same as without Django."""

        db_table = "llmkit_usage"
        verbose_name = _("LLM call")
        verbose_name_plural = _("LLM calls")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["call_id", "attempt"], name="llmkit_usage_call")
        ]
        indexes: ClassVar = [
            models.Index(fields=["started_at"], name="llmkit_usage_started"),
            models.Index(fields=["user_key", "started_at"], name="llmkit_usage_user_started"),
            models.Index(fields=["status", "worker"], name="llmkit_usage_status_worker"),
        ]

    def __str__(self) -> str:
        return f"{self.alias} {self.status}"


class Worker(models.Model):
    """A process with open rows, and when it was last seen to live."""

    name = models.CharField(max_length=64, primary_key=True)
    seen_at = models.DateTimeField()
    holder = models.CharField(max_length=64, null=True, blank=True)

    class Meta:
        """The table, the same as without Django."""

        db_table = "llmkit_worker"
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return str(self.name)


class BudgetAccount(models.Model):
    """What is used and held in one period of a budget. Dollars are billionths, times are seconds since 1970."""

    key = models.CharField(max_length=255, primary_key=True)
    account = models.CharField(max_length=255)
    starts = models.BigIntegerField()
    ends = models.BigIntegerField(null=True, blank=True)
    used_usd = models.BigIntegerField()
    used_tokens = models.BigIntegerField()
    used_requests = models.BigIntegerField()
    held_usd = models.BigIntegerField()
    held_tokens = models.BigIntegerField()
    held_requests = models.BigIntegerField()
    seconds = models.TextField(null=True, blank=True)
    warned = models.BigIntegerField(null=True, blank=True)

    class Meta:
        """The table, the same as without Django."""

        db_table = "llmkit_budget"
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")

    def __str__(self) -> str:
        return str(self.account)


class BudgetHold(models.Model):
    """What is held in budgets for a call whose cost is not known yet."""

    id = models.CharField(max_length=128, primary_key=True)
    call_id = models.CharField(max_length=64, null=True, blank=True)
    attempt = models.IntegerField(null=True, blank=True)
    entries = models.TextField()
    used = models.TextField(null=True, blank=True)
    held_at = models.BigIntegerField()
    lapses_at = models.BigIntegerField(null=True, blank=True)

    class Meta:
        """The table, the same as without Django."""

        db_table = "llmkit_hold"
        verbose_name = _("budget hold")
        verbose_name_plural = _("budget holds")

    def __str__(self) -> str:
        return str(self.id)
