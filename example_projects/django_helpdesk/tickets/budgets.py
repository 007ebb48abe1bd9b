"""Added for llmkit: what happens when somebody has spent most of what they may."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from llmkit import BudgetWarning


def mail_the_helpdesk(warning: BudgetWarning) -> None:
    """Tell those who run it, once a month for each agent."""
    agent = get_user_model().objects.filter(pk=warning.name).first()
    said = f"{agent} has used ${warning.used:.2f} of ${warning.limit:.2f}."
    send_mail("LLM budget", said, None, [settings.HELPDESK_MAIL])
