"""The app, as Django's registry knows it."""

from __future__ import annotations

from django.apps import AppConfig


class TicketsConfig(AppConfig):
    """Tickets, and the answers to them."""

    name = "tickets"
