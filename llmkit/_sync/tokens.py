# Generated from llmkit/_async/tokens.py. Do not edit.
"""A token of the app's, for a vendor that takes no key: fetched for each request, where the app's own functions run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmkit.concurrency.threads import in_host
from llmkit.concurrency.threads import TookTooLong
from llmkit.errors import AuthenticationFailed, ProviderTimeout
from llmkit.providers.fields import field_value
from llmkit.tracebacks import forgetful

if TYPE_CHECKING:
    from llmkit.policy.clocks import Clocks
    from llmkit.policy.plan import Route
    from llmkit.providers.base import HTTPRequest
    from llmkit.runtime import Runtime


@forgetful
def with_token(
    runtime: Runtime, clocks: Clocks, route: Route, request: HTTPRequest
) -> HTTPRequest:
    """Return the request with the token that the provider's function gives.

    Raises:
        AuthenticationFailed: the function fails, or returns no token.
        ProviderTimeout: it takes longer than the call has.
    """
    fetch: Any = route.provider.token  # type: ignore[attr-defined]  # whoever asks has seen that it has one
    try:
        token = in_host(runtime.host, fetch, clocks.left(runtime.clock()))
    except TookTooLong:
        raise _late(route, clocks.seconds("total")) from None
    except (Exception, SystemExit) as error:  # which would end an event loop
        raise _without_token(route, f"its function failed ({type(error).__name__})") from error
    try:
        value = field_value(token) if isinstance(token, str) else ""
    except ValueError:
        value = ""
    value = value.removeprefix("Bearer ")
    if not value:
        raise _without_token(route, "its function returned none")
    return replace(request, headers={**request.headers, "authorization": f"Bearer {value}"})


def _late(route: Route, seconds: float) -> ProviderTimeout:
    name = route.provider.name
    late = ProviderTimeout(
        "total",
        seconds,
        message=f"providers.{name}.token did not return in time, and {name} was not asked",
        hint="Let the function remember its token, and give up earlier itself; or raise timeouts.{clock}.",
        provider=name,
        model=route.model,
    )
    late.sent = False
    return late


def _without_token(route: Route, why: str) -> AuthenticationFailed:
    name = route.provider.name
    return AuthenticationFailed(
        f"there is no token for {name}: {why}",
        hint=f"See to providers.{name}.token: it returns the token as a string, without the word Bearer.",
        provider=name,
        model=route.model,
    )
