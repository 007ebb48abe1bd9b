"""What is asked of llmkit under its prefix, and what has to hold for it: the rules, the same for every host.

`_async/door.py` applies them to a request; its generated twin does the same for threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from llmkit.call import Caller
from llmkit.relay.answer import Answer
from llmkit.relay.pages import PAGES, page
from llmkit.relay.problem import Problem, Refusal, problem_of
from llmkit.response import Response

User = str | int | Caller | None
Ask = Literal["stream", "complete"]

CALLS: dict[str, Ask] = {"/stream": "stream", "/complete": "complete"}
# Everything under the prefix, for hosts whose own router wants to know.
PATHS = (*PAGES, *CALLS)


NOT_FOUND = Problem(404, "not_found", "there is nothing here").answer


def find(path: str, method: str) -> Ask | Answer | None:
    """Return what a request is for: a call, or an answer at once; None if it is not one of ours.

    To HEAD the host sends all of the answer but its body.

    Args:
        path: what follows the prefix, with its slash.
        method: in upper case.
    """
    if path in CALLS:
        return CALLS[path] if method == "POST" else _not_allowed("POST")
    if path in PAGES:
        if method in ("GET", "HEAD"):
            return page(path)
        return _not_allowed("GET, HEAD")
    return None


def check_media_type(headers: Mapping[str, str]) -> None:
    """Refuse what is not JSON: a page of another site cannot send JSON without asking first.

    Raises:
        Refusal: 415.
    """
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(
            415,
            "not_json",
            "the content type is not application/json",
            hint="Send the header Content-Type: application/json.",
        )


def check_origin(headers: Mapping[str, str]) -> None:
    """Refuse what another site may have sent in the user's name: it can send cookies along, but not hide where it comes from.

    Raises:
        Refusal: the request is not known to be of the same origin (403).
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None:
        same = site in ("same-origin", "none")
    elif origin is not None:
        same = urlsplit(origin).netloc == headers.get("host")
    else:
        same = headers.get("cookie") is None
    if not same:
        raise Refusal(
            403,
            "cross_origin",
            "the request comes from another site",
            hint="Open the page of this app again, then try again.",
            advice="A call with cookies has to come from a page of the app. A proxy in front has to pass the Host header on.",
        )


def check_length(headers: Mapping[str, str], limit: int) -> None:
    """Refuse a body that says that it is over the limit, in bytes.

    Raises:
        Refusal: 413.
    """
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise too_large(limit)


def too_large(limit: int) -> Refusal:
    """Make the error for a body over the limit, in bytes."""
    return Refusal(
        413,
        "body_too_large",
        f"the conversation is larger than {limit} bytes",
        hint="Send less, or begin a new conversation.",
        advice="relay.max_body says how large one may be.",
    )


def forged(reason: str) -> Refusal:
    """Make the error for what a host's own check takes for forged. `reason` is the host's, for the developer."""
    return Refusal(
        403,
        "csrf_failed",
        "the request was not shown to come from a page of this app",
        hint="Reload the page, then try again.",
        advice=f"{reason.rstrip('.')}. Send the CSRF token in its header, as llmkit.js does.",
    )


def forbidden() -> Refusal:
    """Make the error for a user who may not call."""
    return Refusal(
        403,
        "forbidden",
        "this user may not call the language model",
        hint="Ask whoever runs this app for the permission.",
    )


def caller_of(user: User, *, anonymous: bool) -> Caller:
    """Say who calls.

    Args:
        user: an id, what the host made of it, or None for nobody.
        anonymous: whether nobody may call, too.

    Raises:
        Refusal: nobody is logged in (401).
    """
    if isinstance(user, Caller):
        return user
    if user is not None:
        return Caller(user=str(user))
    if anonymous:
        return Caller()
    raise Refusal(
        401,
        "not_logged_in",
        "you are not logged in",
        hint="Please log in, then try again.",
        advice="An app without a login says who calls with get_user, or lets everybody in with relay.anonymous.",
    )


def whole(reply: Response) -> Answer:
    """Say a whole reply to the browser."""
    body = {
        "text": reply.text,
        "stop_reason": reply.stop_reason,
        "usage": reply.usage,
        "cost_usd": None if reply.cost is None else str(reply.cost),
    }
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return Answer.of(200, headers, msgspec.json.encode(body))


def _not_allowed(allowed: str) -> Answer:
    answer = problem_of(
        Refusal(
            405, "method_not_allowed", "this method is not allowed here", hint=f"Use {allowed}."
        )
    ).answer
    return Answer(answer.status, {**answer.headers, "allow": allowed}, answer.body)
