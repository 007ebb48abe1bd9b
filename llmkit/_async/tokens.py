"""A token of the app's, for a vendor that takes no key: fetched for each request, where the app's own functions run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmkit.concurrency.tasks import async_in_host
from llmkit.errors import AuthenticationFailed
from llmkit.providers.fields import field_value
from llmkit.tracebacks import forgetful

if TYPE_CHECKING:
    from llmkit.concurrency.host_threads import Host
    from llmkit.policy.plan import Route
    from llmkit.providers.base import HTTPRequest


@forgetful
async def async_with_token(host: Host, route: Route, request: HTTPRequest) -> HTTPRequest:
    """Return the request with the token that the provider's function gives.

    Raises:
        AuthenticationFailed: the function fails, or returns no token.
    """
    fetch: Any = route.provider.token  # type: ignore[attr-defined]  # whoever asks has seen that it has one
    try:
        token = await async_in_host(host, fetch)
    except Exception as error:
        raise _without_token(route, f"its function failed ({type(error).__name__})") from error
    try:
        value = field_value(token) if isinstance(token, str) else ""
    except ValueError:
        value = ""
    if not value:
        raise _without_token(route, "its function returned none")
    return replace(request, headers={**request.headers, "authorization": f"Bearer {value}"})


def _without_token(route: Route, why: str) -> AuthenticationFailed:
    name = route.provider.name
    return AuthenticationFailed(
        f"there is no token for {name}: {why}",
        hint=f"See to providers.{name}.token: it returns the token as a string, without the word Bearer.",
        provider=name,
        model=route.model,
    )
