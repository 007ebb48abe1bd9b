"""A ticket's draft."""

from __future__ import annotations

from django.contrib.auth import get_user_model
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
