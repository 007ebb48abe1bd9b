"""The app under Starlette."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Route

from contract.apps.asgi_parts import middleware, poem

app = Starlette(routes=[Route("/poem", poem, methods=["GET", "POST"])], middleware=middleware)
