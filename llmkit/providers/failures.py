"""How a provider's failure becomes an error of llmkit, the same for every wire.

What a provider writes about a failure may quote the prompt or the key, so none of its sentences is
handed on: a message says in our words what happened, with the provider's name, the status and the
provider's one-word code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from llmkit.errors import (
    AuthenticationFailed,
    FrameTooLarge,
    Overloaded,
    PromptTooLong,
    ProtocolError,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamTruncated,
    ToolCallBroken,
)
from llmkit.providers.error_kinds import MOMENTS, kind_by_status, kind_by_words
from llmkit.providers.head import request_id
from llmkit.providers.reports import Report, read_report
from llmkit.providers.tool_calls import BrokenCall
from llmkit.providers.vendors import VENDORS, key_place
from llmkit.providers.waits import retry_after

E = TypeVar("E", bound=ProviderError)

_HINTS: dict[type[ProviderError], str] = {
    QuotaExhausted: "Add credit or raise the spend limit in the provider's console; "
    "waiting a little does not help.",
    RateLimited: "Wait and try again, send fewer requests at once, "
    "or ask the provider for a higher limit.",
    Overloaded: "Try again later, or name a second model for this alias.",
    PromptTooLong: "The prompt is too long for this model: send less, or choose another model.",
    RequestRejected: "Check the model name and the options of this call "
    "against the provider's documentation.",
    ServerFailed: "Try again later; the provider's status page may say more.",
}


_MOMENTS = {
    408: "{provider}, or a proxy in front of it, gave up waiting. Try again; if this keeps happening, send less, or ask for a shorter answer.",
    409: "The request conflicts with another one at {provider}. Try again.",
    425: "{provider} does not accept requests so early in a connection. Try again.",
}
# What Ollama says where its model cannot do what is asked (github.com/ollama/ollama, server/routes.go): it has no codes, and its sentences end so.
_REFUSALS = (
    (
        "does not support tools",
        "This model cannot call tools: ask it without them, or choose one that can.",
    ),
    (
        "does not support thinking",
        "This model does not think before it answers: leave think out, or choose one that does.",
    ),
    ("does not support chat", "This model gives no answers: choose one that does."),
    ("does not support embeddings", "This model has no embeddings: choose one that has them."),
    (
        "not found, try pulling it first",
        "The server does not have this model: check its name, or `ollama pull` it there.",
    ),
)

Credential = Literal["key", "token"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an answer came from, for the errors about it.

    `credential` is what was sent of whoever asked: a key, a token of the app's function, or None. `usual_path` is what the base URL usually ends in, if it
    has no path at all.
    """

    provider: str
    model: str
    status_code: int = 200
    request_id: str | None = None
    credential: Credential | None = "key"
    usual_path: str | None = None

    @classmethod
    def of(
        cls,
        provider: str,
        model: str,
        headers: Mapping[str, str],
        status: int = 200,
        *,
        credential: Credential | None = "key",
        usual_path: str | None = None,
    ) -> Origin:
        """Read the request id from the headers of the answer."""
        return cls(provider, model, status, request_id(headers), credential, usual_path)


def from_status(
    origin: Origin, headers: Mapping[str, str], body: bytes, *, now: float
) -> ProviderError:
    """Turn an answer with an error status into the error to raise.

    `now` is in seconds since the epoch. The body may be anything, an HTML page of a proxy too.
    """
    report, status = read_report(body), origin.status_code
    kind = kind_by_status(status, report)
    return _error(
        kind,
        origin,
        f"{origin.provider} answered {status}{_in_brackets(report.code)}",
        hint=_hint(kind, origin, report),
        report=report,
        retry_after=_wait(retry_after(headers, now), report.retry_after),
        can_retry=_can_retry(headers, status),
    )


def from_report(origin: Origin, report: str) -> ProviderError:
    """Turn an error report, in JSON, inside an answer with status 200 into the error to raise.

    The status says nothing here, so the words of the report decide. A report without a word that is
    known counts as the provider's own failure.
    """
    said = read_report(report)
    kind = kind_by_words(said)
    return _error(
        kind,
        origin,
        f"{origin.provider} reported an error inside its answer{_in_brackets(said.code)}",
        hint=_hint(kind, origin, said),
        report=said,
        retry_after=said.retry_after,
        can_retry=True if kind is ProviderError else None,  # for a moment's sake
    )


def truncated(origin: Origin) -> StreamTruncated:
    """Make the error for an answer that ended without its terminal marker."""
    return _error(
        StreamTruncated,
        origin,
        f"the answer of {origin.provider} ended before it was complete",
        hint="Try again; the provider, a proxy or the connection cut it short.",
    )


