"""What customers ask."""

from __future__ import annotations

from django.db import models


class Ticket(models.Model):
    """A question, and its answer once there is one."""

    customer = models.CharField(max_length=200)
    subject = models.CharField(max_length=200)
    question = models.TextField()
    answer = models.TextField(blank=True)
    asked_at = models.DateTimeField(auto_now_add=True)
    urgency = models.CharField(
        max_length=10, blank=True
    )  # added for llmkit, as the two that follow
    team = models.CharField(max_length=20, blank=True)
    summary = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.subject
