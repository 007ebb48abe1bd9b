"""Which requests llmkit answers under its prefix, and what they have to fulfil: the rules, the same in every framework.

`_async/door.py` applies them to a request; its generated twin does the same for threads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import msgspec

from llmkit.caller import Caller, UserId
from llmkit.errors import ConfigError
from llmkit.ledger.sums import Report, total
from llmkit.ledger.text import sum_values
from llmkit.relay.answer import Answer
from llmkit.relay.pages import PAGES, page
from llmkit.relay.problem import Problem, Refusal, problem_of
from llmkit.response import Response

if TYPE_CHECKING:
    from llmkit.budget.manager import Left

User = UserId | Caller | Literal[False]
Endpoint = Literal["page", "stream", "complete", "usage"]

CALLS: dict[str, Endpoint] = {"/stream": "stream", "/complete": "complete"}
USAGE = "/usage"
# Everything under the prefix, for hosts whose own router wants to know.
PATHS = (*PAGES, *CALLS, USAGE)


def route_name(path: str) -> str:
    """Return what a path of `PATHS` is called where routes have names."""
    return path.strip("/").replace(".", "_") or "page"


# What a browser adds by itself once its user has logged in with it: such a request is as good as one with cookies.
_SENT_UNASKED = ("basic", "digest", "negotiate", "ntlm")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

NOT_FOUND = Problem(404, "not_found", "there is nothing here").answer


def find(path: str, method: str) -> Endpoint | Answer | None:
    """Return what a request asks for (the chat page, a call), or its answer; None if it is not one of llmkit's routes.

    For a HEAD request the framework sends the answer without its body.

    Args:
        path: what follows the prefix, with its slash.
        method: in upper case.
    """
    if path in CALLS:
        return CALLS[path] if method == "POST" else _not_allowed("POST")
    if path in PAGES or path == USAGE:
        if method not in ("GET", "HEAD"):
            return _not_allowed("GET, HEAD")
        if path == USAGE:
            return "usage"
        return "page" if path == "/" else page(path)
    return None


def check_media_type(headers: Mapping[str, str]) -> None:
    """Refuse what is not JSON: a page of another site cannot send JSON without asking first.

    Raises:
        Refusal: 415.
    """
    content_type = headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" or "," in content_type:  # two of them are joined by a comma
        raise Refusal(
            415,
            "not_json",
            "the content type is not application/json",
            hint="Send the header Content-Type: application/json.",
        )


def check_origin(
    headers: Mapping[str, str],
    allowed: Collection[str] = (),
    *,
    setting: str = "relay.allowed_origins",
) -> None:
    """Refuse what a page of another site may have sent in the user's name.

    Such a page can make the browser send its cookies along, and the login that it has asked the user for itself, but it cannot
    hide where it comes from. A request that carries neither acts in nobody's name: a bearer token is sent by who has it.

    Args:
        headers: those of the request, by names in lower case.
        allowed: other origins whose pages may call with cookies.
        setting: where the app says which these are.

    Raises:
        Refusal: the request is not known to be of the same origin, or of one that is allowed (403).
    """
    has_cookies = bool(headers.get("cookie"))
    if not (has_cookies or _scheme(headers.get("authorization", "")) in _SENT_UNASKED):
        return
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if origin is not None and origin.lower() in allowed:
        return
    if site is not None:
        same = site in ("same-origin", "none")
    elif origin is not None:
        same = _is_at(origin.lower(), headers.get("host", "").lower())
    elif has_cookies:
        raise Refusal(
            403,
            "cross_origin",
            "the request has cookies, and does not say which page it comes from",
            hint="A browser sends the header Origin by itself; a test client or a script with cookies has to send the app's own, "
            f"such as Origin: http://{headers.get('host', 'localhost')}.",
        )
    else:
        same = True  # no browser's
    if not same:
        raise Refusal(
            403,
            "cross_origin",
            "the request comes from another site",
            hint="Call it from a page of this app, or with a bearer token and without cookies; "
            f"or add the page's origin to {setting}.",
            advice=f"A call with cookies has to come from a page of the app, or from an origin in {setting}. A proxy in front of the app "
            "has to pass on the Host header.",
        )


def _scheme(authorization: str) -> str:
    return authorization.strip().partition(" ")[0].lower()


def _is_at(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    port = _DEFAULT_PORTS.get(parts.scheme)
    if port is None or not parts.netloc or parts.path:
        return False
    return parts.netloc.removesuffix(port) == host.removesuffix(port)


def check_length(headers: Mapping[str, str], limit: int) -> None:
    """Refuse a body that says that it is over the limit, in bytes.

    Raises:
        Refusal: 413.
    """
    length = headers.get("content-length", "").strip().lstrip("0")
    if (
        length.isascii()
        and length.isdigit()
        and (len(length), length) > (len(str(limit)), str(limit))
    ):
        raise too_large(limit)


def too_large(limit: int) -> Refusal:
    """Make the error for a body over the limit, in bytes."""
    return Refusal(
        413,
        "body_too_large",
        f"the conversation is larger than {limit} bytes",
        hint="Send less, or start a new conversation.",
        advice="relay.max_body sets the limit.",
    )


def forged(reason: str) -> Refusal:
    """Make the error for what a host's own check takes for forged. `reason` is the host's, for the developer."""
    return Refusal(
        403,
        "csrf_failed",
        "the request could not be verified as coming from this app",
        hint="Reload the page, then try again.",
        advice=f"{reason.rstrip('.')}. Send the CSRF token in its header, as llmkit.js does.",
    )


def forbidden() -> Refusal:
    """Make the error for a user who may not call."""
    return Refusal(
        403,
        "forbidden",
        "this user may not call the language model",
        hint="Ask the administrator of this app for permission.",
    )


def caller_of(user: User, *, anonymous: bool, has_get_user: bool) -> Caller:
    """Say who calls.

    Args:
        user: an id, what the host made of it, or None, False or an empty text for nobody.
        anonymous: whether nobody may call, too.
        has_get_user: whether a `get_user` of the app's own said who it is.

    Raises:
        Refusal: nobody is logged in (401).
        ConfigError: it is no id.
    """
    try:
        caller = user if isinstance(user, Caller) else Caller(user=user)
    except TypeError as error:
        raise ConfigError(
            f"get_user did not return a user: {error}",
            hint="Return the id, such as request.user.pk, or None for nobody.",
        ) from None
    if caller.user is not None or anonymous:
        return caller
    raise Refusal(
        401,
        "not_logged_in",
        "you are not logged in",
        hint="Please log in, then try again.",
        advice=f"get_user returned {_nobody(user)} for this request. relay.anonymous lets in who is not logged in."
        if has_get_user
        else "If the app has no login, set get_user to say who calls, or relay.anonymous to let everybody in.",
    )


def _nobody(user: User) -> str:
    return "a Caller without a user" if isinstance(user, Caller) else repr(user)


def to_answer(reply: Response) -> Answer:
    """Say a whole reply to the browser."""
    body = {
        "text": reply.text,
        "stop_reason": reply.stop_reason,
        "usage": reply.usage,
        "cost_usd": None if reply.cost is None else format(reply.cost, "f"),
    }
    return _json(body)


def usage_answer(days: Report, left: Sequence[Left] | None, today: str) -> Answer:
    """Say to a user what their calls of this month come to, and what is left of budgets that are theirs alone.

    Args:
        days: the calls of this month, by day.
        left: of their budgets; None if nobody can say. What others share is not only theirs to know.
        today: the day that it is.
    """
    of_today = [group.sum for group in days.groups if group.key["day"] == today]
    return _json(
        {
            "today": sum_values(total(of_today)),
            "month": sum_values(days.total),
            "budgets": None
            if left is None
            else [_budget_values(each) for each in left if each.scope == "user"],
        }
    )


def _budget_values(budget: Left) -> dict[str, object]:
    def said(amount: Decimal | int) -> str | int:
        return f"{amount.normalize():f}" if isinstance(amount, Decimal) else amount

    return {
        "per": budget.per,
        "models": budget.models,
        "unit": budget.unit,
        "limit": said(budget.limit),
        "used": said(budget.used),
        "held": said(budget.held),
        "left": said(budget.left),
        "resets_at": budget.resets,
    }


def _json(body: object) -> Answer:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return Answer.of(200, headers, msgspec.json.encode(body))


def _not_allowed(allowed: str) -> Answer:
    answer = problem_of(
        Refusal(
            405, "method_not_allowed", "this method is not allowed here", hint=f"Use {allowed}."
        )
    ).answer
    return Answer(answer.status, {**answer.headers, "allow": allowed}, answer.body)
