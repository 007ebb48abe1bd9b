"""What a browser may ask: messages and an alias. Everything else is the app's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from llmkit.errors import InvalidRequest
from llmkit.messages import Message, to_messages
from llmkit.relay.problem import Refusal

if TYPE_CHECKING:
    from llmkit.call import Caller, CallOptions
    from llmkit.config import RelayConfig


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[dict[str, object]]
    model: str | None = None


_decoder = msgspec.json.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class Payload:
    """What was asked, checked."""

    messages: tuple[Message, ...] = field(repr=False)
    model: str

    def options(self, settings: RelayConfig, caller: Caller) -> CallOptions:
        """Return the options of the call: the browser's choice, the app's rules."""
        return {
            "model": self.model,
            "system": settings.system,
            "max_tokens": settings.max_tokens,
            "user": caller,
        }


def parse(body: bytes, settings: RelayConfig) -> Payload:
    """Read a browser's request.

    Raises:
        InvalidRequest: it is not JSON, or asks for what a browser may not ask for.
    """
    try:
        read = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"the body is not as it should be: {error}",
            hint='Send {"messages": [{"role": "user", "content": "..."}]}, '
            'and "model" with an alias if you like.',
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest(
            "the body is not JSON", hint='Send {"messages": [{"role": "user", "content": "..."}]}.'
        ) from None
    except RecursionError:
        raise InvalidRequest(
            "the body is nested too deeply",
            hint="A content is a text, or a list of parts; nothing in it needs more.",
        ) from None
    model = read.model or settings.model
    if model != settings.model and model not in settings.models:
        raise InvalidRequest(
            "this model is not offered",
            hint="Leave model out, or name one of the aliases in relay.models.",
        )
    return Payload(to_messages(read.messages), model)


def too_large(limit: int) -> Refusal:
    """Make the error for a body over the limit, in bytes."""
    return Refusal(
        413,
        "body_too_large",
        f"the body is larger than {limit} bytes",
        hint="Send a shorter conversation, or raise relay.max_body.",
    )


def check_origin(method: str, headers: Mapping[str, str]) -> None:
    """Refuse what another site may have sent in the user's name. Header names are lower case.

    A page of another site can send cookies along, but cannot send JSON without asking first, nor hide where it comes from.

    Raises:
        Refusal: the content type is not JSON (415), or the request is not known to be of the same origin (403).
    """
    if method != "POST":
        return
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(
            415,
            "not_json",
            "the content type is not application/json",
            hint="Send the header Content-Type: application/json.",
        )
    site = headers.get("sec-fetch-site")
    if site is not None:
        same = site in ("same-origin", "none")
    elif "origin" in headers:
        same = urlsplit(headers["origin"]).netloc == headers.get("host")
    else:
        same = "cookie" not in headers
    if not same:
        raise Refusal(
            403,
            "cross_origin",
            "the request comes from another site",
            hint="Call it from a page of this app, or without cookies.",
        )


def no_user() -> Refusal:
    """Make the error for a request without a user."""
    return Refusal(
        401,
        "not_logged_in",
        "nobody is logged in",
        hint="Log in. An app without a login says who calls with get_user, or lets everybody in with relay.anonymous.",
    )
