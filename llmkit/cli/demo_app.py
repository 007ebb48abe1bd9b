"""The app of `llmkit demo`: an app that already exists, and the lines that add llmkit to it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.sql import open_store
from llmkit.testing.local_names import LocalNames
from llmkit_asgi import LLMKitMiddleware

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Demo</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }}
  table {{ border-collapse: collapse; width: 100%; }}
  th, td {{ text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #8884; }}
</style>
<h1>An app that already exists</h1>
<p><a href="/llm/">Chat with the model</a>. Every call is written to this app's own database:</p>
<table><tr><th>Model<th>Status<th>Tokens in<th>out<th>Cost</tr>{rows}</table>
"""


def settings(providers: Mapping[str, Any], model: str, database: str) -> dict[str, Any]:
    """Write llmkit's settings for the app."""
    return {
        "providers": providers,
        "models": {"default": model},
        "ledger": {"database": database},
    }


def build_app(config: Mapping[str, Any], database: str, names: LocalNames) -> ASGIApp:
    """Build the app; it answers to these names alone."""
    store = open_store(database)

    async def home(request: Request) -> HTMLResponse:  # noqa: ARG001  # the shape of a view
        try:
            rows = [_row(row) for row in await run_in_threadpool(store.recent, 10)]
        except LedgerUnavailable as error:  # before the first call there is no table
            rows = [f'<tr><td colspan="5">{escape(error.hint or error.message)}']
        return HTMLResponse(PAGE.format(rows="".join(rows)))

    app = Starlette(routes=[Route("/", home)])

    # These lines add llmkit.
    app.add_middleware(
        LLMKitMiddleware,
        config=config,
        prefix="/llm",
        get_user=lambda scope: "demo",  # an app with a login leaves this out, or says who it is
    )
    return OwnNames(app, names)


class OwnNames:
    """Lets in what was meant for this server: a page that points its own name here would spend the key."""

    def __init__(self, app: ASGIApp, names: LocalNames) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and Headers(scope=scope).get("host") not in self._names:
            refused = PlainTextResponse(
                "This server does not accept the name in the Host header.", 421
            )
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _row(row: Mapping[str, Any]) -> str:
    cost = "unknown" if row["cost_usd"] is None else f"${row['cost_usd']:.6f}"
    cells = (row["model"], row["status"], row["input_tokens"], row["output_tokens"], cost)
    return "<tr>" + "".join(f"<td>{escape(str(cell))}" for cell in cells) + "</tr>"
