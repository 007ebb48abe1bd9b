"""The tickets in the admin."""

from __future__ import annotations

from django.contrib import admin
from tickets.models import Ticket

admin.site.register(Ticket)
