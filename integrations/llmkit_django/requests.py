"""A Django request, as the door sees it: who asks, and whether another site may have sent it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.http import HttpRequest, UnreadablePostError
from django.middleware.csrf import CsrfViewMiddleware, get_token
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, get_script_prefix, is_valid_path
from django.utils.module_loading import import_string

from llmkit.relay.answer import Answer
from llmkit.relay.door import User, check_origin, forbidden, forged, too_large
from llmkit.relay.pages import for_visitor
from llmkit_django.conf import Conf


class _Base:
    def __init__(self, request: HttpRequest, conf: Conf) -> None:
        self._request = request
        self._conf = conf
        self.headers: Mapping[str, str] = request.headers  # found in any case

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
        user = _called(self._conf.get_user or _logged_in, self._request)
        if user is not None and self._conf.permission is not None:
            _permitted(_called(self._conf.permission, self._request))
        return user  # type: ignore[no-any-return]  # what the project's own function gives

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
            user = await _alogged_in(self._request)
        else:
            user = await _acalled(self._conf.get_user, self._request)
        if user is not None and self._conf.permission is not None:
            _permitted(await _acalled(self._conf.permission, self._request))
        return user

    async def body(self, limit: int) -> bytes:
        """Read the body, which the server has already."""
        return self._read(limit)


def with_tags(page: Answer, request: HttpRequest) -> Answer:
    """Put into the chat page what its script has to know: the request's CSRF token (the cookie may be hidden), where to log in."""
    return for_visitor(
        page,
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
    if not _has_csrf():
        check_origin(request.headers)
    elif request.COOKIES:  # what carries no cookie acts in nobody's name
        check = _Check(lambda request: None)  # it is never called
        check.process_request(request)
        reason = check.process_view(request, None, (), {})  # no view that may be exempt
        if reason is not None:
            raise forged(str(reason))


@cache
def _is_csrf(path: str) -> bool:
    middleware = import_string(path)
    return isinstance(middleware, type) and issubclass(middleware, CsrfViewMiddleware)


def _has_csrf() -> bool:
    return any(_is_csrf(path) for path in settings.MIDDLEWARE)


def _logged_in(request: HttpRequest) -> User:
    user = getattr(request, "user", None)
    return str(user.pk) if user is not None and user.is_authenticated else None


async def _alogged_in(request: HttpRequest) -> User:
    if not hasattr(request, "auser"):
        return await sync_to_async(_logged_in)(request)
    user = await request.auser()
    return str(user.pk) if user.is_authenticated else None


def _called(hook: Any, request: HttpRequest) -> Any:
    if inspect.iscoroutinefunction(hook):
        return async_to_sync(hook)(request)
    return hook(request)


async def _acalled(hook: Any, request: HttpRequest) -> Any:
    if inspect.iscoroutinefunction(hook):
        return await hook(request)
    return await sync_to_async(hook)(request)


def _permitted(answer: object) -> None:
    if not answer:
        raise forbidden()
