"""The app, as Django's registry knows it."""

from __future__ import annotations

from django.apps import AppConfig

from llmkit.concurrency import sigterm


class LLMKitConfig(AppConfig):
    """Adds llmkit's table, checks and commands to a project."""

    name = "llmkit_django"
    label = "llmkit"
    verbose_name = "LLM calls"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, watch the settings, and listen for SIGTERM while this is the main thread."""
        from llmkit_django import checks, conf  # noqa: F401, PLC0415  # they need the registry

        sigterm.install()
