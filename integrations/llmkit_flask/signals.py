"""What an app may listen to."""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

budget_warning = _signals.signal("llmkit-budget-warning")
"""Is sent when a budget with `warn_at` is nearly used, once in its period, with `warning`, an `llmkit.BudgetWarning`. Receivers run in a
thread of llmkit's own, in the app's context; what they raise is logged. The sender is the app."""
