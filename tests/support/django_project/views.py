"""Views of the project's own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from llmkit_django import aget_client, astream_response, get_client, stream_response


def hello(request: HttpRequest) -> HttpResponse:
    """Say hello."""
    return HttpResponse("hello")


@csrf_exempt
def poem(request: HttpRequest) -> HttpResponseBase:
    """Stream a poem under WSGI."""
    return stream_response(request, get_client().stream("A poem", user="9"))


@csrf_exempt
async def apoem(request: HttpRequest) -> HttpResponseBase:
    """Stream a poem under ASGI."""
    return await astream_response(request, aget_client().stream("A poem", user="9"))


def wrong(request: HttpRequest) -> HttpResponseBase:
    """Give an async stream where a sync one belongs."""
    return stream_response(request, aget_client().stream("A poem"))  # type: ignore[arg-type]


async def awrong(request: HttpRequest) -> HttpResponseBase:
    """Give a sync stream where an async one belongs."""
    return await astream_response(request, get_client().stream("A poem"))  # type: ignore[arg-type]


def word(request: HttpRequest) -> JsonResponse:
    """Ask for a word."""
    return JsonResponse({"word": get_client().complete("A word", user="9").text})
