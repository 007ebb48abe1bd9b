"""A ticket's draft."""

from __future__ import annotations

import json

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import mail
from django.test import TestCase
from django.urls import reverse
from llmkit.testing import Behaviour, Emulator
from llmkit_django.models import UsageRecord
from tickets.models import Ticket


class Drafts(TestCase):
    """A logged-in user gets a draft, and the call is recorded."""

    def setUp(self) -> None:
        """Start a provider, and take a ticket."""
        self.emulator = self.enterContext(Emulator(behaviour=Behaviour(tokens=5, delay=0)))
        provider = {"api_key": "test", "base_url": self.emulator.base_url}
        llmkit = {
            "providers": {"anthropic": provider},
            "models": {"default": "anthropic:claude-haiku-4-5"},
        }
        self.enterContext(self.settings(LLMKIT=llmkit))
        self.agent = get_user_model().objects.create_user("agent")
        self.ticket = Ticket.objects.create(
            customer="Ms Rivers", subject="The kettle", question="Does it whistle?"
        )
        self.url = reverse("draft", args=[self.ticket.pk])

    def test_a_draft_is_streamed(self) -> None:
        """The answer comes as it is written; its row names the agent and the ticket."""
        self.client.force_login(self.agent)
        answer = self.client.post(self.url, "{}", content_type="application/json")
        self.assertIn(b"data: [DONE]", answer.getvalue())
        self.assertIn("Does it whistle?", str(self.emulator.requests[0].body))
        row = UsageRecord.objects.get()
        self.assertEqual((row.user, row.status), (self.agent, "finished"))
        self.assertEqual(row.tags, {"ticket": str(self.ticket.pk)})

    def test_a_month_that_is_used_up(self) -> None:
        """Who has spent what they may gets no more drafts; those who run the helpdesk have had a mail, and others go on."""
        budget = {"scope": "user", "per": "month", "usd": "0.025", "warn_at": 0.8}
        more = {"budgets": [budget], "on_budget_warning": "tickets.budgets.mail_the_helpdesk"}
        self.enterContext(self.settings(LLMKIT={**settings.LLMKIT, **more}))
        self.emulator.behaviour = Behaviour(
            usage={"input_tokens": 100, "output_tokens": 4000}, delay=0
        )
        self.client.force_login(self.agent)
        answer = self.client.post(self.url, "{}", content_type="application/json")
        self.assertIn(b"data: [DONE]", answer.getvalue())
        answer = self.client.post(self.url, "{}", content_type="application/json")
        self.assertEqual(answer.status_code, 402)
        self.assertIn(b"this may take more than is left for this month", answer.getvalue())
        self.assertEqual(
            [message.body for message in mail.outbox], ["agent has used $0.02 of $0.02."]
        )
        self.client.force_login(get_user_model().objects.create_user("other"))
        answer = self.client.post(self.url, "{}", content_type="application/json")
        self.assertIn(b"data: [DONE]", answer.getvalue())

    def test_a_ticket_is_sorted(self) -> None:
        """The answer is of the type that the view asks for, and goes into the ticket."""
        said = {"urgency": "high", "team": "repairs", "summary": "The kettle does not whistle."}
        self.emulator.behaviour = Behaviour(text=json.dumps(said), delay=0)
        self.client.force_login(self.agent)
        url = reverse("triage", args=[self.ticket.pk])
        self.assertRedirects(self.client.post(url), reverse("ticket", args=[self.ticket.pk]))
        self.ticket.refresh_from_db()
        self.assertEqual((self.ticket.urgency, self.ticket.team), ("high", "repairs"))
        self.assertIn("output_config", self.emulator.requests[0].body)
        self.emulator.behaviour = Behaviour(text="I do not know.", delay=0)
        page = self.client.post(url, follow=True)
        self.assertContains(page, "The ticket could not be sorted.")
        self.assertEqual(len(self.emulator.requests), 3)
        self.assertEqual(UsageRecord.objects.count(), 3)

    def test_strangers_get_none(self) -> None:
        """The helpdesk's own login stands before the model."""
        self.assertEqual(self.client.post(self.url).status_code, 302)
        self.assertEqual(self.emulator.requests, [])

    def test_the_agent_sends_what_is_right(self) -> None:
        """A draft is a draft: what is sent is what the agent leaves in the form."""
        self.client.force_login(self.agent)
        self.client.post(reverse("ticket", args=[self.ticket.pk]), {"answer": "It should."})
        self.ticket.refresh_from_db()
        self.assertEqual(self.ticket.answer, "It should.")