def gave_up(origin: Origin) -> ServerFailed:
    """Make the error for an answer that says it stops because of an error."""
    return _error(
        ServerFailed,
        origin,
        f"{origin.provider} stopped its answer because of an error of its own",
        hint=_HINTS[ServerFailed],
    )


def rejected(origin: Origin, code: str) -> RequestRejected:
    """Make the error for an answer that says, in place of an answer, that the request was at fault."""
    return _error(
        RequestRejected,
        origin,
        f"{origin.provider} did not answer this request ({code})",
        hint=_HINTS[RequestRejected],
    )


def malformed(origin: Origin, what: str) -> ProtocolError:
    """Make the error for an answer that does not follow the wire format.

    `what` goes on after the provider's name: "sent an event that is not JSON".
    """
    return _error(
        ProtocolError,
        origin,
        f"{origin.provider} {what}",
        hint="Check the base URL and the wire of this provider, and the proxies in between.",
    )


def broken_call(origin: Origin, broken: BrokenCall) -> ToolCallBroken:
    """Make the error for an answer with a call of a tool that cannot be run."""
    return _error(
        ToolCallBroken,
        origin,
        f"{origin.provider} {broken.what}",
        hint="Raise max_tokens, or let the tool take less."
        if broken.is_cut
        else "Try again: the model may write it well the next time.",
        can_retry=not broken.is_cut,
    )


def second_answer(origin: Origin) -> ProtocolError:
    """Make the error for an answer with another one inside it, or behind its end: nothing is said twice."""
    return malformed(origin, "began a second answer inside the first")


def too_large(origin: Origin, cause: FrameTooLarge) -> FrameTooLarge:
    """Say whose event was too large."""
    message = f"{origin.provider}: {cause.message}"
    return _error(
        FrameTooLarge,
        origin,
        message,
        hint="No answer comes in pieces of this size: check the base URL and the wire of this provider, the proxies in between, "
        "and what extra asks for.",
        can_retry=False,
    )


def _wait(by_header: float | None, by_body: float | None) -> float | None:
    return by_body if by_header is None else by_header


def _error(
    kind: type[E],
    origin: Origin,
    message: str,
    *,
    hint: str | None,
    report: Report | None = None,
    retry_after: float | None = None,
    can_retry: bool | None = None,
) -> E:
    return kind(
        message,
        hint=hint,
        provider=origin.provider,
        model=origin.model,
        status_code=origin.status_code,
        code=report.code if report is not None else None,
        request_id=origin.request_id or (report.request_id if report is not None else None),
        retry_after=retry_after,
        can_retry=can_retry,
    )


def _moment(origin: Origin, report: Report) -> int | None:
    """Return the status that refuses the moment and not the request, of the answer or inside of it; None if none does."""
    said = [int(word) for word in report.words if word.isdigit()]
    status = said[0] if origin.status_code == 200 and said else origin.status_code
    return status if status in MOMENTS else None


def _can_retry(headers: Mapping[str, str], status: int) -> bool | None:
    word = headers.get("x-should-retry", "").strip().lower()
    if word in ("true", "false"):
        return word == "true"
    return True if status in MOMENTS else None


def _hint(kind: type[ProviderError], origin: Origin, report: Report) -> str:
    status, moment = origin.status_code, _moment(origin, report)
    if moment is not None and kind is ProviderError:
        return _MOMENTS[moment].format(provider=origin.provider)
    if kind is RequestRejected:
        for end, mend in _REFUSALS:
            if report.sentence.endswith(end):
                return mend
    if (
        status in (404, 405)
        and origin.usual_path is not None
        and "model_not_found" not in report.words
    ):
        return (
            f"Check the model name, and the base URL of {origin.provider}: it has no path, "
            f"and usually ends in {origin.usual_path}."
        )
    if status == 404 or "model_not_found" in report.words:
        return f"Check the model name, and the base URL of {origin.provider}."
    if kind is AuthenticationFailed:
        return _about_key(origin)
    if 300 <= status < 400:
        return (
            "Redirects are not followed, because they would send the key to another host: "
            f"check the base URL of {origin.provider}."
        )
    return _HINTS.get(kind, "Try again later.").format(provider=origin.provider)


def _about_key(origin: Origin) -> str:
    name = origin.provider
    if origin.credential == "token":
        return f"Check the token that providers.{name}.token returns: whether it has run out, and may use this model."
    if origin.credential is None:
        variable = VENDORS[name].key_variable if name in VENDORS else None
        why = f", because {variable} is only sent to {name}'s own address" if variable else ""
        return f"No API key was sent{why}: set providers.{name}.api_key."
    return f"Check the API key ({key_place(name)}), and that it may use this model."


def _in_brackets(code: str | None) -> str:
    return f" ({code})" if code else ""
