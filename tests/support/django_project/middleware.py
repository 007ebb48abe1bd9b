"""A login that a test can say in a header."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth import get_user_model
from django.db import connection
from django.http import HttpRequest
from django.utils.decorators import sync_and_async_middleware


def _know(request: HttpRequest) -> None:
    name = request.headers.get("x-user")
    if name is not None:
        user = get_user_model()(pk=int(name), username=f"user-{name}")

        async def auser() -> Any:
            return user

        request.user, request.auser = user, auser


@sync_and_async_middleware
def known_by_header(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Log in whoever says a number in X-User, for one request."""
    if iscoroutinefunction(get_response):

        async def amiddleware(request: HttpRequest) -> Any:
            _know(request)
            return await get_response(request)

        return amiddleware

    def middleware(request: HttpRequest) -> Any:
        _know(request)
        return get_response(request)

    return middleware


def _ask() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@sync_and_async_middleware
def ask_the_database(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Ask before the view and after it, as a session that is saved at every request does."""
    if iscoroutinefunction(get_response):

        async def amiddleware(request: HttpRequest) -> Any:
            await sync_to_async(_ask)()
            response = await get_response(request)
            await sync_to_async(_ask)()
            return response

        return amiddleware

    def middleware(request: HttpRequest) -> Any:
        _ask()
        response = get_response(request)
        _ask()
        return response

    return middleware


@sync_and_async_middleware
def hold_on(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Hold the response back when it is asked to, under ASGI: longer than a test waits for the model to be stopped."""
    if not iscoroutinefunction(get_response):
        return get_response

    async def amiddleware(request: HttpRequest) -> Any:
        response = await get_response(request)
        if "x-hold" in request.headers:
            await asyncio.sleep(5)
        return response

    return amiddleware
