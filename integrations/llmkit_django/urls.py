"""The routes: `path("llm/", include("llmkit_django.urls"))`."""

from __future__ import annotations

from django.urls import path

from llmkit.relay.door import PATHS
from llmkit_django.views import LLMKitView

app_name = "llmkit"
urlpatterns = [
    path(
        route.removeprefix("/"),
        LLMKitView(route),
        name=route.strip("/").replace(".", "_") or "page",
    )
    for route in PATHS
]
