"""The routes: `path("llm/", include("llmkit_django.urls"))`."""

from __future__ import annotations

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.urls import path

from llmkit.relay.rules import PATHS, route_name
from llmkit_django.conf import NOT_INSTALLED
from llmkit_django.views import LLMKitView

if not apps.is_installed(
    "llmkit_django"
):  # without it none of the checks would run that could say so
    raise ImproperlyConfigured(NOT_INSTALLED)

app_name = "llmkit"
urlpatterns = [
    path(
        route.removeprefix("/"),
        LLMKitView(route),
        name=route_name(route),
    )
    for route in PATHS
]
