"""What a project may listen to."""

from __future__ import annotations

from django.dispatch import Signal

from llmkit import BudgetWarning

budget_warning = Signal()
"""Is sent when a budget with `warn_at` is nearly used, once in its period, with `warning`, an `llmkit.BudgetWarning`. Receivers run in a
thread of llmkit's own; what they raise is logged. The sender is the class of the warning."""


def tell_receivers(warning: BudgetWarning) -> None:
    """Send it. A receiver that fails is logged by Django."""
    budget_warning.send_robust(sender=BudgetWarning, warning=warning)
