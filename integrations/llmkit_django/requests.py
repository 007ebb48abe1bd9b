"""A Django request, as the door sees it: who asks, and whether another site may have sent it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, UnreadablePostError
from django.middleware.csrf import CsrfViewMiddleware, get_token
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, get_script_prefix, is_valid_path
from django.utils.http import is_same_domain
from django.utils.module_loading import import_string

from llmkit.caller import Caller
from llmkit.relay.answer import Answer
from llmkit.relay.hooks import awaited, is_yes
from llmkit.relay.pages import chat_page
from llmkit.relay.rules import User, caller_of, check_origin, forbidden, forged, too_large
from llmkit_django.conf import Conf
from llmkit_django.connections import agive_back, give_back


class _Base:
    def __init__(self, request: HttpRequest, conf: Conf) -> None:
        self._request = request
        self._conf = conf
        self.headers: Mapping[str, str] = request.headers  # found in any case

    @property
    def has_get_user(self) -> bool:
        """Whether the project says who calls."""
        return self._conf.get_user is not None

    def _caller(self, user: Any) -> Caller:
        anonymous = self._conf.config.relay.anonymous
        return caller_of(user, anonymous=anonymous, has_get_user=self.has_get_user)

    def _read(self, limit: int) -> bytes:
        try:
            body: bytes = self._request.read(limit + 1)
        except UnreadablePostError:
            raise ConnectionError from None
        if len(body) > limit:
            raise too_large(limit)
        return body


class DjangoRequest(_Base):
    """A request under WSGI."""

    def check_origin(self) -> None:
        """Run Django's own CSRF check."""
        _check_origin(self._request)

    def user(self) -> User:
        """Say who calls, and ask the project whether they may."""
        caller = self._caller(_called(self._conf.get_user or _logged_in, self._request))
        if self._conf.permission is not None:
            _permitted(_called(self._conf.permission, self._request))
        give_back()
        return caller

    def body(self, limit: int) -> bytes:
        """Read the body."""
        return self._read(limit)


class AsyncDjangoRequest(_Base):
    """A request under ASGI. Whatever of it may ask the database is asked in a thread."""

    async def check_origin(self) -> None:
        """Run Django's own CSRF check."""
        if settings.CSRF_USE_SESSIONS:
            await sync_to_async(_check_origin)(self._request)
        else:
            _check_origin(self._request)

    async def user(self) -> User:
        """Say who calls, and ask the project whether they may."""
        if self._conf.get_user is None:
            caller = self._caller(await _alogged_in(self._request))
        else:
            caller = self._caller(await _acalled(self._conf.get_user, self._request))
        if self._conf.permission is not None:
            _permitted(await _acalled(self._conf.permission, self._request))
        await agive_back()
        return caller

    async def body(self, limit: int) -> bytes:
        """Read the body, which the server has already."""
        return self._read(limit)


def page_for(request: HttpRequest, user: Caller) -> Answer:
    """Return the chat page, with what its script has to know: the CSRF token (the cookie may be hidden), where to log in."""
    return chat_page(
        user=user,
        token=get_token(request) if _has_csrf() else None,
        header=settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-"),
        login_url=_login_url(request),
    )


def _login_url(request: HttpRequest) -> str | None:
    """Return where to log in; None where the project has no such page, and the setting is Django's default."""
    try:
        url: str = resolve_url(settings.LOGIN_URL)
    except NoReverseMatch:
        return None
    parts = urlsplit(url)
    path = "/" + parts.path.removeprefix(get_script_prefix()).lstrip("/")
    is_there = bool(parts.netloc) or is_valid_path(path, getattr(request, "urlconf", None))
    return url if is_there else None


class _Check(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _check_origin(request: HttpRequest) -> None:
    if not (request.COOKIES and _has_csrf()):  # without a cookie there is no token to compare with
        origin = request.headers.get("origin", "").lower()
        allowed = [origin] if _is_trusted(origin) else []
        check_origin(request.headers, allowed, setting="CSRF_TRUSTED_ORIGINS")
    else:
        check = _Check(lambda request: None)  # it is never called
        check.process_request(request)
        reason = check.process_view(request, None, (), {})  # no view that may be exempt
        if reason is not None:
            raise forged(str(reason))


def _is_trusted(origin: str) -> bool:
    """Whether CSRF_TRUSTED_ORIGINS names an origin, or all below a name: https://*.example.com."""
    scheme, _, host = origin.partition("://")
    return any(
        scheme == at and is_same_domain(host, name.removeprefix("*"))
        for at, _, name in (trusted.partition("://") for trusted in settings.CSRF_TRUSTED_ORIGINS)
    )


@cache
def _is_csrf(path: str) -> bool:
    middleware = import_string(path)
    return isinstance(middleware, type) and issubclass(middleware, CsrfViewMiddleware)


def _has_csrf() -> bool:
    return any(_is_csrf(path) for path in settings.MIDDLEWARE)


def _logged_in(request: HttpRequest) -> User:
    return _id_of(getattr(request, "user", None))


async def _alogged_in(request: HttpRequest) -> User:
    if not hasattr(request, "auser"):
        return await sync_to_async(_logged_in)(request)
    return _id_of(await request.auser())


def _id_of(user: Any) -> User:
    if user is None or not user.is_authenticated:
        return None
    return None if user.pk is None else str(user.pk)


def _called(hook: Any, request: HttpRequest) -> Any:
    answer = hook(request)
    return async_to_sync(awaited)(answer) if inspect.isawaitable(answer) else answer


async def _acalled(hook: Any, request: HttpRequest) -> Any:
    if iscoroutinefunction(hook):
        return await awaited(hook(request))
    # In a thread, for it may ask the database; and as a lambda, for asgiref refuses an object with an async __call__.
    return await awaited(await sync_to_async(lambda: hook(request))())


def _permitted(answer: object) -> None:
    if not is_yes(answer):
        raise forbidden()
