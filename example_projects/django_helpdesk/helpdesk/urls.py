"""The helpdesk's routes."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from tickets import views

urlpatterns = [
    path("", views.tickets, name="tickets"),
    path("tickets/<int:pk>/", views.ticket, name="ticket"),
    path("tickets/<int:pk>/draft", views.draft, name="draft"),
    path("tickets/<int:pk>/triage", views.triage, name="triage"),  # added for llmkit
    path("accounts/login/", LoginView.as_view(template_name="tickets/login.html"), name="login"),
    path("accounts/logout/", LogoutView.as_view(next_page="login"), name="logout"),
    path("admin/", admin.site.urls),
    path("llm/", include("llmkit_django.urls")),  # added for llmkit
]
