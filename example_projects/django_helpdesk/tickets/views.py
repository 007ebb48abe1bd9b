"""What the people at the helpdesk see and do."""

from __future__ import annotations

from typing import Literal

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST
from llmkit import LLMKitError  # added for llmkit
from llmkit_django import get_client, stream_response  # added for llmkit
from pydantic import BaseModel, Field  # added for llmkit
from tickets.models import Ticket

SYSTEM = "You answer for the helpdesk of a small shop: friendly, in a few sentences, and without promising anything."


@login_required
def tickets(request: HttpRequest) -> HttpResponse:
    """List the tickets, the open ones first."""
    found = Ticket.objects.order_by("answer", "-asked_at")
    return render(request, "tickets/tickets.html", {"tickets": found})


@login_required
def ticket(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a ticket, and take its answer."""
    found = get_object_or_404(Ticket, pk=pk)
    if request.method == "POST":
        found.answer = request.POST["answer"]
        found.save()
        return redirect("tickets")
    return render(request, "tickets/ticket.html", {"ticket": found})


class Triage(BaseModel):
    """What the model says of a ticket. Added for llmkit."""

    urgency: Literal["low", "normal", "high"]
    team: Literal["orders", "repairs", "other"]
    summary: str = Field(description="one sentence")


@login_required
@require_POST
def triage(request: HttpRequest, pk: int) -> HttpResponse:
    """Sort a ticket. Added for llmkit."""
    found = get_object_or_404(Ticket, pk=pk)
    prompt = f"{found.customer} asks about {found.subject!r}:\n\n{found.question}"
    try:
        reply = get_client().complete(
            prompt, output_type=Triage, repair=1, user=request.user.pk, tags={"ticket": str(pk)}
        )
    except LLMKitError:
        messages.error(request, "The ticket could not be sorted. Try again later.")
    else:
        Ticket.objects.filter(pk=pk).update(**reply.output.model_dump())
    return redirect("ticket", pk=pk)


@login_required
@require_POST
def draft(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Draft an answer, while the reader watches. Added for llmkit."""
    found = get_object_or_404(Ticket, pk=pk)
    prompt = (
        f"{found.customer} asks about {found.subject!r}:\n\n{found.question}\n\nDraft the answer."
    )
    stream = get_client().stream(
        prompt, system=SYSTEM, user=request.user.pk, tags={"ticket": str(pk)}
    )
    return stream_response(request, stream)
